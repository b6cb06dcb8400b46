//! A real carbon-c-relay.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    port::free_port,
    process::{Process, folder, program},
    wait::{SOON, wait_until},
};

/// What waits for one server at most, in lines: more than any test sends. By default it is 25,000,
/// and a burst of more is shed.
const QUEUE_LINES: usize = 1_000_000;

/// A `cluster` of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `carbon_ch`, `fnv1a_ch`, `jump_fnv1a_ch` or `any_of`.
    pub kind: String,
    /// Owners of each name; not for `any_of`.
    pub replication: usize,
    /// `host:port` or `host:port=instance`, in order.
    pub servers: Vec<String>,
}

/// A running carbon-c-relay in submission mode: it sends nothing of its own.
#[derive(Debug)]
pub struct CRelay {
    process: Process,
    address: SocketAddr,
    _dir: TempDir,
}

impl CRelay {
    /// Starts one on a free port that sends every line to all of these clusters.
    pub fn start(clusters: &[Cluster], characters: Option<&str>) -> Self {
        Self::start_on(free_port(), clusters, characters)
    }

    /// Starts one on this port of 127.0.0.1 and waits until it takes lines there (TCP). `characters`
    /// are those of its option `-c`, by default `-_:#`.
    pub fn start_on(port: u16, clusters: &[Cluster], characters: Option<&str>) -> Self {
        let dir = folder();
        let file = dir.path().join("relay.conf");
        fs::write(&file, config(port, clusters)).expect("a temporary file can be written");
        let mut command = Command::new(program("carbon-c-relay", "carbon-c-relay"));
        command.arg("-f").arg(&file).args(["-s", "-w", "2", "-q", &QUEUE_LINES.to_string()]);
        if let Some(characters) = characters {
            command.args(["-c", characters]);
        }
        let mut process = Process::start("carbon-c-relay", &mut command);
        process.wait_for_line(&["startup sequence complete"], SOON);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_until("carbon-c-relay to listen", SOON, || TcpStream::connect(address).is_ok());
        Self { process, address, _dir: dir }
    }

    /// Where it takes lines.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it with SIGTERM and waits for that: it then sends what it holds. Returns its log.
    pub fn stop(mut self) -> String {
        let status = self.process.terminate(SOON);
        let log = self.process.log();
        assert_eq!(status.code(), Some(0), "exit of carbon-c-relay; its log is:\n{log}");
        log
    }
}

fn config(port: u16, clusters: &[Cluster]) -> String {
    let mut text =
        format!("listen\n    type linemode\n        127.0.0.1:{port} proto tcp\n    ;\n");
    let mut names = String::new();
    for (number, Cluster { kind, replication, servers }) in clusters.iter().enumerate() {
        let replication = match kind.as_str() {
            "any_of" => String::new(),
            _ => format!(" replication {replication}"),
        };
        let servers = servers.join("\n        ");
        // Writing to a string does not fail.
        write!(text, "cluster c{number}\n    {kind}{replication}\n        {servers}\n    ;\n").ok();
        write!(names, " c{number}").ok();
    }
    text + &format!("match *\n    send to{names}\n    stop\n    ;\n")
}
