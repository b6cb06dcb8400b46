//! UDP sinks: read without waiting, by the thread that feeds, so that it knows what is under way.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, AsRawFd},
};

use coco_wire::collectd::{Decoder, Item};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg},
};

use super::{Arrivals, Places, widen};

/// Datagrams read by one system call.
const BATCH: usize = 64;

/// Room for one datagram.
const DATAGRAM_BYTES: usize = 2048;

/// UDP sockets that decode and count what collectd would get.
#[derive(Debug)]
pub struct DatagramSinks {
    sockets: Vec<UdpSocket>,
    bytes: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    /// Value lists that arrived.
    pub lists: u64,
    /// Datagrams that arrived.
    pub datagrams: u64,
    /// Datagrams with something else in them than whole value lists.
    pub damaged: u64,
    /// Where the hosts' values arrived, while `watching`.
    pub places: Places,
    /// Note the places; set it only for what is not measured, the rest is counted all the same.
    pub watching: bool,
}

impl DatagramSinks {
    /// Opens `count` sinks on ports of the kernel's choice.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn start(count: usize) -> io::Result<Self> {
        let open = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            widen(&socket)?;
            Ok(socket)
        };
        Ok(Self {
            sockets: (0..count).map(open).collect::<io::Result<_>>()?,
            bytes: vec![0; BATCH * DATAGRAM_BYTES],
            headers: MultiHeaders::preallocate(BATCH, None),
            lists: 0,
            datagrams: 0,
            damaged: 0,
            places: Places::default(),
            watching: true,
        })
    }

    /// Where they listen.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// Waits for something to arrive, at most so long.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn wait(&self, millis_max: u8) -> io::Result<()> {
        let mut fds: Vec<_> =
            self.sockets.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::from(millis_max))?;
        Ok(())
    }

    /// Reads all that is there.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn drain(&mut self) -> io::Result<()> {
        for at in 0..self.sockets.len() {
            while self.read(at)? == BATCH {}
        }
        Ok(())
    }

    /// Reads one batch of one sink.
    fn read(&mut self, at: usize) -> io::Result<usize> {
        let Some(socket) = self.sockets.get(at) else { return Ok(0) };
        let mut lengths = [0; BATCH];
        let count = {
            let mut rooms = self.bytes.chunks_exact_mut(DATAGRAM_BYTES);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            match recvmmsg(fd, &mut self.headers, slices.iter_mut(), flags, None) {
                Ok(received) => lengths
                    .iter_mut()
                    .zip(received)
                    .map(|(length, message)| *length = message.bytes)
                    .count(),
                // Nothing there, or word of a datagram that the subject sent back.
                Err(Errno::EAGAIN | Errno::ECONNREFUSED) => 0,
                Err(error) => return Err(error.into()),
            }
        };
        for (room, length) in self.bytes.chunks_exact(DATAGRAM_BYTES).zip(lengths).take(count) {
            let mut decoder = Decoder::new(room.get(..length).unwrap_or(room));
            let mut host: &[u8] = &[];
            for item in decoder.by_ref() {
                let Item::Values(list) = item else { continue };
                self.lists += 1;
                if self.watching && !std::ptr::eq(host, list.identity.host) {
                    host = list.identity.host;
                    self.places.note(host, at);
                }
            }
            self.datagrams += 1;
            self.damaged += u64::from(!decoder.outcome().strict);
        }
        Ok(count)
    }
}

impl Arrivals for DatagramSinks {
    fn samples(&mut self) -> io::Result<u64> {
        self.drain()?;
        Ok(self.lists)
    }

    fn wait(&self, millis_max: u8) -> io::Result<()> {
        Self::wait(self, millis_max)
    }

    fn damaged(&self) -> u64 {
        self.damaged
    }
}
