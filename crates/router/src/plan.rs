//! What a router is built from: checked plain values, nothing left to parse.
//!
//! The server makes a [`Plan`] from its configuration; tests make one by hand. Nothing here knows
//! the file it came from.

use std::{fmt, path::PathBuf, time::Duration};

use coco_ring::Ring;
use coco_wire::names::{Named, Names};
use regex::bytes::Regex;

pub use coco_spool::Sync;

use crate::routes::asked;

/// Everything a router does, as values that were checked before.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Sockets to open, in the order of the file.
    pub listeners: Vec<ListenerPlan>,
    /// Samples whose identity matches are counted as filtered and go no further.
    pub blacklist: Option<Regex>,
    /// Tiers in the order of the file; every sample goes to its owners in each of them.
    pub tiers: Vec<TierPlan>,
    /// Tiers without targets: what falls to them is shed.
    pub ringless: Vec<RinglessTier>,
    /// Bounds that hold for the whole process.
    pub limits: Limits,
    /// Where queues go on on disk; needed by tiers with [`OnFull::Spool`].
    pub spool: Option<SpoolPlan>,
}

impl Plan {
    /// Bytes kept of what was written to each target of `tier`: what the tier asks for, or an equal part of
    /// what all targets together may have.
    #[must_use]
    pub fn resend_bytes(&self, tier: &TierPlan) -> usize {
        let kept = |tier: &&TierPlan| tier.keeps_written();
        let targets: usize = self.tiers.iter().filter(kept).map(|tier| tier.targets.len()).sum();
        let part = self.limits.resend_bytes / targets.max(1);
        if tier.keeps_written() { tier.resend_bytes.min(part) } else { 0 }
    }
}

/// The disk half of all queues.
#[derive(Debug, Clone, PartialEq)]
pub struct SpoolPlan {
    /// Folder of all spools; its parent exists.
    pub directory: PathBuf,
    /// Bytes on disk of all spools together.
    pub bytes_max: u64,
    /// Bytes on disk of one target's spool.
    pub target_bytes_max: u64,
    /// Samples spooled longer ago are shed; `None` keeps them.
    pub max_age: Option<Duration>,
    /// When what was written is made safe from a crash of the machine.
    pub sync: Sync,
    /// How fast what is on disk goes to a target that takes it.
    pub replay_rate: ReplayRate,
    /// What becomes of what is on disk for a target that a reload takes out.
    pub on_change: OnChange,
}

impl SpoolPlan {
    /// Whether the two differ only in what may change while it is open.
    pub(crate) fn opens_as(&self, other: &Self) -> bool {
        let Self { replay_rate, on_change, .. } = *other;
        Self { replay_rate, on_change, ..self.clone() } == *other
    }
}

/// What becomes of what is on disk for a target that a reload takes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// The target gets it, for as long as that takes.
    Keep,
    /// Each sample goes to its owner under the ring then in force.
    Reroute,
}

/// How fast what is on disk goes to a target that takes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReplayRate {
    /// So many times as fast as samples come for it.
    TimesLive(f64),
    /// As fast as it takes them.
    Unlimited,
}

/// One socket to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerPlan {
    /// What is spoken on it.
    pub protocol: ListenerProtocol,
    /// Where it listens; a host name may give several addresses, the first is taken.
    pub address: Address,
    /// Bytes of kernel receive buffer asked for (UDP only).
    pub receive_buffer: usize,
}

impl ListenerPlan {
    /// The same is spoken on the same address, to the letter.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        (self.protocol, &self.address) == (other.protocol, &other.address)
    }
}

/// What a listener speaks, and over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerProtocol {
    /// collectd's binary protocol over UDP.
    Collectd,
    /// Graphite lines over TCP.
    LineTcp,
    /// Graphite lines over UDP.
    LineUdp,
    /// Graphite pickle frames over TCP.
    Pickle,
}

/// A host (name or IP address, IPv6 without brackets) and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Host name or IP address; empty stands for every address of this machine.
    pub host: String,
    /// Port; 0 lets the kernel choose (listeners only).
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A named set of targets behind one ring.
#[derive(Debug, Clone)]
pub struct TierPlan {
    /// Name of the tier, unique.
    pub name: String,
    /// What its targets speak; decides which samples the tier can carry.
    pub protocol: TargetProtocol,
    /// Which bytes of a collectd sample are hashed.
    pub key: KeyRule,
    /// What becomes of a Graphite line's name, and which bytes of it are hashed.
    pub names: Names,
    /// The placement function over `targets`, in the same order.
    pub ring: Ring,
    /// The targets; position is the ring's `TargetIdx`.
    pub targets: Vec<TargetPlan>,
    /// Bytes that may wait in memory for one target.
    pub queue_bytes: usize,
    /// What happens when a target's queue is full.
    pub on_full: OnFull,
    /// What goes first when a target comes back.
    pub replay: Replay,
    /// How long a full queue may keep its TCP clients waiting before it sheds.
    pub block_timeout: Duration,
    /// Bytes kept of what was written to a TCP target, to write them again when its connection breaks;
    /// [`Plan::resend_bytes`] is what it has of them.
    pub resend_bytes: usize,
    /// Largest datagram sent to a collectd or Graphite UDP target, in bytes.
    pub datagram_bytes_max: usize,
}

