//! Sockets that systemd has bound (`coco.socket`): `LISTEN_FDS`, as sd_listen_fds(3) describes it.
//!
//! One is used for the listener, the API, or the agent, whose kind and address it has. The port stays open over a
//! restart then, and what comes meanwhile waits in the kernel.

use std::{
    env,
    net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket},
    os::fd::OwnedFd,
    process,
};

use coco_router::{
    handover::HandedSocket,
    plan::{Address, ListenerPlan, ListenerProtocol},
};
use listenfd::ListenFd;

use crate::handover::{ServiceSocket, SocketSet};

/// A socket with what can be told of it.
struct Found {
    socket: OwnedFd,
    is_udp: bool,
    address: SocketAddr,
}

/// The sockets of systemd that these listeners and services want; one that nothing wants is warned of, and
/// closed.
pub(crate) fn sockets(
    listeners: &[ListenerPlan],
    services: &[(&'static str, &Address)],
) -> SocketSet {
    let is_for_us = env::var("LISTEN_PID").is_ok_and(|id| id == process::id().to_string());
    let found = if is_for_us { find(&mut ListenFd::from_env()) } else { Vec::new() };
    choose(found, listeners, services)
}

fn find(given: &mut ListenFd) -> Vec<Found> {
    let mut found = Vec::new();
    for at in 0..given.len() {
        if let Ok(Some(socket)) = given.take_tcp_listener(at) {
            found.extend(tcp(socket));
        } else if let Ok(Some(socket)) = given.take_udp_socket(at) {
            found.extend(udp(socket));
        } else {
            tracing::warn!(at, "systemd handed over something that is no TCP or UDP socket");
        }
    }
    found
}

fn tcp(socket: TcpListener) -> Option<Found> {
    let address = socket.local_addr().ok()?;
    Some(Found { address, is_udp: false, socket: socket.into() })
}

fn udp(socket: UdpSocket) -> Option<Found> {
    let address = socket.local_addr().ok()?;
    Some(Found { address, is_udp: true, socket: socket.into() })
}

fn choose(
    mut found: Vec<Found>,
    plans: &[ListenerPlan],
    services: &[(&'static str, &Address)],
) -> SocketSet {
    if found.is_empty() {
        return SocketSet { listeners: Vec::new(), services: Vec::new() };
    }
    let mut listeners = Vec::new();
    for plan in plans {
        let is_udp =
            matches!(plan.protocol, ListenerProtocol::Collectd | ListenerProtocol::LineUdp);
        for taken in take(&mut found, is_udp, &plan.address) {
            let (protocol, address) = (plan.protocol, plan.address.clone());
            listeners.push(HandedSocket { protocol, address, socket: taken.socket });
        }
    }
    let mut own = Vec::new();
    for (service, address) in services {
        for Found { socket, .. } in take(&mut found, false, address) {
            own.push(ServiceSocket { service, address: (*address).clone(), socket });
        }
    }
    for Found { address, is_udp, .. } in found {
        let kind = if is_udp { "UDP" } else { "TCP" };
        tracing::warn!(%address, kind, "no listener is configured for a socket of systemd; closed");
    }
    SocketSet { listeners, services: own }
}

/// All UDP sockets of the address, or one of TCP.
fn take(found: &mut Vec<Found>, is_udp: bool, address: &Address) -> Vec<Found> {
    let host = if address.host.is_empty() { "::" } else { address.host.as_str() };
    // What cannot be resolved is told when it is bound.
    let Some(wanted) = (host, address.port).to_socket_addrs().ok().and_then(|mut all| all.next())
    else {
        return Vec::new();
    };
    let is_it = |found: &mut Found| found.is_udp == is_udp && found.address == wanted;
    found.extract_if(.., is_it).take(if is_udp { usize::MAX } else { 1 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_goes_to_the_listener_of_its_kind_and_address() {
        let of_tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
        let of_udp = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (lines, api, nobody) = (of_tcp(), of_tcp(), of_tcp());
        let lists = of_udp();
        let address =
            |socket: SocketAddr| Address { host: "127.0.0.1".to_owned(), port: socket.port() };
        let plan = |protocol, address| ListenerPlan { protocol, address, receive_buffer: 1 << 20 };
        let plans = [
            plan(ListenerProtocol::LineTcp, address(lines.local_addr().unwrap())),
            plan(ListenerProtocol::Collectd, address(lists.local_addr().unwrap())),
            // The same port, but not the same kind.
            plan(ListenerProtocol::LineUdp, address(lines.local_addr().unwrap())),
        ];
        let api_address = address(api.local_addr().unwrap());
        let found = [tcp(nobody), udp(lists), tcp(api), tcp(lines)].into_iter().flatten().collect();
        let set = choose(found, &plans, &[("api", &api_address)]);
        let protocols: Vec<_> = set.listeners.iter().map(|handed| handed.protocol).collect();
        assert_eq!(protocols, [ListenerProtocol::LineTcp, ListenerProtocol::Collectd]);
        let own: Vec<_> = set.services.iter().map(|own| (own.service, &own.address)).collect();
        assert_eq!(own, [("api", &api_address)]);
    }
}
