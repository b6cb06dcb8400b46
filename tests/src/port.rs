//! Ports for programs that cannot say which one the kernel gave them, and what it counts on them.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Below the range that kernels use for outgoing connections, so nobody gets one by chance.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// Handed out so far: no port is given twice in a process, used or not.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// A port on 127.0.0.1 that nobody holds, neither for TCP nor for UDP.
pub fn free_port() -> u16 {
    // Two test processes start at different places.
    let start = process::id().wrapping_mul(7_919);
    loop {
        let step = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(step < COUNT, "no free port in {FIRST}..{}", FIRST + COUNT);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let port = u16::try_from(port).expect("FIRST + COUNT is below 65536");
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
}

/// What the kernel knows of the IPv4 UDP sockets of one port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UdpSockets {
    /// How many there are.
    pub count: usize,
    /// Bytes received that nobody has read yet.
    pub waiting_bytes: u64,
    /// Datagrams dropped because a socket had no room.
    pub drops: u64,
}

/// Reads the kernel's table of UDP sockets.
pub fn udp_sockets(port: u16) -> UdpSockets {
    let table = fs::read_to_string("/proc/net/udp").expect("Linux has /proc/net/udp");
    let local = format!(":{port:04X}");
    let mut sockets = UdpSockets::default();
    for line in table.lines().skip(1) {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [_, address, _, _, queues, .., drops] = columns[..] else { continue };
        if address.ends_with(&local) {
            let waiting = queues.split_once(':').map_or("", |(_, received)| received);
            sockets.count += 1;
            sockets.waiting_bytes += u64::from_str_radix(waiting, 16).unwrap_or_default();
            sockets.drops += drops.parse::<u64>().unwrap_or_default();
        }
    }
    sockets
}
