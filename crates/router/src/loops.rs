//! Samples that come back: targets that are this process itself.
//!
//! Told before the first sample: an address that is one of our own listeners. Told while it runs, through
//! whatever translates addresses: a datagram of ours that comes back. A client that is a connection of ours has
//! the addresses of one; a TCP target that comes back behind a proxy or a translated address cannot be told.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use nix::ifaddrs::getifaddrs;

use crate::{
    plan::{ListenerProtocol, TargetProtocol},
    roll::Roll,
};

/// The host of a datagram that carries nothing else begins so, if a Coco sent it as a probe.
const PREFIX: &[u8] = b"coco-probe-";

/// The header of a host part.
const HEADER_BYTES: usize = 4;

/// By what this process knows its own again.
#[derive(Debug)]
pub(crate) struct Loops {
    /// Random, and so of this process alone.
    nonce: u64,
    /// Both ends of the connections to targets, ours first, and the beacon of each target. One end does not tell: the
    /// kernel gives a port to connections to several places.
    connections: Mutex<HashMap<[SocketAddr; 2], u64>>,
}

impl Default for Loops {
    fn default() -> Self {
        Self { nonce: fastrand::u64(..), connections: Mutex::default() }
    }
}

impl Loops {
    /// The datagram that tells a target of ours: a host and nothing else, which collectd takes in silence.
    pub(crate) fn beacon(&self, target: u64) -> Vec<u8> {
        let host = self.host(target);
        let length = u16::try_from(HEADER_BYTES + host.len() + 1).unwrap_or_default();
        let [high, low] = length.to_be_bytes();
        [&[0, 0, high, low], host.as_bytes(), &[0]].concat()
    }

    fn host(&self, target: u64) -> String {
        format!("coco-probe-{:016x}-{target:016x}", self.nonce)
    }

    /// Which target a datagram was sent to, if it is a beacon of this process.
    pub(crate) fn recognise(&self, datagram: &[u8]) -> Option<u64> {
        let host = std::str::from_utf8(probe_host(datagram)?).ok()?;
        let target = u64::from_str_radix(host.rsplit_once('-')?.1, 16).ok()?;
        (self.host(target) == host).then_some(target)
    }

    /// A connection to a target begins; it is known until the guard is dropped.
    pub(crate) fn connected(&self, ends: [SocketAddr; 2], target: u64) -> Connected<'_> {
        let ends = ends.map(canonical);
        self.lock().insert(ends, target);
        Connected { loops: self, ends }
    }

    /// The target whose connection a client is, which has this address and came to that one.
    pub(crate) fn target_of(&self, peer: SocketAddr, came_to: SocketAddr) -> Option<u64> {
        self.lock().get(&[peer, came_to].map(canonical)).copied()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[SocketAddr; 2], u64>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to a target, as long as it lives.
#[derive(Debug)]
pub(crate) struct Connected<'a> {
    loops: &'a Loops,
    ends: [SocketAddr; 2],
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.loops.lock().remove(&self.ends);
    }
}

/// A datagram is a probe of some Coco: a host with its prefix, and nothing else.
pub(crate) fn is_probe(datagram: &[u8]) -> bool {
    probe_host(datagram).is_some()
}

fn probe_host(datagram: &[u8]) -> Option<&[u8]> {
    let ([0, 0, high, low], rest) = datagram.split_first_chunk::<HEADER_BYTES>()? else {
        return None;
    };
    let whole = usize::from(u16::from_be_bytes([*high, *low])) == datagram.len();
    rest.strip_suffix(&[0]).filter(|host| whole && host.starts_with(PREFIX))
}

/// Switches off the target that has this beacon.
pub(crate) fn came_back(roll: &Roll, beacon: u64, how: &'static str) {
    if let Some(target) = roll.holders().find(|target| target.beacon == beacon) {
        target.switch_off(how);
    }
}

