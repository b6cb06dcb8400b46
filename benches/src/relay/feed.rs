//! Feeding a subject, never faster than it delivers, and waiting for the last sample.

use std::{
    io::{IoSlice, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};

use super::{
    corpus::Lines,
    sink::{DatagramSinks, LineSinks},
};

/// Nothing has arrived for so long: nothing more will.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Datagrams of one system call.
const BATCH: usize = 64;

/// Value lists under way at most: 512 datagrams of 27, which the smallest buffer on their way holds.
const UNDER_WAY_MAX: u64 = 512 * 27;

/// A client of a line port.
#[derive(Debug)]
pub struct LineFeeder<'a> {
    stream: TcpStream,
    sinks: &'a LineSinks,
    /// Lines and bytes sent.
    pub sent: (u64, u64),
}

impl<'a> LineFeeder<'a> {
    /// Connects, as soon as the subject listens.
    ///
    /// # Errors
    /// It does not within 20 s.
    pub fn connect(address: SocketAddr, sinks: &'a LineSinks) -> anyhow::Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => pause(),
            }
        };
        Ok(Self { stream, sinks, sent: (0, 0) })
    }

    /// Sends all lines, as fast as the subject takes them.
    ///
    /// # Errors
    /// The connection ends.
    pub fn send(&mut self, lines: &Lines) -> anyhow::Result<()> {
        self.stream.write_all(&lines.text).context("the subject closed the connection")?;
        self.sent.0 += lines.count;
        self.sent.1 += lines.text.len() as u64;
        Ok(())
    }

    /// Waits until at most `left` lines have not arrived, or no more do; tells how many have.
    pub fn wait(&self, left: u64) -> u64 {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let (arrived, _) = self.sinks.arrived();
            if arrived + left >= self.sent.0 || since.elapsed() > SILENCE_MAX {
                return arrived;
            }
            if arrived != before {
                (before, since) = (arrived, Instant::now());
            }
            pause();
        }
    }

    /// Waits until all have arrived, unchanged in number and length.
    ///
    /// # Errors
    /// They have not.
    pub fn finish(&self) -> anyhow::Result<()> {
        self.wait(0);
        let (sent, arrived) = (self.sent, self.sinks.arrived());
        ensure!(sent == arrived, "sent {sent:?} lines and bytes, {arrived:?} arrived");
        Ok(())
    }
}

/// A client of a collectd port.
#[derive(Debug)]
pub struct DatagramFeeder {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrStorage>,
    /// Each value list arrives so often: once for every tier.
    copies: u64,
    /// Value lists that should arrive.
    pub expected: u64,
}

impl DatagramFeeder {
    /// A client of `address`, which passes each value list on in so many copies.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn connect(address: SocketAddr, copies: u64) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(address)?;
        Ok(Self { socket, headers: MultiHeaders::preallocate(BATCH, None), copies, expected: 0 })
    }

    /// Sends the datagrams, of `lists` value lists each, at once.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn send(&mut self, datagrams: &[Vec<u8>], lists: usize) -> anyhow::Result<()> {
        for batch in datagrams.chunks(BATCH) {
            let slices: Vec<_> = batch.iter().map(|datagram| [IoSlice::new(datagram)]).collect();
            let mut rest = slices.as_slice();
            while !rest.is_empty() {
                let (fd, none, flags) = (self.socket.as_raw_fd(), [None; BATCH], MsgFlags::empty());
                let sent = sendmmsg(fd, &mut self.headers, rest, none, [], flags)?.count();
                rest = rest.get(sent..).unwrap_or_default();
            }
            self.expected += (batch.len() * lists) as u64 * self.copies;
        }
        Ok(())
    }

    /// Sends the datagrams as fast as they arrive, so that no buffer on their way overflows.
    ///
    /// # Errors
    /// Whatever the kernel says; one that never arrives.
    pub fn send_paced(
        &mut self,
        datagrams: &[Vec<u8>],
        lists: usize,
        sinks: &mut DatagramSinks,
    ) -> anyhow::Result<()> {
        for batch in datagrams.chunks(BATCH) {
            self.wait(UNDER_WAY_MAX, sinks)?;
            self.send(batch, lists)?;
        }
        Ok(())
    }

    /// Waits until at most `left` value lists are under way.
    ///
    /// # Errors
    /// No more arrive.
    pub fn wait(&self, left: u64, sinks: &mut DatagramSinks) -> anyhow::Result<()> {
        let (mut before, mut since) = (sinks.lists, Instant::now());
        sinks.drain()?;
        while sinks.lists + left < self.expected {
            sinks.wait(100)?;
            sinks.drain()?;
            if sinks.lists != before {
                (before, since) = (sinks.lists, Instant::now());
            }
            let (sent, arrived) = (self.expected, sinks.lists);
            ensure!(since.elapsed() < SILENCE_MAX, "of {sent} value lists only {arrived} arrived");
        }
        Ok(())
    }

    /// Waits until all have arrived, once for each copy.
    ///
    /// # Errors
    /// They have not.
    pub fn finish(&self, sinks: &mut DatagramSinks) -> anyhow::Result<()> {
        self.wait(0, sinks)?;
        let (expected, arrived) = (self.expected, sinks.lists);
        ensure!(expected == arrived, "{expected} value lists were due, {arrived} arrived");
        ensure!(sinks.damaged == 0, "{} datagrams arrived damaged", sinks.damaged);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where a condition is polled")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}
