//! A machine of one's own under the real systemd: a copy of this one that nothing gets out of.
//!
//! `tests/data/machine.sh` boots it, on an overlay in memory and in namespaces of its own. It takes root: what
//! is tested is that of root, and a user who is only root in a namespace may not make devices.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use crate::{
    coco::root,
    process::{Process, folder, program},
    wait::wait_for,
};

/// Enough for a boot beside builds.
const BOOT_MAX: Duration = Duration::from_secs(60);

/// A booted machine; dropping it ends all that runs on it.
#[derive(Debug)]
pub struct Machine {
    process: Option<Process>,
    cgroup: PathBuf,
    /// Process id of its systemd, as this machine counts.
    init: u32,
    _folder: TempDir,
}

impl Machine {
    /// Boots it, and waits until systemd has started all that it was to start.
    pub fn boot() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        assert!(nix::unistd::geteuid().is_root(), "this test boots a machine, which takes root");
        let folder = folder();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("coco-test-{}-{number}", std::process::id());
        let cgroup = cgroups().join(name);
        let mut command = Command::new(root().join("tests/data/machine.sh"));
        command.arg(folder.path()).arg(&cgroup);
        program("systemctl", "systemd");
        let process = Process::start("machine", &mut command);
        let mut machine = Self { process: Some(process), cgroup, init: 0, _folder: folder };
        wait_for("systemd to start", BOOT_MAX, || machine.find_init());
        wait_for("the machine to run", BOOT_MAX, || {
            let state = text(&machine.run(&["systemctl", "is-system-running"]));
            if state == "running" { Ok(()) } else { Err(state) }
        });
        machine
    }

    fn find_init(&mut self) -> Result<(), String> {
        let process = self.process.as_ref().expect("it is taken at the end only");
        let id = process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let child = children.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
        let child: u32 = child.ok_or_else(|| process.log())?;
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        self.init = child;
        if name == "systemd\n" { Ok(()) } else { Err(format!("{name:?}\n{}", process.log())) }
    }

    /// Runs a program on it.
    pub fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(program("nsenter", "util-linux"));
        command.args(["--target", &self.init.to_string(), "--all", "env", "-i"]);
        command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=dumb"]);
        command.arg("DEBIAN_FRONTEND=noninteractive").args(words);
        command.output().expect("nsenter starts")
    }

    /// The same, which must succeed; its output.
    #[track_caller]
    pub fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {}\n{}{said}", output.status, text(&output));
        text(&output)
    }

    /// A file of it, as this machine names it.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// Does something in its network: sockets that are made meanwhile are there.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.init)).expect("it runs");
        let done = thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(network, CloneFlags::CLONE_NEWNET).expect("root may enter a network");
                body()
            });
            thread.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.process.take());
        // Its processes were killed, and go soon. No wait that may fail: the test may have failed already.
        let mut is_gone = false;
        for _ in 0..500 {
            is_gone = remove(&self.cgroup).is_ok() || !self.cgroup.exists();
            if is_gone {
                break;
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        assert!(is_gone || thread::panicking(), "{:?} is left", self.cgroup);
    }
}

/// Standard output, without the last line end.
fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Where the second version of cgroups is mounted.
fn cgroups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("Linux lists mounts");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let place = line.and_then(|line| line.split(' ').nth(4));
    place.expect("this test boots systemd, which takes a cgroup2 mount").into()
}

/// Removes a cgroup with those below it, once their processes are gone.
fn remove(cgroup: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let path = entry?.path();
        if path.is_dir() {
            remove(&path)?;
        }
    }
    fs::remove_dir(cgroup)
}
