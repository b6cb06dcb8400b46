//! A client that sends datagrams.

use std::{
    io::IoSlice,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
};

use anyhow::ensure;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

use super::settle;
use crate::relay::sink::Arrivals;

/// Datagrams of one system call.
const BATCH: usize = 64;

/// Datagrams under way at most, which the smallest buffer on their way holds.
const UNDER_WAY_MAX: u64 = 512;

/// The same if they are at most so long.
const UNDER_WAY_MAX_SMALL: u64 = 2048;
const SMALL_BYTES: usize = 256;

/// A client of a UDP port.
#[derive(Debug)]
pub struct DatagramFeeder {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrStorage>,
    /// Each sample arrives so often: once for every replica and tier.
    copies: u64,
    /// Samples that should arrive.
    pub expected: u64,
    /// Samples that are not waited for any more.
    given_up: u64,
}

impl DatagramFeeder {
    /// A client of `address`, which passes each sample on in so many copies.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn connect(address: SocketAddr, copies: u64) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(address)?;
        Ok(Self {
            socket,
            headers: MultiHeaders::preallocate(BATCH, None),
            copies,
            expected: 0,
            given_up: 0,
        })
    }

    /// Sends the datagrams, of `each` samples each, at once.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn send(&mut self, datagrams: &[Vec<u8>], each: usize) -> anyhow::Result<()> {
        for batch in datagrams.chunks(BATCH) {
            let slices: Vec<_> = batch.iter().map(|datagram| [IoSlice::new(datagram)]).collect();
            let mut rest = slices.as_slice();
            while !rest.is_empty() {
                let (fd, none, flags) = (self.socket.as_raw_fd(), [None; BATCH], MsgFlags::empty());
                let sent = sendmmsg(fd, &mut self.headers, rest, none, [], flags)?.count();
                rest = rest.get(sent..).unwrap_or_default();
            }
            self.expected += (batch.len() * each) as u64 * self.copies;
        }
        Ok(())
    }

    /// Sends the datagrams as fast as they arrive, so that no buffer on their way overflows. What is
    /// `lossy` is taken for arrived when nothing more does.
    ///
    /// # Errors
    /// Whatever the kernel says; one that never arrives.
    pub fn send_paced<S: Arrivals>(
        &mut self,
        datagrams: &[Vec<u8>],
        each: usize,
        sinks: &mut S,
        lossy: bool,
    ) -> anyhow::Result<()> {
        let small = datagrams.iter().all(|datagram| datagram.len() <= SMALL_BYTES);
        let most = if small { UNDER_WAY_MAX_SMALL } else { UNDER_WAY_MAX };
        let under_way = most * each as u64 * self.copies;
        for batch in datagrams.chunks(BATCH) {
            let due = (self.expected - self.given_up).saturating_sub(under_way);
            let arrived = settle(sinks, due)?;
            if arrived < due {
                ensure!(lossy, "of {} samples only {arrived} arrived", self.expected);
                self.given_up = self.expected - arrived;
            }
            self.send(batch, each)?;
        }
        Ok(())
    }

    /// Waits until all have arrived, once for each copy.
    ///
    /// # Errors
    /// They have not.
    pub fn finish<S: Arrivals>(&self, sinks: &mut S) -> anyhow::Result<()> {
        let (expected, arrived) = (self.expected, settle(sinks, self.expected)?);
        ensure!(expected == arrived, "{expected} samples were due, {arrived} arrived");
        ensure!(sinks.damaged() == 0, "{} datagrams arrived damaged", sinks.damaged());
        Ok(())
    }
}
