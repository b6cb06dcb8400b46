//! Sending one canary to one listener.
//!
//! Invariant: it goes to an address that the router was asked at, or that is on the same machine as both;
//! a listener that is elsewhere is not tried, as another process may be there.

use std::{
    io::{ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    time::Duration,
};

use coco_checks::Grade;
use coco_wire::{
    collectd::{Identity, Packer, TIME_UNITS_PER_SECOND, ValueList, Values},
    pickle::encode_frame,
};

use super::canary::{HOST, NAME, PLUGIN, TYPE};
use crate::ks::unix_now;

/// Longest time until a listener takes a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time that one canary takes: for the connection, and for what is written to it.
pub(super) const SEND_MAX: Duration = CONNECT_TIMEOUT.saturating_mul(2);

/// Why nothing was sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unsent {
    /// Critical where the listener is at fault; unknown where it was not even tried.
    pub(super) grade: Grade,
    pub(super) text: String,
    /// Another try takes as long, or comes to the same.
    pub(super) is_final: bool,
}

impl Unsent {
    /// It was not tried.
    pub(super) fn untried(text: String) -> Self {
        Self { grade: Grade::Unknown, text, is_final: true }
    }
}

/// Sends one canary to a listener of the router at this host and port.
pub(super) fn send_to(host: &str, protocol: &str, address: &str) -> Result<(), Unsent> {
    let place = place(host, address).map_err(Unsent::untried)?;
    let send = |error: std::io::Error| Unsent {
        grade: Grade::Critical,
        text: format!("cannot send to {place}: {error}"),
        is_final: matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock),
    };
    let now = format!("{:.0}", unix_now().floor());
    let line = format!("{NAME} 1 {now}\n");
    match protocol {
        "line-tcp" => stream(place, line.as_bytes()).map_err(send),
        "line-udp" => datagram(place, line.as_bytes()).map_err(send),
        "pickle" => {
            let mut frame = Vec::new();
            encode_frame(std::iter::once(line.trim_end().as_bytes()), &mut frame);
            stream(place, &frame).map_err(send)
        }
        "collectd" => datagram(place, &collectd(&now).map_err(Unsent::untried)?).map_err(send),
        other => Err(Unsent::untried(format!("no canary speaks {other}"))),
    }
}

/// Where to reach a listener, as far as it is sure that the router is there.
fn place(host: &str, address: &str) -> Result<SocketAddr, String> {
    let bound: SocketAddr = address.parse().map_err(|_| format!("{address:?} is no address"))?;
    let asked = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    let asked: Vec<IpAddr> = asked.map(|place| place.ip().to_canonical()).collect();
    let ip = bound.ip().to_canonical();
    if ip.is_unspecified() {
        // One that listens on all addresses of IPv6 takes those of IPv4 too.
        let reached = asked.iter().find(|asked| ip.is_ipv6() || asked.is_ipv4());
        let reached = reached.map(|asked| SocketAddr::new(*asked, bound.port()));
        return reached.ok_or_else(|| {
            format!("it listens on {bound}, and {host} has no such address: ask at one that has")
        });
    }
    if asked.contains(&ip) || (asked.iter().any(is_here) && is_here(&ip)) {
        return Ok(bound);
    }
    Err(format!("it listens on {bound}, which is not where it was asked; try from that machine"))
}

/// Whether this is an address of this machine: then what goes there comes from there.
fn is_here(ip: &IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        // Nothing is sent by this; any port will do.
        socket.connect((*ip, 9))?;
        socket.local_addr()
    };
    ip.is_loopback() || source().is_ok_and(|source: SocketAddr| source.ip() == *ip)
}

fn stream(place: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&place, CONNECT_TIMEOUT)?;
    stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
    stream.write_all(bytes)
}

fn datagram(place: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
    let here = if place.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    UdpSocket::bind(here)?.send_to(bytes, place).map(|_| ())
}

/// A datagram with a gauge.
fn collectd(now: &str) -> Result<Vec<u8>, String> {
    let (kinds, raw) = ([1], 1.0_f64.to_le_bytes());
    let values = Values::try_new(&kinds, &raw).map_err(|error| error.to_string())?;
    let identity = Identity {
        host: HOST.as_bytes(),
        plugin: PLUGIN.as_bytes(),
        plugin_instance: b"",
        type_: TYPE.as_bytes(),
        type_instance: b"",
    };
    let second = now.parse::<u64>().unwrap_or(1);
    let (time, interval) = (second * TIME_UNITS_PER_SECOND, 10 * TIME_UNITS_PER_SECOND);
    let (mut packer, mut out) = (Packer::new(1024), Vec::new());
    packer.begin(0);
    let list = ValueList { identity, time, interval, values };
    packer.push(&mut out, &list).map_err(|_| "the canary fits no datagram".to_owned())?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use coco_wire::collectd::{Decoder, Item};

    use super::*;
    use crate::verify::canary::identifier;

    #[test]
    fn a_datagram_has_the_gauge() {
        let datagram = collectd("1764105600").unwrap();
        let items: Vec<_> = Decoder::new(&datagram).collect();
        let [Item::Values(list)] = &items[..] else { panic!("{items:?}") };
        let mut name = Vec::new();
        coco_wire::collectd::identifier(&list.identity, &mut name);
        assert_eq!(String::from_utf8(name).unwrap(), identifier());
        assert_eq!(list.time, 1_764_105_600 << 30);
    }

    #[test]
    fn a_listener_is_reached_where_it_is() {
        for (host, address, reached) in [
            ("127.0.0.1:9090", "0.0.0.0:2003", Ok("127.0.0.1:2003")),
            ("[::1]:9090", "[::]:2003", Ok("[::1]:2003")),
            ("203.0.113.1:9090", "[::]:2003", Ok("203.0.113.1:2003")),
            ("[::1]:9090", "0.0.0.0:2003", Err("no such address")),
            ("203.0.113.1:9090", "203.0.113.1:2003", Ok("203.0.113.1:2003")),
            ("203.0.113.1:9090", "203.0.113.2:2003", Err("not where it was asked")),
            ("127.0.0.1:9090", "203.0.113.2:2003", Err("not where it was asked")),
            ("203.0.113.1:9090", "127.0.0.1:2003", Err("not where it was asked")),
            ("127.0.0.1:9090", "127.0.0.1:2003", Ok("127.0.0.1:2003")),
            ("[::1]:9090", "127.0.0.1:2003", Ok("127.0.0.1:2003")),
            ("127.0.0.1:9090", "unix", Err("is no address")),
        ] {
            match (place(host, address), reached) {
                (Ok(place), Ok(wanted)) => assert_eq!(place.to_string(), wanted),
                (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{why}"),
                (place, _) => panic!("{host} {address}: {place:?}"),
            }
        }
    }
}
