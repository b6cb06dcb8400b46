//! The program under test: the release binary, started with a configuration file.

use std::{
    env, fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    http::{self, Answer},
    ledger::Ledger,
    process::{Process, Signal, folder, program},
    wait::{SOON, wait_for},
};

/// A running `coco`.
#[derive(Debug)]
pub struct Coco {
    process: Process,
    api: SocketAddr,
    dir: TempDir,
    upgrades: usize,
}

impl Coco {
    /// Starts it with this configuration (its API on a port of the kernel's choice unless the text
    /// says otherwise) and waits until it is ready.
    pub fn start(config: &str) -> Self {
        Self::start_as(config, binary(), |_| {})
    }

    /// The same by another program, which becomes it: that and its arguments, or nothing.
    pub fn start_by(by: &[&str], config: &str) -> Self {
        let [name, arguments @ ..] = by else { return Self::start(config) };
        Self::start_as(config, &program(name, "util-linux"), |command| {
            command.args(arguments).arg(binary());
        })
    }

    /// The same of another file of the program, with what `prepare` adds.
    pub fn start_as(config: &str, program: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let coco = Self::launch(config, program, prepare);
        wait_for("coco to be ready", SOON, || match coco.get("/readyz").status {
            200 => Ok(()),
            status => Err(format!("/readyz says {status}")),
        });
        coco
    }

    /// Starts it with a configuration by which it is not ready; its API answers.
    pub fn start_unready(config: &str) -> Self {
        Self::launch(config, binary(), |_| {})
    }

    fn launch(config: &str, program: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let dir = folder();
        let file = dir.path().join("coco.toml");
        write_config(&file, config);
        let mut command = Command::new(program);
        prepare(&mut command);
        command.arg(&file).current_dir(dir.path()).env("NO_COLOR", "1");
        let mut process = Process::start("coco", &mut command);
        let line = process.wait_for_line(&["api listening", "address="], SOON);
        let api = field(&line, "address").parse().expect("the log names a socket address");
        Self { process, api, dir, upgrades: 0 }
    }

