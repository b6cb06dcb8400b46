//! UDP targets: collectd datagrams, and Graphite lines packed into datagrams.
//!
//! The socket is connected, so that the kernel can say that nobody listens. Up to 64 datagrams go out
//! with one system call.

use std::{
    io::{self, IoSlice},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg},
};
use tokio::{io::Interest, net::UdpSocket};

use crate::{
    chunk::{Chunk, Format},
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
    while !outbox.is_done() {
        outbox.target.set_state(State::Connecting);
        if let Some(socket) = open(outbox, &mut place).await {
            outbox.target.set_state(State::Unknown);
            let sent = outbox.target.meters.sent.get();
            match send_all(outbox, &socket, &mut place, &mut headers).await {
                Ok(()) => continue,
                Err(error) => outbox.write_failed(&error),
            }
            if outbox.target.meters.sent.get() > sent {
                backoff.reset();
            }
        }
        outbox.pause(&mut backoff).await;
    }
}

async fn open(outbox: &Outbox<'_>, place: &mut Place) -> Option<UdpSocket> {
    let address = place.find(outbox.target).await?;
    match connect(address).await {
        Ok(socket) => Some(socket),
        Err(error) => {
            let (tier, target) = (&outbox.target.tier, &outbox.target.plan.label);
            outbox.shared.reports.once("connect", target, || {
                tracing::warn!(%error, tier, target, "cannot open a socket; trying on");
            });
            outbox.target.meters.dial_errors.add(1);
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

/// Sends until there is no more to come, or until the name has moved. An error is one that another
/// socket may not have: no route, no buffers; nothing is given up for it.
async fn send_all(
    outbox: &mut Outbox<'_>,
    socket: &UdpSocket,
    place: &mut Place,
    headers: &mut MultiHeaders<SockaddrStorage>,
) -> io::Result<()> {
    let mut refused_before = false;
    loop {
        if outbox.chunks.is_empty() {
            if outbox.is_done() {
                return Ok(());
            }
            outbox.target.queue.ready().await;
            outbox.take();
            pack_all(outbox);
        }
        if place.has_moved(outbox.target).await {
            return Ok(());
        }
        match send_some(outbox, socket, headers) {
            Ok(()) => refused_before = false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            // It may be an old word on an earlier datagram: each is tried twice.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && !refused_before => {
                outbox.write_failed(&error);
                refused_before = true;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                refused_before = false;
                outbox.write_failed(&error);
                settle_first(outbox, 1, |outbox, samples| outbox.shed(Shed::Refused, samples));
            }
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {
                outbox.write_failed(&error);
                settle_first(outbox, 1, |outbox, samples| outbox.shed(Shed::Oversize, samples));
            }
            Err(error) => return Err(error),
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

/// Turns line chunks into frames, in place. Lines that fit into no datagram are shed.
fn pack_all(outbox: &mut Outbox<'_>) {
    let limit = outbox.target.datagram_bytes_max;
    let lines = outbox.chunks.iter_mut().filter(|chunk| chunk.format == Format::Lines);
    let lost = lines.map(|chunk| pack_lines(chunk, limit)).sum();
    outbox.chunks.retain(|chunk| !chunk.is_empty());
    outbox.shed(Shed::Oversize, lost);
}

/// Turns a chunk of lines into frames of up to `limit` bytes, and returns how many did not fit.
fn pack_lines(chunk: &mut Chunk, limit: usize) -> u64 {
    let lines = std::mem::take(&mut chunk.bytes);
    let all = std::mem::take(&mut chunk.samples);
    let (mut begun, mut samples) = (0, 0);
    for line in lines.split_inclusive(|&byte| byte == b'\n').filter(|l| l.len() <= limit) {
        if chunk.bytes.len() - begun + line.len() > limit {
            chunk.close_frame(samples);
            (begun, samples) = (chunk.bytes.len(), 0);
        }
        chunk.bytes.extend_from_slice(line);
        samples += 1;
    }
    chunk.format = Format::Frames;
    if samples > 0 {
        chunk.close_frame(samples);
    }
    all - chunk.samples
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
        assert_eq!(pack_lines(&mut chunk, 12), 1, "the one of 30 bytes fits into no datagram");
        let frames: Vec<_> = chunk.frames.iter().map(|f| (f.end, f.samples)).collect();
        assert_eq!(frames, [(10, 2), (15, 1)]);
        assert_eq!(chunk.samples, 3);
    }
}
