//! A child process whose output is kept and which never outlives its handle.

use std::{
    env, fs,
    io::{BufRead, BufReader, ErrorKind, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    sys::{
        prctl, signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tempfile::TempDir;

pub use nix::sys::signal::Signal;

use crate::wait::wait_for;

/// A running program; dropping it kills it, and shows its last lines if the test has failed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// The process that went on as this one, and its own end.
    heir: Option<Pid>,
    ended: Option<ExitStatus>,
    log: Arc<Mutex<String>>,
    /// Its output is not read.
    is_deaf: Arc<AtomicBool>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with both its outputs kept in one log and nothing to read.
    pub fn start(name: &str, command: &mut Command) -> Self {
        // What a program starts before it ends becomes a child of the tests, and is in its group.
        prctl::set_child_subreaper(true).expect("Linux lets a process adopt");
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.process_group(0).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("{name}: no program {:?}", command.get_program())
            }
            Err(error) => panic!("{name}: cannot start {:?}: {error}", command.get_program()),
        };
        let log = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let is_deaf = Arc::default();
        let readers = vec![keep(stdout, &log, &is_deaf), keep(stderr, &log, &is_deaf)];
        Self { name: name.to_owned(), child, heir: None, ended: None, log, is_deaf, readers }
    }

    /// Everything that it has written so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody reads what it writes from now on, or again.
    pub fn be_deaf(&self, to_it: bool) {
        self.is_deaf.store(to_it, Ordering::Relaxed);
    }

    /// Waits until a line of the log has all of `parts`, and returns that line.
    pub fn wait_for_line(&mut self, parts: &[&str], limit: Duration) -> String {
        let what = format!("a line of {} with {parts:?}", self.name);
        wait_for(&what, limit, || {
            let exited = self.exited();
            let log = self.log();
            if let Some(line) = log.lines().find(|line| parts.iter().all(|p| line.contains(p))) {
                return Ok(Ok(line.to_owned()));
            }
            match exited {
                Some(status) => Ok(Err(format!("{what}: it ended first with {status}:\n{log}"))),
                None => Err(format!("its log is:\n{log}")),
            }
        })
        .unwrap_or_else(|ended| panic!("{ended}"))
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.pid().as_raw().try_into().expect("process ids are positive")
    }

    fn pid(&self) -> Pid {
        let child = || Pid::from_raw(self.child.id().try_into().expect("process ids fit an i32"));
        self.heir.unwrap_or_else(child)
    }

    /// Waits for its end by itself, and goes on with the process that it has started as its successor.
    pub fn succeed(&mut self, heir: u32, limit: Duration) -> ExitStatus {
        let status = self.wait_for_end(limit);
        self.heir = Some(Pid::from_raw(heir.try_into().expect("process ids fit an i32")));
        self.ended = None;
        status
    }

    /// How it ended, if it did.
    fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = match self.heir {
                None => self.child.try_wait().expect("a child can be waited for"),
                Some(heir) => match waitpid(heir, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
                    Ok(WaitStatus::Signaled(_, signal, _)) => {
                        Some(ExitStatus::from_raw(signal as i32))
                    }
                    Ok(_) => None,
                    Err(error) => panic!("{}: process {heir}: {error}", self.name),
                },
            };
        }
        self.ended
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        signal::kill(self.pid(), signal)
            .unwrap_or_else(|error| panic!("{}: {signal}: {error}", self.name));
    }

    /// Waits for its end by itself; the log is complete afterwards.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let status = self.wait_for_end(limit);
        for reader in self.readers.drain(..) {
            reader.join().expect("a log reader does not panic");
        }
        status
    }

    fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait_for(&what, limit, || self.exited().ok_or_else(|| "still running".to_owned()))
    }

    /// Asks it to end with SIGTERM and waits for that.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(limit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.be_deaf(false);
        if self.ended.is_none() {
            // All that it has started is in its group, which may have outlived it.
            let group = Pid::from_raw(self.child.id().try_into().expect("process ids fit an i32"));
            signal::killpg(group, Signal::SIGKILL).ok();
            self.child.wait().ok();
            self.heir.map(|heir| waitpid(heir, None));
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("--- last lines of {}:\n{tail}", self.name);
        }
    }
}

/// A temporary folder, gone when its handle is dropped.
pub fn folder() -> TempDir {
    // collectd writes nothing below a folder whose name begins with a dot, which is the default.
    let made = tempfile::Builder::new().prefix("coco-test-").tempdir();
    made.expect("a temporary folder can be made")
}

/// Finds a program in PATH or a system folder; fails with the name of its Debian package.
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("this test needs {name}: install it with `apt-get install {package}` or run ./test")
    })
}

/// Makes a program of a text.
pub fn write_program(file: &Path, text: &str) {
    let written = file.with_extension("text");
    fs::write(&written, text).unwrap_or_else(|error| panic!("{}: {error}", written.display()));
    copy_program(&written, file);
}

/// Copies a program. Not by this process: what a test beside this one starts meanwhile has its open files for a
/// moment, and a program that is open for writing does not start.
pub fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("install").args(["-m", "755"]).arg(from).arg(to).status();
    assert!(status.expect("Debian has install").success(), "{} cannot be made", to.display());
}

fn keep(
    stream: impl Read + Send + 'static,
    log: &Arc<Mutex<String>>,
    is_deaf: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let (log, is_deaf) = (Arc::clone(log), Arc::clone(is_deaf));
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        // A read error means that the writer is gone, like the end of the stream.
        while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&String::from_utf8_lossy(&line));
            line.clear();
            while is_deaf.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(10));
            }
        }
    })
}
