//! A real storage node: collectd, which writes RRD files through an rrdcached of its own.
//!
//! Both are killed and all of their files removed when it is dropped.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use tempfile::TempDir;

use super::rrdcached::Stats;
use crate::relay::subject::Subject;

const TEMPLATE: &str = include_str!("../../../../../tests/peers/storage.conf.in");

/// After so many seconds rrdcached writes what it has of a file, each file after up to as many more.
const WRITE_AFTER: &str = "60";

/// The two programs.
#[derive(Debug)]
pub(super) struct Programs {
    collectd: PathBuf,
    rrdcached: PathBuf,
}

impl Programs {
    /// Looks for them where PATH says and where Debian puts them.
    pub(super) fn find() -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = || env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
        let find = |name| folders().map(|folder| folder.join(name)).find(|file| file.is_file());
        Some(Self { collectd: find("collectd")?, rrdcached: find("rrdcached")? })
    }
}

/// A running node.
#[derive(Debug)]
pub(super) struct Node {
    collectd: Subject,
    rrdcached: Subject,
    /// Where it receives.
    pub(super) address: SocketAddr,
    // Last, so that the programs have ended when their files go.
    folder: TempDir,
}

impl Node {
    /// Starts one on these cores; it may take a moment until it [receives](Self::is_ready).
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(programs: &Programs, cores: &[usize]) -> anyhow::Result<Self> {
        // collectd writes nothing below a folder whose name begins with a dot, which is the default.
        let folder = tempfile::Builder::new().prefix("coco-bench-").tempdir()?;
        let file = |name| folder.path().join(name);
        fs::create_dir(file("rrd"))?;
        // It does not tell which port the kernel chose.
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let path = folder.path().to_str().context("a temporary folder with a strange name")?;
        let port = address.port().to_string();
        fs::write(file("collectd.conf"), TEMPLATE.replace("@DIR@", path).replace("@PORT@", &port))?;

        let mut command = Command::new(&programs.rrdcached);
        command.args(["-g", "-w", WRITE_AFTER, "-z", WRITE_AFTER]);
        command.arg("-l").arg(format!("unix:{path}/rrdcached.sock"));
        command.arg("-p").arg(file("rrdcached.pid")).arg("-o").arg(file("rrdcached.log"));
        let rrdcached = Subject::start(&mut command, cores)?;
        let mut command = Command::new(&programs.collectd);
        command.args(["-f", "-C"]).arg(file("collectd.conf"));
        let collectd = Subject::start(&mut command, cores)?;
        Ok(Self { collectd, rrdcached, address, folder })
    }

    /// It receives, and can hand on what it does.
    pub(super) fn is_ready(&self) -> bool {
        let log = fs::read_to_string(self.file("collectd.log")).unwrap_or_default();
        log.contains("Initialization complete") && self.stats().is_ok()
    }

    /// What rrdcached says.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) fn stats(&self) -> anyhow::Result<Stats> {
        Stats::ask(&self.file("rrdcached.sock"))
    }

    /// Datagrams that the kernel dropped at its port.
    ///
    /// # Errors
    /// It does not receive.
    pub(super) fn dropped(&self) -> anyhow::Result<u64> {
        let table = fs::read_to_string("/proc/net/udp")?;
        let end = format!(":{:04X}", self.address.port());
        let line = table.lines().find(|line| {
            line.split_ascii_whitespace().nth(1).is_some_and(|address| address.ends_with(&end))
        });
        let drops = line.and_then(|line| line.split_ascii_whitespace().next_back()?.parse().ok());
        drops.with_context(|| format!("no socket on port {}", self.address.port()))
    }

    /// CPU time of both programs so far.
    ///
    /// # Errors
    /// One has ended.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(self.collectd.cpu()?.total + self.rrdcached.cpu()?.total)
    }

    /// Most memory of both programs so far, in MiB.
    ///
    /// # Errors
    /// One has ended.
    pub(super) fn memory_mib(&self) -> anyhow::Result<f64> {
        Ok(self.collectd.memory_mib("VmHWM")? + self.rrdcached.memory_mib("VmHWM")?)
    }

    /// RRD files, and all that they take on disk in MiB.
    pub(super) fn files(&self) -> (u64, f64) {
        let (mut count, mut blocks, mut folders) = (0, 0, vec![self.file("rrd")]);
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if entry.path().extension().is_some_and(|end| end == "rrd") {
                    count += 1;
                    blocks += metadata.blocks();
                }
            }
        }
        // The kernel counts in 512 bytes, whatever the file system does.
        (count, blocks as f64 * 512.0 / f64::from(1 << 20))
    }

    /// What both programs complained about.
    pub(super) fn complaints(&self) -> Vec<String> {
        let read = |name| fs::read_to_string(self.file(name)).unwrap_or_default();
        let (collectd, rrdcached) = (read("collectd.log"), read("rrdcached.log"));
        let is_bad = |line: &&str| !line.contains("[info]") && !line.contains("[notice]");
        collectd.lines().filter(is_bad).chain(rrdcached.lines()).map(str::to_owned).collect()
    }

    fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }
}
