//! Real collectd daemons and its traffic generator.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    corpus,
    port::{free_port, udp_sockets},
    process::{Process, Signal, folder, program},
    wait::SOON,
};

/// The read plugins of an ordinary agent: about 490 series on a small machine.
pub const READERS: [&str; 14] = [
    "cpu",
    "load",
    "memory",
    "interface",
    "df",
    "disk",
    "processes",
    "users",
    "irq",
    "uptime",
    "contextswitch",
    "swap",
    "vmem",
    "protocols",
];

/// A running collectd with files of its own.
#[derive(Debug)]
pub struct Collectd {
    process: Process,
    port: u16,
    dir: TempDir,
}

impl Collectd {
    /// An agent that reads with `plugins` once a second, sends to `server`, keeps CSV files of all
    /// that it sends, and can be given values.
    pub fn agent(host: &str, server_port: u16, plugins: &[&str]) -> Self {
        let loads: String = plugins.iter().map(|name| format!("LoadPlugin {name}\n")).collect();
        let port = server_port.to_string();
        Self::start("agent", &[("NAME", host), ("SERVER", &port), ("PLUGINS", &loads)])
    }

    /// A storage node: keeps an RRD file and CSV files of each series.
    pub fn node(name: &str) -> Self {
        Self::start("node", &[("NAME", name)])
    }

    /// A receiver that writes each thing it decodes as a line of JSON.
    pub fn oracle() -> Self {
        Self::start("oracle", &[])
    }

    /// Starts a daemon with `peers/TEMPLATE.conf.in`, waits until it is ready.
    ///
    /// Besides `names`, `@DIR@` stands for its own folder, `@TESTS@` for the
    /// folder of the tests, and `@PORT@` for the UDP port that it may listen on.
    pub fn start(template: &str, names: &[(&str, &str)]) -> Self {
        let dir = folder();
        let port = free_port();
        let (port_text, tests) = (port.to_string(), corpus::file(""));
        let own = [
            ("DIR", dir.path().to_str().expect("temporary folders have plain names")),
            ("TESTS", tests.to_str().expect("the project's folder has a plain name")),
            ("PORT", &port_text),
        ];
        let mut config = corpus::text(&format!("peers/{template}.conf.in"));
        for (name, value) in own.iter().chain(names) {
            config = config.replace(&format!("@{name}@"), value);
        }
        let file = dir.path().join("collectd.conf");
        fs::write(&file, config).expect("a temporary file can be written");
        let mut command = Command::new(program("collectd", "collectd-core"));
        command.arg("-f").arg("-C").arg(&file);
        let mut process = Process::start(&format!("collectd {template}"), &mut command);
        process.wait_for_line(&["Initialization complete"], SOON);
        let log = process.log();
        assert!(
            !log.contains("Could not find plugin") && !log.contains("dlopen"),
            "collectd cannot load a plugin (./test installs what they need):\n{log}"
        );
        Self { process, port, dir }
    }

    /// The UDP port given to it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address text of that port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A path in its folder: `csv`, `rrd`, `dump.jsonl`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Datagrams that the kernel dropped at its port.
    pub fn udp_drops(&self) -> u64 {
        let sockets = udp_sockets(self.port);
        assert_eq!(sockets.count, 1, "sockets on port {}: somebody shares it", self.port);
        sockets.drops
    }

    /// Gives it commands through its unixsock plugin; returns the lines of the answers.
    #[track_caller]
    pub fn ask(&self, commands: &[String]) -> Vec<String> {
        let stream = UnixStream::connect(self.path("sock")).expect("collectd opens its socket");
        stream.set_read_timeout(Some(SOON)).expect("a socket takes a read time-out");
        let mut writer = stream.try_clone().expect("a socket can be cloned");
        let mut reader = BufReader::new(stream);
        let mut answers = Vec::new();
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).expect("collectd answers");
            line.trim_end().to_owned()
        };
        for command in commands {
            writer.write_all(format!("{command}\n").as_bytes()).expect("collectd reads");
            let head = line();
            let count = head.split(' ').next().and_then(|count| count.parse::<i64>().ok());
            let count = count.unwrap_or_else(|| panic!("{command}: answer {head:?}"));
            assert!(count >= 0, "{command}: {head}");
            answers.extend((0..count).map(|_| line()));
        }
        answers
    }

    /// LISTVAL: the series that it knows now.
    #[track_caller]
    pub fn list(&self) -> BTreeSet<String> {
        let lines = self.ask(&["LISTVAL".to_owned()]);
        let name = |line: &String| line.split_once(' ').map(|(_, name)| name.to_owned());
        lines.iter().filter_map(name).collect()
    }

    /// Ends it with SIGTERM, which makes it send and write what it holds.
    #[track_caller]
    pub fn stop(mut self) -> Stopped {
        let status = self.process.terminate(SOON);
        assert!(status.success(), "exit of collectd: {status}; its log is:\n{}", self.log());
        Stopped { log: self.process.log(), dir: self.dir }
    }
}

/// What is left of a daemon that has ended.
#[derive(Debug)]
pub struct Stopped {
    log: String,
    dir: TempDir,
}

impl Stopped {
    /// A path in its folder: `csv`, `rrd`, `dump.jsonl`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What it has logged.
    pub fn log(&self) -> &str {
        &self.log
    }
}

/// collectd's traffic generator.
#[derive(Debug)]
pub struct CollectdTg {
    process: Process,
}

impl CollectdTg {
    /// Sends `series` series of `hosts` hosts to a port of 127.0.0.1, each once a second.
    pub fn start(port: u16, series: u32, hosts: u32) -> Self {
        let numbers = [("-n", series), ("-H", hosts), ("-p", 5), ("-i", 1), ("-D", port.into())];
        let mut command = Command::new(program("collectd-tg", "collectd-utils"));
        command.args(["-d", "127.0.0.1"]);
        for (option, number) in numbers {
            command.arg(option).arg(number.to_string());
        }
        Self { process: Process::start("collectd-tg", &mut command) }
    }

    /// Ends it; what it had not sent yet is never sent.
    pub fn stop(mut self) {
        self.process.signal(Signal::SIGINT);
        self.process.wait(Duration::from_secs(10));
    }
}
