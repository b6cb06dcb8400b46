//! A socket to open, as planned.

use std::fmt;

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