    /// Where its API listens.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// The configuration file that it was started with.
    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("coco.toml")
    }

    /// Writes another text to its configuration file, with the API as at the start.
    pub fn rewrite(&self, config: &str) {
        write_config(&self.config_file(), config);
    }

    /// Puts another configuration in force by `POST /reload`; fails when it is not taken.
    #[track_caller]
    pub fn reload(&self, config: &str) -> Value {
        self.rewrite(config);
        let answer = self.ask_to_reload();
        assert_eq!(answer.status, 200, "POST /reload: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The answer to `POST /reload`.
    #[track_caller]
    pub fn ask_to_reload(&self) -> Answer {
        let answer = http::post(self.api, "/reload", b"");
        answer.unwrap_or_else(|error| panic!("POST /reload: {error}"))
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Nobody reads what it writes to standard error from now on, or again.
    pub fn be_deaf(&self, to_it: bool) {
        self.process.be_deaf(to_it);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Asks its API; fails when there is no HTTP answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        http::get(self.api, path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Asks its API for JSON; fails on any status but 200.
    #[track_caller]
    pub fn get_json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// The fates of everything so far.
    #[track_caller]
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.get_json("/ledger"))
    }

    /// The owner in each tier, by the address text of the configuration.
    #[track_caller]
    pub fn lookup(&self, name: &[u8]) -> Value {
        self.get_json(&format!("/lookup?name={}", http::encode(name)))
    }

    /// The owner in one tier.
    #[track_caller]
    pub fn owner(&self, tier: &str, name: &[u8]) -> String {
        let owners = self.lookup(name);
        let owner = owners[tier].as_str();
        owner.unwrap_or_else(|| panic!("tier {tier} has no owner in {owners}")).to_owned()
    }

    /// Where the first listener of this protocol (`collectd`, `line-tcp`, …) is bound.
    #[track_caller]
    pub fn listener(&self, protocol: &str) -> SocketAddr {
        let ledger = self.ledger();
        let address = ledger.listener(protocol)["address"].as_str().unwrap_or_default();
        address.parse().unwrap_or_else(|_| panic!("{protocol} listens on {address:?}"))
    }

    /// Waits until the ledger satisfies `condition`, which says what is missing otherwise.
    #[track_caller]
    pub fn wait_for_ledger(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Ledger) -> Result<(), String>,
    ) -> Ledger {
        wait_for(what, limit, || {
            let ledger = self.ledger();
            condition(&ledger).map(|()| ledger.clone()).map_err(|why| format!("{why}\n{ledger}"))
        })
    }

    /// Waits until everything that was accepted has been sent or shed.
    #[track_caller]
    pub fn settle(&self) -> Ledger {
        self.wait_for_ledger("all queues to be empty", SOON, |ledger| match ledger.held() {
            0 => Ok(()),
            held => Err(format!("{held} samples are held")),
        })
    }

    /// Ends it with SIGTERM, and asserts that every sample had one fate before and after that.
    #[track_caller]
    pub fn stop(self) -> Stopped {
        self.ledger().assert_balanced();
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Upgrades it by SIGUSR2, and goes on with the new process. The fates of everything in the old one.
    #[track_caller]
    pub fn upgrade(&mut self) -> Stopped {
        // A process hands over once.
        let before = self.log().matches(" handed over process=").count() - self.upgrades;
        assert_eq!(before, 0, "an upgrade that nobody waited for");
        self.signal(Signal::SIGUSR2);
        self.wait_for_upgrade()
    }

    /// Waits until a new process goes on as this one, after a SIGUSR2 from anybody.
    #[track_caller]
    pub fn wait_for_upgrade(&mut self) -> Stopped {
        let line = wait_for("the hand-over", Duration::from_secs(60), || {
            let log = self.process.log();
            let mut lines = log.lines().filter(|line| line.contains(" handed over process="));
            let line = lines.nth(self.upgrades).map(str::to_owned);
            line.ok_or_else(|| format!("its log is:\n{log}"))
        });
        self.upgrades += 1;
        let (_, words) = line.split_once(" handed over process=").expect("was looked for");
        let (id, words) = words.split_once(' ').expect("words follow");
        let status =
            self.process.succeed(id.parse().expect("a process id"), Duration::from_secs(10));
        assert_eq!(status.code(), Some(0), "exit of the old process:\n{}", self.log());
        let json = words.split_once("ledger=").map_or("", |(_, json)| json);
        let ledger = Ledger::new(serde_json::from_str(json).expect("the last ledger is JSON"));
        ledger.assert_balanced();
        assert_eq!(ledger.held(), 0, "held after the end: {ledger}");
        Stopped { log: self.log(), ledger }
    }

    /// Waits for its end after a signal; asserts that it ended well and that its last ledger adds
    /// up, with nothing held any more.
    #[track_caller]
    pub fn wait(mut self) -> Stopped {
        let status = self.process.wait(Duration::from_secs(60));
        let log = self.process.log();
        assert_eq!(status.code(), Some(0), "exit of coco; its log is:\n{log}");
        let last = log.lines().rev().find_map(|line| line.split_once(" stopped residual="));
        let (_, last) = last.unwrap_or_else(|| panic!("no last ledger in the log:\n{log}"));
        let json = last.split_once("ledger=").map_or("", |(_, json)| json);
        let ledger = Ledger::new(serde_json::from_str(json).expect("the last ledger is JSON"));
        ledger.assert_balanced();
        assert_eq!(ledger.held(), 0, "held after the end: {ledger}");
        Stopped { log, ledger }
    }
}

fn write_config(file: &Path, config: &str) {
    let config = match config.contains("[api]") {
        true => config.to_owned(),
        false => format!("{config}\n[api]\nbind = \"127.0.0.1:0\"\n"),
    };
    fs::write(file, config).expect("a temporary file can be written");
}

/// What a process that has ended leaves.
#[derive(Debug)]
pub struct Stopped {
    /// All that it wrote to standard error.
    pub log: String,
    /// The fates of everything.
    pub ledger: Ledger,
}

/// Runs `coco` to its end with these arguments and this standard input.
pub fn run(arguments: &[&str], input: &[u8]) -> Output {
    run_program("coco", arguments, input)
}

/// Runs a program that is built beside `coco` to its end.
pub fn run_program(name: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(binary().with_file_name(name))
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that does not read its input closes it, which is no fault of the test.
        stdin.write_all(&input).ok();
    });
    let output = child.wait_with_output().expect("the output of a child can be read");
    writer.join().expect("writing to a pipe does not panic");
    output
}

/// A `targets = [...]` line of these addresses.
pub fn targets(addresses: &[String]) -> String {
    format!("targets = {addresses:?}\n")
}

/// The value of `key=value` in a log line.
pub fn field<'a>(line: &'a str, key: &str) -> &'a str {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
        .unwrap_or_else(|| panic!("no {key}= in {line:?}"))
}

/// The folder of the whole project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the project")
}

/// Where cargo puts what it builds, as seen from the running test.
pub fn target_dir() -> PathBuf {
    // target/PROFILE/deps/it-HASH
    let test = env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(3).expect("cargo runs tests below its target folder").to_owned()
}

/// The release binary: `COCO_BIN`, or built here once.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = env::var_os("COCO_BIN") {
            return binary.into();
        }
        let target = target_dir();
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--release", "--quiet", "-p", "coco-server", "--bins"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(root())
            .status()
            .expect("cargo starts");
        assert!(status.success(), "cargo cannot build the binary under test");
        target.join("release/coco")
    })
}

/// The build for tests, which calls itself another version and can be made to go wrong: `COCO_FAULTY_BIN`.
pub fn faulty_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        env::var_os("COCO_FAULTY_BIN").map(PathBuf::from).expect(
            "COCO_FAULTY_BIN names a coco that is built with `--features faults`, as by ./test",
        )
    })
}
