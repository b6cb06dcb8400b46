//! `host:port` texts, and which of them mean the same place.
//!
//! No name is ever resolved here: the same file must be good or bad on every machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use coco_router::plan::Address;
use thiserror::Error;

use super::words::quoted;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum AddressError {
    /// "http://…"
    #[error("{} is a URL; write host:port", quoted(.0))]
    Url(String),
    /// "::1:2003"
    #[error("{} is ambiguous; write an IPv6 address in brackets, as [::1]:2003", quoted(.0))]
    BareIpv6(String),
    /// "[::1"
    #[error("{} lacks the closing bracket after the IPv6 address", quoted(.0))]
    OpenBracket(String),
    /// "10.0.0.1"
    #[error("{} has no port; write host:port", quoted(.0))]
    NoPort(String),
    /// "10.0.0.1:http"
    #[error("port {} is not a number", quoted(.0))]
    PortText(String),
    /// "10.0.0.1:99999"
    #[error("port {port} is not in {min}..65535")]
    PortRange {
        /// The digits as written.
        port: String,
        /// The lowest port that is taken here.
        min: u16,
    },
    /// ":25826" as a target.
    #[error("{} has no host", quoted(.0))]
    NoHost(String),
    /// "10.0.0.256"
    #[error("host {} is not an IPv4 address: four numbers of 0..255", quoted(.0))]
    Ipv4(String),
    /// "[10.0.0.1]:2003"
    #[error("host {} is not an IPv6 address", quoted(.0))]
    Ipv6(String),
    /// "my host"
    #[error("host {} is not a host name: letters, digits, \"-\", \"_\" and dots", quoted(.0))]
    HostName(String),
    /// "10.0.0.1:2003:a:b", or a listener with three parts.
    #[error("{} has too many parts; write {form}", quoted(.text))]
    TooManyParts {
        /// The whole text.
        text: String,
        /// What is taken here.
        form: &'static str,
    },
    /// "10.0.0.1:2003:"
    #[error("instance {} is not one word without spaces and colons", quoted(.0))]
    Instance(String),
}

/// Reads an address to listen on: the host may be empty, and port 0 lets the kernel choose.
pub(super) fn listener(text: &str) -> Result<Address, AddressError> {
    let (host, port, instance) = split(text)?;
    if instance.is_some() {
        return Err(AddressError::TooManyParts { text: text.to_owned(), form: "host:port" });
    }
    Ok(Address { host, port: read_port(port, 0)? })
}

/// Reads an address to send to, with carbon's instance where there is one.
pub(super) fn target(text: &str) -> Result<(Address, Option<&str>), AddressError> {
    let (host, port, instance) = split(text)?;
    if host.is_empty() {
        return Err(AddressError::NoHost(text.to_owned()));
    }
    let port = read_port(port, 1)?;
    match instance {
        Some(instance) if instance.contains(':') => Err(AddressError::TooManyParts {
            text: text.to_owned(),
            form: "host:port or host:port:instance",
        }),
        Some(instance) => Ok((Address { host, port }, Some(check_instance(instance)?))),
        None => Ok((Address { host, port }, None)),
    }
}

/// Refuses an instance that an address text could not hold.
pub(super) fn check_instance(instance: &str) -> Result<&str, AddressError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == ':';
    if instance.is_empty() || instance.contains(bad) {
        return Err(AddressError::Instance(instance.to_owned()));
    }
    Ok(instance)
}

/// Reads a port, `min` or higher.
pub(super) fn read_port(text: &str, min: u16) -> Result<u16, AddressError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::PortText(text.to_owned()));
    }
    text.parse()
        .ok()
        .filter(|port| *port >= min)
        .ok_or_else(|| AddressError::PortRange { port: text.to_owned(), min })
}

