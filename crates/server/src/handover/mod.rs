//! Upgrade by hand-over (SIGUSR2): the running process starts the program anew and gives it its sockets and
//! clients, so that nobody notices.
//!
//! 1. The old process starts the program by the path that it had itself, with the same arguments, one end of
//!    a channel as its standard input, and [`VARIABLE`] set ([`old`]). It sends its listening sockets.
//! 2. The new process reads its configuration, opens what it was not given, and says that it is ready
//!    ([`new`]). If it does not, nothing has changed.
//! 3. The old one stops reading and says so; the new one reads. What then goes over the channel stands in
//!    `coco_router::handover`.
//! 4. The end of the channel means that the old one has let go of everything.
//!
//! A stop of the old process before 3 ends the new one too.

mod channel;
mod new;
mod old;

use std::{collections::BTreeMap, path::PathBuf};

use coco_router::{
    handover::Kept,
    plan::{Address, ListenerProtocol, TargetProtocol},
};
use serde::{Deserialize, Serialize};

use crate::api::protocol_name;
pub(crate) use new::Predecessor;
pub(crate) use old::{Program, Successor};

/// Set in a process that is to take over; its value is the version of the channel.
const VARIABLE: &str = "COCO_HANDOVER";

/// The API, where protocols are named.
pub(crate) const API: &str = "api";

/// HAProxy's agent check, where protocols are named; a process that does not know it closes its socket.
pub(crate) const AGENT: &str = "agent";

/// The listening sockets of a process.
#[derive(Debug)]
pub(crate) struct SocketSet {
    pub(crate) listeners: Vec<coco_router::handover::HandedSocket>,
    /// Those of the process itself.
    pub(crate) services: Vec<ServiceSocket>,
}

/// The listening socket of the API or of the agent.
#[derive(Debug)]
pub(crate) struct ServiceSocket {
    /// [`API`] or [`AGENT`].
    pub(crate) service: &'static str,
    /// As configured.
    pub(crate) address: Address,
    pub(crate) socket: std::os::fd::OwnedFd,
}

impl ServiceSocket {
    /// The same socket, to be given away.
    pub(crate) fn try_clone(&self) -> std::io::Result<Self> {
        let Self { service, address, socket } = self;
        Ok(Self { service, address: address.clone(), socket: socket.try_clone()? })
    }
}

/// What the old process tells of the past.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// How many processes have handed over.
    pub(crate) upgrades: u64,
    /// The tiers that have a ring.
    pub(crate) rings: Vec<String>,
    /// What is on disk, if anything is.
    pub(crate) kept: Option<Kept>,
    /// Its numbers, as [`crate::history::History`] writes them; empty if there are none.
    pub(crate) history: Vec<u8>,
    /// What it has logged, as [`crate::log::Ring`] writes it; empty if that is not told.
    pub(crate) log: Vec<u8>,
}

/// What is on disk, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptWord {
    directory: PathBuf,
    samples: u64,
    /// The protocol of each tier, as the configuration writes it.
    tiers: BTreeMap<String, String>,
}

impl KeptWord {
    fn new(kept: &Kept) -> Self {
        let name = |(tier, protocol): (&String, &TargetProtocol)| {
            (tier.clone(), protocol_name(*protocol).to_owned())
        };
        let tiers = kept.tiers.iter().map(name).collect();
        Self { directory: kept.directory.clone(), samples: kept.samples, tiers }
    }

    fn kept(self) -> Kept {
        let Self { directory, samples, tiers } = self;
        let known = [TargetProtocol::Collectd, TargetProtocol::LineTcp, TargetProtocol::Pickle];
        let read = |(tier, name): (String, String)| {
            let protocol = known.into_iter().find(|known| protocol_name(*known) == name);
            protocol.map(|protocol| (tier, protocol))
        };
        Kept { directory, samples, tiers: tiers.into_iter().filter_map(read).collect() }
    }
}

const PROTOCOLS: [(ListenerProtocol, &str); 4] = [
    (ListenerProtocol::Collectd, "collectd"),
    (ListenerProtocol::LineTcp, "line-tcp"),
    (ListenerProtocol::LineUdp, "line-udp"),
    (ListenerProtocol::Pickle, "pickle"),
];

fn name_of(protocol: ListenerProtocol) -> &'static str {
    PROTOCOLS.iter().find(|(known, _)| *known == protocol).map_or("", |(_, name)| name)
}

fn protocol_of(name: &str) -> Option<ListenerProtocol> {
    PROTOCOLS.iter().find(|(_, known)| *known == name).map(|(protocol, _)| *protocol)
}
