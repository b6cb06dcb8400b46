//! Coco as the service of a machine of its own, from its package.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use crate::{
    http,
    ledger::Ledger,
    machine::Machine,
    wait::{SOON, wait_for},
};

/// Its API there.
pub const API: SocketAddr = local(9090);

/// Where it takes lines over TCP.
pub const LINES: SocketAddr = local(2003);

/// Where it takes collectd's datagrams.
pub const LISTS: SocketAddr = local(25826);

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A machine, and Coco on it once a package is installed.
#[derive(Debug)]
pub struct Service {
    /// What it runs on.
    pub machine: Machine,
}

impl Service {
    /// A machine with these packages as `/srv/NAME.deb`.
    pub fn new(packages: &[(&str, &Path)]) -> Self {
        let machine = Machine::boot();
        for (name, file) in packages {
            let place = machine.path(&format!("/srv/{name}.deb"));
            fs::copy(file, place).expect("the machine has room");
        }
        Self { machine }
    }

    /// Installs one of them, which must succeed; what dpkg says.
    #[track_caller]
    pub fn install(&self, name: &str) -> String {
        self.machine.succeed(&["dpkg", "--install", &format!("/srv/{name}.deb")])
    }

    /// A property of the service, as systemd has it.
    #[track_caller]
    pub fn show(&self, property: &str) -> String {
        self.machine.succeed(&["systemctl", "show", "--value", "--property", property, "coco"])
    }

    /// The id of its main process, 0 if there is none.
    #[track_caller]
    pub fn main(&self) -> u32 {
        self.show("MainPID").parse().expect("a process id")
    }

    /// All that it has written.
    #[track_caller]
    pub fn journal(&self) -> String {
        self.machine.succeed(&["journalctl", "--no-pager", "-o", "cat", "-u", "coco"])
    }

    /// Asks its API.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn get(&self, path: &str) -> Result<http::Answer, String> {
        self.machine.inside(|| http::get(API, path))
    }

    /// Waits until it takes samples.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        wait_for("coco to be ready", SOON, || match self.get("/readyz")?.status {
            200 => Ok(()),
            status => Err(format!("/readyz says {status}")),
        });
    }

    /// The account of the process that runs.
    #[track_caller]
    pub fn ledger(&self) -> Ledger {
        ledger(&self.get("/ledger").expect("it answers").body)
    }

    /// Waits until its journal, which is written a little later, has this.
    #[track_caller]
    pub fn wait_for_journal(&self, text: &str) {
        wait_for(&format!("{text:?} in the journal"), SOON, || {
            let journal = self.journal();
            if journal.contains(text) { Ok(()) } else { Err(journal) }
        });
    }

    /// The accounts of the processes that have handed over, so many, the first first.
    #[track_caller]
    pub fn handed_over(&self, count: usize) -> Vec<Ledger> {
        wait_for("the last words", SOON, || {
            let journal = self.journal();
            let last = journal.lines().filter(|line| line.contains(" handed over process="));
            let ledgers: Vec<_> = last.filter_map(|line| line.split_once("ledger=")).collect();
            match ledgers.len() == count {
                true => Ok(ledgers.iter().map(|(_, text)| ledger(text)).collect()),
                false => Err(format!("{} of {count}: {journal}", ledgers.len())),
            }
        })
    }

    /// Writes its configuration, which nobody reads yet.
    #[track_caller]
    pub fn configure(&self, text: &str) {
        let file = self.machine.path("/etc/coco/coco.toml");
        fs::write(file, text).expect("the machine has room");
    }

    /// Whether there is such a file.
    pub fn exists(&self, path: &str) -> bool {
        self.machine.run(&["test", "-e", path]).status.success()
    }
}

#[track_caller]
fn ledger(text: &str) -> Ledger {
    Ledger::new(serde_json::from_str(text).expect("a ledger is JSON"))
}