/// Host, port text, and what follows a second colon.
fn split(text: &str) -> Result<(String, &str, Option<&str>), AddressError> {
    if text.contains("://") {
        return Err(AddressError::Url(text.to_owned()));
    }
    if text.parse::<Ipv6Addr>().is_ok() || (!text.starts_with('[') && text.contains("::")) {
        return Err(AddressError::BareIpv6(text.to_owned()));
    }
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) =
                inner.split_once(']').ok_or_else(|| AddressError::OpenBracket(text.to_owned()))?;
            (check_ipv6(host)?, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, rest)) => (check_host(host)?, Some(rest)),
            None => return Err(AddressError::NoPort(text.to_owned())),
        },
    };
    let rest = rest.ok_or_else(|| AddressError::NoPort(text.to_owned()))?;
    match rest.split_once(':') {
        Some((port, instance)) => Ok((host.to_owned(), port, Some(instance))),
        None => Ok((host.to_owned(), rest, None)),
    }
}

/// An IPv6 address as the system's resolver takes it, with a zone ("%eth0") or without.
fn check_ipv6(host: &str) -> Result<&str, AddressError> {
    let (ip, zone) = host.split_once('%').map_or((host, None), |(ip, zone)| (ip, Some(zone)));
    let zone_good = zone.is_none_or(|zone| !zone.is_empty() && is_label(zone));
    if ip.parse::<Ipv6Addr>().is_ok() && zone_good {
        Ok(host)
    } else {
        Err(AddressError::Ipv6(host.to_owned()))
    }
}

/// A name, an IPv4 address, or nothing.
fn check_host(host: &str) -> Result<&str, AddressError> {
    if host.is_empty() {
        return Ok(host);
    }
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return match host.parse::<Ipv4Addr>() {
            Ok(_) => Ok(host),
            Err(_) => Err(AddressError::Ipv4(host.to_owned())),
        };
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() <= HOST_BYTES_MAX && name.split('.').all(|l| !l.is_empty() && is_label(l)) {
        Ok(host)
    } else {
        Err(AddressError::HostName(host.to_owned()))
    }
}

/// Letters, digits, "-" and "_", which real networks use although the old rules do not.
fn is_label(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A host as far as it can be compared without a resolver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    /// Every address of this machine, of both families.
    Anywhere,
    /// "localhost": 127.0.0.1 or ::1, as the resolver likes.
    LocalName,
    /// One IP address, or the wildcard of its family.
    Ip(IpAddr),
    /// Any other name, in lower case, without the dot at its end.
    Name(String),
}

fn place(host: &str) -> Place {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(ip) => Place::Ip(ip.to_canonical()),
        Err(_) if host.is_empty() => Place::Anywhere,
        Err(_) if name == "localhost" => Place::LocalName,
        Err(_) => Place::Name(name),
    }
}

/// What two addresses have in common when they name one host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity(Place, u16);

/// The address without its spelling: letter case and the form of an IP do not count.
pub(super) fn identity(address: &Address) -> Identity {
    Identity(place(&address.host), address.port)
}

/// Whether the host is this machine whatever the network: what it is sent may come back to Coco.
pub(super) fn is_local(address: &Address) -> bool {
    match place(&address.host) {
        Place::Anywhere | Place::LocalName => true,
        Place::Ip(ip) => ip.is_loopback() || ip.is_unspecified(),
        Place::Name(_) => false,
    }
}

/// Whether what is sent to `target` arrives at a socket bound to `listener`.
pub(super) fn reaches(target: &Address, listener: &Address) -> bool {
    if target.port != listener.port || listener.port == 0 {
        return false;
    }
    match (place(&target.host), place(&listener.host)) {
        (to, Place::Anywhere) => to == Place::Anywhere || is_local(target),
        (_, Place::Ip(ip)) if ip.is_unspecified() => is_local(target),
        (Place::Ip(ip), _) if ip.is_unspecified() => is_local(listener),
        (to, at) => to == at || is_localhost_pair(&to, &at) || is_localhost_pair(&at, &to),
    }
}

