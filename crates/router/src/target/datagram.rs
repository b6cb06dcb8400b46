//! UDP targets: collectd datagrams, and Graphite lines packed into datagrams.
//!
//! The socket is connected, so that the kernel can say that nobody listens. Up to 64 datagrams go out
//! with one system call.

use std::{
    io::{self, IoSlice},
    time::Duration,
};

use nix::errno::Errno;
use tokio::time::Instant;

use crate::{
    chunk::{Chunk, Format},
    target::{
        Shed, State,
        connect::{Backoff, Place},
        health::{Event, Health, Rules},
        net::{BATCH, Net, Socket},
        prober,
        refusal::{has_refused, revive},
        smooth::{AT_ONCE, Smooth},
        worker::Outbox,
    },
};

/// One refusal may be an old word on an earlier datagram; a second one within this time is not.
const REFUSALS_APART_MAX: Duration = Duration::from_secs(3);

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
    let mut backlog = Backlog::default();
    while !outbox.is_done() {
        outbox.target.set_state(State::Connecting);
        if let Some(socket) = open(outbox, &mut place, net).await {
            outbox.target.set_state(State::Unknown);
            let sent = outbox.target.meters.sent.get();
            let end = send_all(outbox, &socket, &mut place, &mut backlog).await;
            outbox.cut();
            match end {
                End::Done => continue,
                End::Refused => {
                    health.on(Event::Refused, Instant::now());
                    outbox.target.set_state(State::Suspect);
                    let (since, before) = (Instant::now(), outbox.target.meters.offered.get());
                    revive(outbox, &socket, &mut place, &mut health).await;
                    backlog.grew(outbox.target.meters.offered.get() - before, since.elapsed());
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
async fn send_all(
    outbox: &mut Outbox<'_>,
    socket: &impl Socket,
    place: &mut Place,
    backlog: &mut Backlog,
) -> End {
    let mut singles = 0;
    let mut refused_at: Option<Instant> = None;
    loop {
        if outbox.chunks.is_empty() {
            if outbox.is_done() {
                return End::Done;
            }
            if !outbox.has_more() {
                backlog.is_over();
            }
            outbox.more().await;
            outbox.take();
            pack_all(outbox);
        }
        if place.has_moved(outbox.target).await {
            return End::Done;
        }
        let rate = backlog.rate(outbox);
        match send_some(outbox, socket, if rate.is_some() { AT_ONCE } else { BATCH }) {
            Ok(taken) => {
                // The kernel tells of a refusal by taking one datagram of many, and forgets it.
                singles = if taken.one_of_many { singles + 1 } else { 0 };
                if let Some(rate) = rate {
                    backlog.wait(taken.samples, rate).await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                singles = 0;
                if let Err(error) = socket.writable().await {
                    return End::Failed(error);
                }
            }
            // This one was not sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                outbox.write_failed(&error);
                let before = refused_at.replace(Instant::now());
                if before.is_some_and(|before| before.elapsed() < REFUSALS_APART_MAX) {
                    return End::Refused;
                }
            }
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {
                singles = 0;
                outbox.write_failed(&error);
                settle_first(outbox, 1, |outbox, from_disk, samples| {
                    outbox.shed(Shed::Oversize, from_disk, samples);
                });
            }
            Err(error) => return End::Failed(error),
        }
        if singles >= SINGLES_MAX {
            singles = 0;
            // A machine that forgets refusals so is this one, and says them at once.
            let _full: io::Result<()> = socket.try_send(&[]);
            if has_refused(socket) {
                return End::Refused;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// What a target is sent more evenly than it is read: what is on disk, and what came while it was down.
#[derive(Default)]
struct Backlog {
    /// Samples a second that may go; `None`: there is no backlog, or no bound.
    rate: Option<u64>,
    smooth: Smooth,
}

/// What came while a target was down goes so many times as fast as it came, and so fast at least, in samples a
/// second.
const TIMES_LIVE: u64 = 3;
const RATE_MIN: u64 = 3_000;

impl Backlog {
    /// The target was down for this time, in which so many samples came.
    fn grew(&mut self, samples: u64, time: Duration) {
        let rate = TIMES_LIVE * samples * 1000
            / u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        self.rate = Some(rate.max(RATE_MIN));
    }

    /// All of it is sent.
    fn is_over(&mut self) {
        self.rate = None;
    }

    /// At which rate, in samples a second, the first chunk may go, if it is of a backlog. What is on disk tells it
    /// also for what waits in the queue behind that.
    fn rate(&mut self, outbox: &Outbox<'_>) -> Option<u64> {
        let is_from_disk = outbox.chunks.front().is_some_and(|chunk| chunk.spooled.is_some());
        if let Some(link) = outbox.target.link.as_ref().filter(|_| is_from_disk) {
            self.rate = link.rate();
        }
        self.rate
    }

    /// Waits until more may go.
    async fn wait(&mut self, samples: u64, rate: u64) {
        if let Some(until) = self.smooth.sent(samples, rate, Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }
}

/// What the kernel took of a batch.
struct Taken {
    samples: u64,
    /// It took one datagram of several.
    one_of_many: bool,
}

/// So often in a row the kernel takes one datagram of many only where nobody listens.
const SINGLES_MAX: u32 = 2;

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
