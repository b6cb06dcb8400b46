//! UDP targets: collectd datagrams, and Graphite lines packed into datagrams.
//!
//! The socket is connected, so that the kernel can say that nobody listens. Up to 64 datagrams go out
//! with one system call.

use std::io::{self, IoSlice};

use nix::errno::Errno;
use tokio::time::Instant;

use crate::{
    chunk::{Chunk, Format},
    target::{
        Shed, State,
        connect::{Backoff, Place},
        health::{Event, Health, Rules},
        net::{BATCH, Net, Socket},
        outbox::Outbox,
        prober,
        refusal::{Suspicion, revive},
        smooth::AT_ONCE,
    },
};

/// Why a socket is given up.
enum End {
    /// No more will come, or the name has moved.
    Done,
    /// Nobody listens there.
    Refused,
    /// What another socket may not meet: no route, no memory.
    Failed(io::Error),
}

/// Sends until the queue is closed and empty.
pub(crate) async fn serve(outbox: &mut Outbox<'_>, net: &impl Net) {
    let mut place = Place::new(&outbox.target.plan.address);
    let mut backoff = Backoff::new();
    let mut health = Health::new(Rules::REFUSED);
    while !outbox.is_done() {
        outbox.target.set_state(State::Connecting);
        if let Some(socket) = open(outbox, &mut place, net).await {
            outbox.target.set_state(State::Unknown);
            let sent = outbox.target.meters.sent.get();
            let end = send_all(outbox, &socket, &mut place).await;
            outbox.cut();
            match end {
                End::Done => continue,
                End::Refused => {
                    health.on(Event::Refused, Instant::now());
                    outbox.target.set_state(State::Suspect);
                    let (since, before) = (Instant::now(), outbox.target.meters.offered.get());
                    revive(outbox, &socket, &mut place, &mut health).await;
                    outbox.held_back(before, since);
                    continue;
                }
                End::Failed(error) => {
                    outbox.target.set_state(State::Connecting);
                    outbox.write_failed(&error);
                }
            }
            if outbox.target.meters.sent.get() > sent {
                backoff.reset();
            }
        }
        outbox.pause(&mut backoff).await;
    }
}

async fn open<N: Net>(outbox: &Outbox<'_>, place: &mut Place, net: &N) -> Option<N::Socket> {
    let address = place.find(outbox.target).await?;
    if prober::is_ourselves(outbox.target, outbox.shared, address) {
        return None;
    }
    match net.open(address).await {
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

/// Sends until there is no more to come, or the target refuses, or the socket fails.
async fn send_all(outbox: &mut Outbox<'_>, socket: &impl Socket, place: &mut Place) -> End {
    let mut suspicion = Suspicion::default();
    loop {
        if outbox.chunks.is_empty() {
            if outbox.is_done() {
                return End::Done;
            }
            fetch(outbox).await;
        }
        if place.has_moved(outbox.target).await {
            return End::Done;
        }
        let rate = outbox.backlog_rate();
        match send_some(outbox, socket, if rate.is_some() { AT_ONCE } else { BATCH }) {
            Ok(taken) => {
                if let Some(rate) = rate {
                    outbox.backlog.wait(taken.samples, rate).await;
                }
                if suspicion.sent(socket, taken.one_of_many).await {
                    return End::Refused;
                }
            }
            Err(error) => {
                if let Some(end) = go_on_after(error, outbox, socket, &mut suspicion).await {
                    return end;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Waits for more to send, and takes it.
async fn fetch(outbox: &mut Outbox<'_>) {
    if !outbox.has_more() {
        outbox.backlog.is_over();
    }
    outbox.more().await;
    outbox.take();
    pack_all(outbox);
}

/// A batch was not taken, or not its first datagram: whether the use of the socket ends by that.
async fn go_on_after(
    error: io::Error,
    outbox: &mut Outbox<'_>,
    socket: &impl Socket,
    suspicion: &mut Suspicion,
) -> Option<End> {
    if error.kind() == io::ErrorKind::WouldBlock {
        suspicion.failed();
        return socket.writable().await.err().map(End::Failed);
    }
    // This one was not sent.
    if error.kind() == io::ErrorKind::ConnectionRefused {
        outbox.write_failed(&error);
        return suspicion.refused().then_some(End::Refused);
    }
    if error.raw_os_error() != Some(Errno::EMSGSIZE as i32) {
        return Some(End::Failed(error));
    }
    suspicion.failed();
    outbox.write_failed(&error);
    settle_first(outbox, 1, |outbox, from_disk, samples| {
        outbox.shed(Shed::Oversize, from_disk, samples);
    });
    None
}

/// What the kernel took of a batch.
struct Taken {
    samples: u64,
    /// It took one datagram of several.
    one_of_many: bool,
}

/// Sends the next datagrams of the first chunk and settles them.
fn send_some(outbox: &mut Outbox<'_>, socket: &impl Socket, at_once: usize) -> io::Result<Taken> {
    let Some(chunk) = outbox.chunks.front_mut() else {
        return Ok(Taken { samples: 0, one_of_many: false });
    };
    let mut slices = [[IoSlice::new(&[])]; BATCH];
    let (mut used, mut start) = (0, chunk.start);
    for (slice, frame) in slices.iter_mut().zip(&chunk.frames).take(at_once) {
        *slice = [IoSlice::new(chunk.bytes.get(start..frame.end).unwrap_or_default())];
        start = frame.end;
        used += 1;
    }
    let count = socket.try_send_many(slices.get(..used).unwrap_or_default())?;
    let mut taken = Taken { samples: 0, one_of_many: count == 1 && used > 1 };
    settle_first(outbox, count, |outbox, from_disk, samples| {
        taken.samples = samples;
        outbox.sent(from_disk, samples);
    });
    Ok(taken)
}

/// Settles the first `count` datagrams of the first chunk by `fate`.
fn settle_first(outbox: &mut Outbox<'_>, count: usize, fate: impl FnOnce(&Outbox<'_>, bool, u64)) {
    let Some(chunk) = outbox.chunks.front_mut() else { return };
    let from_disk = chunk.spooled.is_some();
    let end = count.checked_sub(1).and_then(|last| chunk.frames.get(last)).map_or(0, |f| f.end);
    let samples = chunk.settle(end);
    if chunk.frames.is_empty() {
        outbox.drop_first();
        outbox.drop_empty();
    }
    fate(outbox, from_disk, samples);
}

/// Turns line chunks into frames, in place. Lines that fit into no datagram are shed.
fn pack_all(outbox: &mut Outbox<'_>) {
    let limit = outbox.target.datagram_bytes_max;
    let mut lost = [0, 0];
    for chunk in outbox.chunks.iter_mut().filter(|chunk| chunk.format == Format::Lines) {
        let [direct, from_disk] = &mut lost;
        let lost = if chunk.spooled.is_some() { from_disk } else { direct };
        *lost += pack_lines(chunk, limit);
    }
    outbox.drop_empty();
    let [direct, from_disk] = lost;
    outbox.shed(Shed::Oversize, false, direct);
    outbox.shed(Shed::Oversize, true, from_disk);
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