/// Whether two listeners want one port of one address, which the kernel gives to the first only.
pub(super) fn clash(a: &Address, b: &Address) -> bool {
    if a.port != b.port || a.port == 0 {
        return false;
    }
    let (a, b) = (place(&a.host), place(&b.host));
    covers(&a, &b) || covers(&b, &a)
}

/// Whether binding `wide` takes every address of `narrow`.
fn covers(wide: &Place, narrow: &Place) -> bool {
    match (wide, narrow) {
        (Place::Anywhere, _) => true,
        (Place::Ip(ip), Place::Ip(other)) if ip.is_unspecified() => ip.is_ipv4() == other.is_ipv4(),
        _ => wide == narrow || is_localhost_pair(wide, narrow),
    }
}

/// Whether one is "localhost" and the other an address that it stands for.
fn is_localhost_pair(name: &Place, ip: &Place) -> bool {
    let localhosts = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    matches!((name, ip), (Place::LocalName, Place::Ip(ip)) if localhosts.contains(ip))
}

/// The longest host name that DNS carries.
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        listener(text).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for (text, host, port) in [
            ("127.0.0.1:25826", "127.0.0.1", 25826),
            (":25826", "", 25826),
            ("[::1]:2003", "::1", 2003),
            ("[fe80::1%eth0]:2003", "fe80::1%eth0", 2003),
            ("store_1.example.com:1", "store_1.example.com", 1),
            ("example.com.:65535", "example.com.", 65535),
            ("1a:0", "1a", 0),
        ] {
            assert_eq!(listener(text), Ok(Address { host: host.to_owned(), port }), "{text}");
        }
    }

    #[test]
    fn targets_may_have_an_instance() {
        for (text, instance) in [("a:1", None), ("a:1:b", Some("b")), ("[::1]:1:b-2", Some("b-2"))]
        {
            assert_eq!(target(text).map(|(_, instance)| instance), Ok(instance), "{text}");
        }
    }

    #[test]
    fn spelling_does_not_count() {
        for (a, b) in [
            ("EXAMPLE.com:1", "example.com.:1"),
            ("[::0001]:1", "[0:0::1]:1"),
            ("[::ffff:10.0.0.1]:1", "10.0.0.1:1"),
        ] {
            assert_eq!(identity(&at(a)), identity(&at(b)), "{a} {b}");
        }
        assert_ne!(identity(&at("a:1")), identity(&at("a:2")));
        assert_ne!(identity(&at("a:1")), identity(&at("b:1")));
    }

    #[test]
    fn a_loop_is_seen_through_wildcards_and_localhost() {
        for (to, bound, expected) in [
            ("10.0.0.1:1", "10.0.0.1:1", true),
            ("10.0.0.1:1", "10.0.0.1:2", false),
            ("10.0.0.1:1", "10.0.0.2:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.2:1", ":1", true),
            ("localhost:1", "127.0.0.1:1", true),
            ("[::1]:1", "localhost:1", true),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("10.0.0.1:1", "0.0.0.0:1", false),
        ] {
            assert_eq!(reaches(&at(to), &at(bound)), expected, "{to} -> {bound}");
        }
    }

    #[test]
    fn two_listeners_clash_only_where_the_kernel_says_so() {
        for (a, b, expected) in [
            ("10.0.0.1:1", "10.0.0.1:1", true),
            ("10.0.0.1:0", "10.0.0.1:0", false),
            ("10.0.0.1:1", "0.0.0.0:1", true),
            (":1", "[::1]:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::1]:1", "0.0.0.0:1", false),
            ("[::1]:1", "127.0.0.1:1", false),
            ("localhost:1", "127.0.0.1:1", true),
            ("10.0.0.1:1", "10.0.0.2:1", false),
        ] {
            assert_eq!(clash(&at(a), &at(b)), expected, "{a} {b}");
            assert_eq!(clash(&at(b), &at(a)), expected, "{b} {a}");
        }
    }
}