/// Whether what is sent to `address` arrives at a listener of this process.
pub(crate) fn is_own_listener(roll: &Roll, protocol: TargetProtocol, address: SocketAddr) -> bool {
    let over_udp = matches!(protocol, TargetProtocol::Collectd | TargetProtocol::LineUdp);
    let to = canonical(address);
    roll.listeners.iter().filter(|row| !row.removed).any(|row| {
        let listener = &row.listener;
        let is_udp =
            matches!(listener.protocol, ListenerProtocol::Collectd | ListenerProtocol::LineUdp);
        is_udp == over_udp
            && listener.address.port() == to.port()
            && takes(listener.address.ip(), to.ip())
    })
}

/// Whether a socket bound to `bound` gets what is sent to `to`, as far as that is this machine.
fn takes(bound: IpAddr, to: IpAddr) -> bool {
    let takes_family = bound.is_ipv6() || to.is_ipv4();
    let bound = bound.to_canonical();
    match bound.is_unspecified() {
        true => takes_family && is_here(to),
        // The kernel takes no address for this machine.
        false => bound == to || (to.is_unspecified() && bound.is_loopback()),
    }
}

/// Whether an address is this machine's.
fn is_here(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    // Without the list, the loop is found when something comes back.
    getifaddrs().is_ok_and(|mut interfaces| {
        interfaces.any(|interface| {
            let address = interface.address;
            let v4 = address.as_ref().and_then(|a| a.as_sockaddr_in()).map(|a| IpAddr::V4(a.ip()));
            let v6 = || address.as_ref()?.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip()));
            v4.or_else(v6) == Some(ip)
        })
    })
}

/// An IPv4 address as such, whatever the socket that saw it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use coco_wire::collectd::Decoder;

    use super::*;

    #[test]
    fn a_beacon_is_known_by_its_process_only_and_carries_nothing() {
        let [ours, other] = [Loops::default(), Loops::default()];
        let beacon = ours.beacon(7);
        assert_eq!(ours.recognise(&beacon), Some(7));
        assert_eq!(other.recognise(&beacon), None);
        assert!(is_probe(&beacon));
        let mut decoder = Decoder::new(&beacon);
        assert!(decoder.next().is_none() && decoder.outcome().error.is_none());
        for at in 0..beacon.len() {
            assert!(!is_probe(&beacon[..at]), "{at}");
        }
        for not in [&b""[..], b"\0\0\0\x05\0", b"\0\0\0\x0acoco-\0", b"\0\x02\0\x10coco-probe-\0"] {
            assert!(!is_probe(not) && ours.recognise(not).is_none());
        }
    }

    #[test]
    fn a_client_with_the_address_of_our_connection_is_ours_while_that_lives() {
        let loops = Loops::default();
        let ends = ["10.0.0.1:4000", "10.0.0.2:2003"].map(|text| text.parse().unwrap());
        let connected = loops.connected(ends, 5);
        assert_eq!(loops.target_of("[::ffff:10.0.0.1]:4000".parse().unwrap(), ends[1]), Some(5));
        assert_eq!(loops.target_of("10.0.0.1:4001".parse().unwrap(), ends[1]), None);
        // The same port of ours, to another place.
        assert_eq!(loops.target_of(ends[0], "10.0.0.3:2003".parse().unwrap()), None);
        drop(connected);
        assert_eq!(loops.target_of(ends[0], ends[1]), None);
    }

    #[test]
    fn a_listener_takes_what_is_sent_to_its_address() {
        for (bound, to, taken) in [
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "127.9.9.9", true),
            ("0.0.0.0", "::1", false),
            ("::", "127.0.0.1", true),
            ("::", "::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "0.0.0.0", true),
            ("0.0.0.0", "192.0.2.7", false),
        ] {
            let [bound, to] = [bound, to].map(|ip| ip.parse().unwrap());
            assert_eq!(takes(bound, to), taken, "{bound} {to}");
        }
    }
}
