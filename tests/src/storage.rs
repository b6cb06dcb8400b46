//! A storage node as in production: a real collectd that writes through a real rrdcached of its own. Either
//! can be stopped and started again, on the same port and files.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use crate::{
    corpus,
    port::{UdpSockets, free_port, udp_sockets},
    process::{Process, folder, program},
    wait::{SOON, wait_for},
};

/// What either says of an update that is not newer than the last one.
const REFUSALS: [&str; 2] = ["illegal attempt to update", "Value too old"];

/// A node; what runs of it ends with its handle.
#[derive(Debug)]
pub struct Storage {
    collectd: Option<Process>,
    rrdcached: Option<Process>,
    port: u16,
    /// Updates of the rrdcacheds that have ended.
    updates_before: u64,
    // Last, so that the programs have ended when their files go.
    dir: TempDir,
}

impl Storage {
    /// A node with no files, that runs.
    pub fn start() -> Self {
        let (dir, port) = (folder(), free_port());
        fs::create_dir(dir.path().join("rrd")).expect("a temporary folder can be filled");
        let path = dir.path().to_str().expect("temporary folders have plain names");
        let config = corpus::text("peers/storage.conf.in");
        let config = config.replace("@DIR@", path).replace("@PORT@", &port.to_string());
        fs::write(dir.path().join("collectd.conf"), config).expect("it can be filled");
        let mut node = Self { collectd: None, rrdcached: None, port, updates_before: 0, dir };
        node.start_rrdcached();
        node.start_collectd();
        node
    }

    /// Starts rrdcached.
    pub fn start_rrdcached(&mut self) {
        let mut command = Command::new(program("rrdcached", "rrdcached"));
        command.args(["-g", "-w", "60", "-z", "60", "-l"]);
        command.arg(format!("unix:{}", self.file("rrdcached.sock").display()));
        command.arg("-p").arg(self.file("rrdcached.pid")).arg("-o").arg(self.file("rrdcached.log"));
        self.rrdcached = Some(Process::start("rrdcached", &mut command));
        wait_for("rrdcached to answer", SOON, || self.ask_for_updates());
    }

    /// Starts collectd; returns when it receives.
    pub fn start_collectd(&mut self) {
        let mut command = Command::new(program("collectd", "collectd-core"));
        command.arg("-f").arg("-C").arg(self.file("collectd.conf"));
        let started = |log: &str| log.matches("Initialization complete").count();
        let before = started(&self.log("collectd.log"));
        self.collectd = Some(Process::start("collectd", &mut command));
        wait_for("collectd to receive", SOON, || {
            let log = self.log("collectd.log");
            if started(&log) > before { Ok(()) } else { Err(log) }
        });
    }

    /// Ends collectd, which hands on what it has.
    pub fn stop_collectd(&mut self) {
        self.collectd.take().expect("it runs").terminate(SOON);
    }

    /// Ends rrdcached, which writes what it has.
    pub fn stop_rrdcached(&mut self) {
        self.updates_before = self.updates();
        self.rrdcached.take().expect("it runs").terminate(SOON);
    }

    /// Where collectd listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Updates that rrdcached was given, refused or not.
    #[track_caller]
    pub fn updates(&self) -> u64 {
        match self.rrdcached {
            Some(_) => self.updates_before + wait_for("STATS", SOON, || self.ask_for_updates()),
            None => self.updates_before,
        }
    }

    /// STATS of rrdcached: `N Statistics follow`, then as many lines `NAME: NUMBER`.
    fn ask_for_updates(&self) -> Result<u64, String> {
        let said = |error: std::io::Error| error.to_string();
        let mut stream = UnixStream::connect(self.file("rrdcached.sock")).map_err(said)?;
        stream.set_read_timeout(Some(SOON)).map_err(said)?;
        stream.write_all(b"STATS\n").map_err(said)?;
        for line in BufReader::new(stream).lines() {
            if let Some(number) = line.map_err(said)?.strip_prefix("UpdatesReceived: ") {
                return number.trim().parse().map_err(|_| format!("{number:?} updates"));
            }
        }
        Err("no UpdatesReceived in the answer".to_owned())
    }

    /// What either refused because it was not newer than what it had.
    pub fn refused(&self) -> Vec<String> {
        let logs = self.log("collectd.log") + &self.log("rrdcached.log");
        let is_refusal = |line: &&str| REFUSALS.iter().any(|refusal| line.contains(refusal));
        logs.lines().filter(is_refusal).map(str::to_owned).collect()
    }

    /// What the kernel knows of its port.
    pub fn socket(&self) -> UdpSockets {
        udp_sockets(self.port)
    }

    /// Where its RRD files are.
    pub fn rrd(&self) -> PathBuf {
        self.file("rrd")
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