impl TierPlan {
    /// Something is kept of what was written to its targets.
    fn keeps_written(&self) -> bool {
        self.protocol.has_connections() && self.resend_bytes > 0
    }

    /// What the tier makes of a name that somebody asks for, and which bytes it hashes; `None` if no
    /// sample can come under it. What had to be put together stands in `scratch`.
    pub fn named<'a>(&self, name: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<Named<'a>> {
        asked(self.protocol, &self.names, name, scratch)
    }
}

/// A tier without targets, which has no ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RinglessTier {
    /// Name of the tier, unique among all tiers.
    pub name: String,
    /// What its targets would speak.
    pub protocol: TargetProtocol,
}

/// What happens when a target's queue is full, or the target is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFull {
    /// What is held goes on on disk. Only when the disk does not keep up, as [`Block`](Self::Block).
    Spool,
    /// TCP clients that feed it wait, for at most `block_timeout`; then the oldest samples are shed. UDP
    /// cannot wait.
    Block,
    /// The oldest samples are shed at once.
    ShedOldest,
    /// The newcomers are shed at once.
    ShedNewest,
}

/// What goes first to a target that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// What came first, as stores want it that refuse what is older than what they have.
    InOrder,
    /// What comes now; what is on disk goes along with it.
    LiveFirst,
}

/// What a target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetProtocol {
    /// collectd's binary protocol over UDP.
    Collectd,
    /// Graphite lines over TCP.
    LineTcp,
    /// Graphite lines over UDP.
    LineUdp,
    /// Graphite pickle frames over TCP.
    Pickle,
    /// A store inside this process, for the first five minutes.
    Embedded,
}

impl TargetProtocol {
    /// Whether it is spoken over connections (TCP).
    #[must_use]
    pub const fn has_connections(self) -> bool {
        matches!(self, Self::LineTcp | Self::Pickle)
    }

    /// Whether its targets take collectd samples.
    #[must_use]
    pub const fn carries_collectd(self) -> bool {
        matches!(self, Self::Collectd | Self::Embedded)
    }

    /// Whether its targets take Graphite lines.
    #[must_use]
    pub const fn carries_lines(self) -> bool {
        !matches!(self, Self::Collectd)
    }
}

/// Which bytes of a collectd sample are hashed. What is hashed of a Graphite name is said by [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyRule {
    /// The host field: all series of a host share an owner, as in Coco 1.x.
    Host,
    /// The whole identifier `host/plugin[-instance]/type[-instance]`.
    Series,
}

/// One receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPlan {
    /// Identity on the ring; an address may change, the id decides the place.
    pub id: String,
    /// The address as the configuration writes it; how people and counters name the target.
    pub label: String,
    /// Where to send.
    pub address: Address,
    /// How it is asked whether it is there.
    pub probe: Probe,
}

impl TargetPlan {
    /// The same target at the same place; it may be probed otherwise.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        (&self.id, &self.label, &self.address) == (&other.id, &other.label, &other.address)
    }
}

/// How a target is asked whether it is there, beside the samples that it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Probe {
    /// Not at all.
    #[default]
    None,
    /// By datagrams without samples, which may be refused; that they are not proves nothing.
    Udp,
    /// A connection can be made.
    Tcp(Address),
    /// A GET is answered with 2xx.
    Http {
        /// Where to ask.
        address: Address,
        /// Path and query.
        path: String,
    },
    /// rrdcached answers a PING.
    Rrdcached(Address),
    /// The same over a Unix socket.
    RrdcachedUnix(PathBuf),
}

impl Probe {
    /// Whether a good answer proves that the target is there.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        !matches!(self, Self::None | Self::Udp)
    }
}

/// Bounds that hold for the whole process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest Graphite line in bytes, its line end not counted.
    pub line_bytes_max: usize,
    /// Bytes kept of what was written to all TCP targets together, to write them again.
    pub resend_bytes: usize,
    /// Open client connections over all TCP listeners.
    pub connections_max: usize,
    /// Bytes that all queues together may hold, taken chunks among them.
    pub memory_bytes_max: usize,
    /// Distinct series counted exactly for the `hash.*` counters; beyond it they are estimates.
    pub series_max: usize,
    /// Series kept by name, to be listed: the first ones seen.
    pub names_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes_max: 4096,
            resend_bytes: 64 << 20,
            connections_max: 10_000,
            memory_bytes_max: 1 << 30,
            series_max: 1_000_000,
            names_max: 10_000,
        }
    }
}
