//! Ports for programs that cannot say which one the kernel gave them, and what it counts on them.

use std::{
    fmt::Display,
    fs, io, process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::wait::{SOON, wait_for};

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
        if !["tcp", "tcp6", "udp", "udp6"].iter().any(|table| is_in(table, port)) {
            return port;
        }
    }
}

/// Whether a socket of this table of the kernel has the port. To try and bind it would take it for a moment,
/// and for longer if another thread starts a process just then (see [`bind`]).
fn is_in(table: &str, port: u16) -> bool {
    // A machine without IPv6 has no table of it.
    let table = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    let local = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .any(|address| address.ends_with(&local))
}

/// Binds an address that may have been closed just now. A process that another thread is starting has all
/// sockets of this one until it runs its program, so what is closed here can still be open there: seen to
/// last 27 ms on a busy machine.
#[track_caller]
pub fn bind<T>(address: impl Display, mut attempt: impl FnMut() -> io::Result<T>) -> T {
    wait_for(&format!("{address} to be free"), SOON, || {
        attempt().map_err(|error| error.to_string())
    })
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
