//! A receiver, as planned.

use std::path::PathBuf;

use super::Address;

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
