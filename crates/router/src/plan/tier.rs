//! A tier, as planned.

use std::time::Duration;

use coco_ring::Ring;
use coco_wire::names::{Named, Names};

use super::TargetPlan;
use crate::routes::asked;

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
    /// [`Plan::resend_bytes`](super::Plan::resend_bytes) is what it has of them.
    pub resend_bytes: usize,
    /// Largest datagram sent to a collectd or Graphite UDP target, in bytes.
    pub datagram_bytes_max: usize,
}

impl TierPlan {
    /// Something is kept of what was written to its targets.
    pub(super) fn keeps_written(&self) -> bool {
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

    /// Whether its targets take all that targets of another protocol take.
    #[must_use]
    pub const fn carries_all_of(self, other: Self) -> bool {
        (self.carries_collectd() || !other.carries_collectd())
            && (self.carries_lines() || !other.carries_lines())
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
