//! A client that sends datagrams.

use std::{
    io::IoSlice,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

use anyhow::ensure;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg},
};

use super::{pause, settle};
use crate::relay::sink::Arrivals;

/// Datagrams of one system call.
const BATCH: usize = 64;

/// How a feeder keeps back.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Datagrams under way at most.
    pub under_way_max: u64,
    /// Nothing is waited for; a break of so long after each batch must do.
    pub lossy: bool,
}

/// Between batches to a lossy program.
const BREAK: Duration = Duration::from_millis(2);

impl Pace {
    /// So that the smallest buffer on their way holds them: Coco's, or the bare loop's.
    pub const FULL: Self = Self { under_way_max: 512, lossy: false };

    /// The same for datagrams of 256 bytes at most.
    pub const SMALL: Self = Self { under_way_max: 2048, lossy: false };

    /// For a program that leaves its buffers as small as the kernel makes them, and loses what it
    /// does not read in time however little is under way: 32,000 datagrams a second.
    pub const PEER: Self = Self { under_way_max: u64::MAX, lossy: true };
}

/// A client of a UDP port.
#[derive(Debug)]
pub struct DatagramFeeder {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrStorage>,
    /// Each sample arrives so often: once for every replica and tier.
    copies: u64,
    /// Samples that should arrive.
    pub expected: u64,
}

impl DatagramFeeder {
    /// A client of `address`, which passes each sample on in so many copies.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn connect(address: SocketAddr, copies: u64) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(address)?;
        Ok(Self { socket, headers: MultiHeaders::preallocate(BATCH, None), copies, expected: 0 })
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
                let sent = match sendmmsg(fd, &mut self.headers, rest, none, [], flags) {
                    Ok(sent) => sent.count(),
                    // Word of one before: it came when nobody listened yet.
                    Err(Errno::ECONNREFUSED) if self.expected == 0 => {
                        pause(BREAK);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                rest = rest.get(sent..).unwrap_or_default();
            }
            self.expected += (batch.len() * each) as u64 * self.copies;
        }
        Ok(())
    }

    /// Sends the datagrams as fast as they arrive, so that no buffer on their way overflows.
    ///
    /// # Errors
    /// Whatever the kernel says; one that never arrives.
    pub fn send_paced<S: Arrivals>(
        &mut self,
        datagrams: &[Vec<u8>],
        each: usize,
        sinks: &mut S,
        pace: Pace,
    ) -> anyhow::Result<()> {
        let under_way = pace.under_way_max.saturating_mul(each as u64 * self.copies);
        for batch in datagrams.chunks(BATCH) {
            if pace.lossy {
                pause(BREAK);
            }
            let due = self.expected.saturating_sub(under_way);
            let arrived = settle(sinks, due)?;
            ensure!(arrived >= due, "of {} samples only {arrived} arrived", self.expected);
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
