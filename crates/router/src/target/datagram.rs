//! UDP targets: collectd datagrams, and Graphite lines packed into datagrams.
//!
//! The socket is connected, so that the kernel can say that nobody listens. Up to 64 datagrams go out
//! with one system call.

use std::{
    io::{self, IoSlice},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};

use memchr::{memchr, memchr_iter, memrchr};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use tokio::{io::Interest, net::UdpSocket};

use crate::{
    chunk::{Chunk, Format, Frame},
    target::{
        Shed, State,
        connect::{Backoff, Place},
        worker::Outbox,
    },
};

/// Datagrams sent by one system call.
const BATCH: usize = 64;

/// Sends until the queue is closed and empty.
pub(crate) async fn serve(outbox: &mut Outbox<'_>) {
    let mut place = Place::new(&outbox.target.plan.address);
    let mut backoff = Backoff::new();
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    loop {
        outbox.target.set_state(State::Connecting);
        match open(outbox, &mut place).await {
            Some(socket) => {
                backoff.reset();
                outbox.target.set_state(State::Unknown);
                if send_all(outbox, &socket, &mut place, &mut headers).await {
                    return;
                }
            }
            None => tokio::time::sleep(backoff.pause()).await,
        }
    }
}

async fn open(outbox: &Outbox<'_>, place: &mut Place) -> Option<UdpSocket> {
    let address = place.find(outbox.target).await?;
    match connect(address).await {
        Ok(socket) => Some(socket),
        Err(error) => {
            let meters = &outbox.target.meters;
            if meters.dial_errors.get() == 0 {
                let (tier, target) = (&outbox.target.tier, &outbox.target.plan.label);
                tracing::warn!(%error, tier, target, "cannot open a socket; trying on");
            }
            meters.dial_errors.add(1);
            None
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// `true`: the queue is closed and empty. `false`: the name has moved, open another socket.
async fn send_all(
    outbox: &mut Outbox<'_>,
    socket: &UdpSocket,
    place: &mut Place,
    headers: &mut MultiHeaders<SockaddrStorage>,
) -> bool {
    let mut refused_before = false;
    loop {
        if outbox.chunks.is_empty() {
            if outbox.target.queue.is_finished() {
                return true;
            }
            outbox.target.queue.ready().await;
            outbox.take();
            let limit = outbox.target.datagram_bytes_max;
            outbox.chunks.iter_mut().for_each(|chunk| pack_lines(chunk, limit));
        }
        if place.has_moved(outbox.target).await {
            return false;
        }
        match send_some(outbox, socket, headers) {
            Ok(()) => refused_before = false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if socket.writable().await.is_err() {
                    return false;
                }
            }
            // One error may be an old one of an earlier datagram: each is tried twice.
            Err(_) if !refused_before => {
                outbox.target.meters.write_errors.add(1);
                refused_before = true;
            }
            Err(error) => {
                refused_before = false;
                refuse_first(outbox, &error);
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Sends the next datagrams of the first chunk and settles them.
fn send_some(
    outbox: &mut Outbox<'_>,
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrStorage>,
) -> io::Result<()> {
    let Some(chunk) = outbox.chunks.front_mut() else { return Ok(()) };
    let mut slices = [[IoSlice::new(&[])]; BATCH];
    let (mut used, mut start) = (0, chunk.start);
    for (slice, frame) in slices.iter_mut().zip(&chunk.frames) {
        *slice = [IoSlice::new(chunk.bytes.get(start..frame.end).unwrap_or_default())];
        start = frame.end;
        used += 1;
    }
    let slices = slices.get(..used).unwrap_or_default();
    let addresses = [None; BATCH];
    let count = socket.try_io(Interest::WRITABLE, || {
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = sendmmsg(socket.as_raw_fd(), headers, slices, addresses, [], flags)?;
        Ok(sent.count())
    })?;
    settle_first(outbox, count, |outbox, samples| outbox.sent(samples));
    Ok(())
}

/// The kernel refused the first datagram twice.
fn refuse_first(outbox: &mut Outbox<'_>, error: &io::Error) {
    if outbox.target.meters.shed(Shed::Refused).get() == 0 {
        let (tier, target) = (&outbox.target.tier, &outbox.target.plan.label);
        tracing::warn!(%error, tier, target, "the kernel refuses datagrams to this target");
    }
    outbox.target.meters.write_errors.add(1);
    settle_first(outbox, 1, |outbox, samples| outbox.shed(Shed::Refused, samples));
}

/// Settles the first `count` datagrams of the first chunk by `fate`.
fn settle_first(outbox: &mut Outbox<'_>, count: usize, fate: impl FnOnce(&Outbox<'_>, u64)) {
    let Some(chunk) = outbox.chunks.front_mut() else { return };
    let end = count.checked_sub(1).and_then(|last| chunk.frames.get(last)).map_or(0, |f| f.end);
    let samples = chunk.settle(end);
    if chunk.frames.is_empty() {
        outbox.drop_first();
    }
    fate(outbox, samples);
}

/// Turns a chunk of lines into frames of up to `limit` bytes; a longer line is a datagram of its own.
fn pack_lines(chunk: &mut Chunk, limit: usize) {
    if chunk.format == Format::Frames {
        return;
    }
    chunk.format = Format::Frames;
    let (mut start, mut samples) = (0, 0);
    while start < chunk.bytes.len() {
        let rest = chunk.bytes.get(start..).unwrap_or_default();
        let room = rest.get(..limit).unwrap_or(rest);
        let fits = memrchr(b'\n', room).or_else(|| memchr(b'\n', rest));
        let unit = rest.get(..=fits.unwrap_or(rest.len() - 1)).unwrap_or(rest);
        let count = memchr_iter(b'\n', unit).fold(0, |count, _| count + 1);
        start += unit.len();
        samples += count;
        chunk.frames.push(Frame { end: start, samples: count });
    }
    debug_assert_eq!(samples, chunk.samples);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_packed_whole_up_to_the_limit() {
        let mut chunk = Chunk::default();
        for len in [4, 4, 30, 4] {
            chunk.push_line(&vec![b'x'; len]);
        }
        pack_lines(&mut chunk, 12);
        let frames: Vec<_> = chunk.frames.iter().map(|f| (f.end, f.samples)).collect();
        assert_eq!(frames, [(10, 2), (41, 1), (46, 1)]);
    }
}
