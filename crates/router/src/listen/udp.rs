//! UDP: up to 64 datagrams a system call, routed and handed over as one batch.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd,
    rc::Rc,
    sync::Arc,
};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike, SockaddrStorage, recvmmsg};
use tokio::{io::Interest, net::UdpSocket};

use crate::{
    inlet::Inlet,
    listen::Listener,
    pipeline::Source,
    plan::ListenerProtocol,
    stage::{Stage, Stages},
    target::queue::Feeder,
};

/// Datagrams read by one system call. More gains nothing measurable and delays the first one.
const BATCH: usize = 64;

/// Room for one datagram: more than UDP can carry (65,507 bytes over IPv4, 65,527 over IPv6).
/// Untouched pages cost nothing, so the 4 MiB of a batch are mostly virtual.
const DATAGRAM_BYTES: usize = 65_536;

/// One datagram of a batch.
#[derive(Debug, Clone, Copy)]
struct Received {
    len: usize,
    truncated: bool,
    peer: Option<SocketAddr>,
}

/// Buffers for one batch of datagrams.
struct Batch {
    bytes: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    received: Vec<Received>,
}

impl Batch {
    fn new() -> Self {
        Self {
            bytes: vec![0; BATCH * DATAGRAM_BYTES],
            headers: MultiHeaders::preallocate(BATCH, None),
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Reads what is there, without waiting.
    fn fill(&mut self, socket: &UdpSocket) -> io::Result<()> {
        let Self { bytes, headers, received } = self;
        received.clear();
        let mut rooms = bytes.chunks_exact_mut(DATAGRAM_BYTES);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(rooms.next().unwrap_or_default())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None)?;
        received.extend(messages.map(|message| Received {
            len: message.bytes,
            truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
            peer: message.address.as_ref().and_then(socket_addr),
        }));
        Ok(())
    }

    /// More may wait than one system call reads.
    fn is_full(&self) -> bool {
        self.received.len() == BATCH
    }

    fn datagrams(&self) -> impl Iterator<Item = (&[u8], Received)> {
        let rooms = self.bytes.chunks_exact(DATAGRAM_BYTES);
        rooms.zip(&self.received).map(|(room, &it)| (room.get(..it.len).unwrap_or(room), it))
    }
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    match address.family()? {
        nix::sys::socket::AddressFamily::Inet => {
            address.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), a.port())))
        }
        _ => address.as_sockaddr_in6().map(|a| SocketAddr::from((a.ip(), a.port()))),
    }
}

/// Reads one socket until its listener is to stop, then reads it dry.
pub(crate) async fn serve(
    socket: UdpSocket,
    listener: Arc<Listener>,
    inlet: Rc<Inlet>,
    mut stages: Stages,
) {
    let mut batch = Batch::new();
    while stages.now() == Stage::Run {
        tokio::select! {
            ready = socket.readable() => if ready.is_err() { break },
            () = stages.changed() => continue,
        }
        match socket.try_io(Interest::READABLE, || batch.fill(&socket)) {
            Ok(()) => route(&batch, &listener, &inlet),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => listener.errors.add(1),
        }
        // The targets on this shard get their turn.
        tokio::task::yield_now().await;
    }
    // The kernel is asked, not tokio, which may not know yet what has arrived.
    while !stages.is_overdue() && batch.fill(&socket).is_ok() {
        route(&batch, &listener, &inlet);
        // The other readers of this shard may have to go on.
        tokio::task::yield_now().await;
    }
    // The kernel forgets a socket's drops when it closes.
    listener.poll_kernel_drops();
}

fn route(batch: &Batch, listener: &Listener, inlet: &Inlet) {
    inlet.route(|pipeline| {
        for (datagram, received) in batch.datagrams() {
            let from = Source { listener, peer: received.peer };
            pipeline.tally().truncated += u64::from(received.truncated);
            let unit = pipeline.tally().begin_unit();
            match listener.protocol {
                ListenerProtocol::LineUdp => pipeline.lines(datagram, &from),
                ListenerProtocol::Collectd
                | ListenerProtocol::LineTcp
                | ListenerProtocol::Pickle => pipeline.datagram(datagram, &from),
            }
            pipeline.tally().end_unit(&unit);
        }
        pipeline.publish(listener, Feeder::Datagram, batch.is_full(), &mut Vec::new());
    });
}
