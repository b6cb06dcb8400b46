//! The side of the shards: what fits in, who is held back, and what is shed at the bound.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{Inner, Queue};
use crate::{chunk::Chunk, plan::OnFull};

/// Small chunks are joined up to this size, so that a quiet minute is not thousands of chunks.
const JOINED_BYTES_MAX: usize = 64 * 1024;

/// A queue may hold so much whatever all queues together hold: a target that takes its samples needs no more.
const LEVEL_MIN: usize = 64 * 1024;

/// How a chunk is offered when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feeder {
    /// Can be held back: each client may pass the bound by what it had read when it was told.
    Stream,
    /// Cannot be held back (UDP): at the bound the oldest samples are shed at once, or the new ones
    /// while stream clients wait.
    Datagram,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Offered {
    /// Samples shed at the bound.
    pub(crate) shed: u64,
    /// The queue is full and its stream clients should wait.
    pub(crate) full: bool,
    /// The queue is half full and does not spool.
    pub(crate) high: bool,
    /// The bound was that of all queues' memory together.
    pub(crate) by_memory: bool,
}

impl Queue {
    /// Takes all of `chunk`, which is left empty, unless the queue has come to its end: then the chunk
    /// stays as it is. At the bound, streams are held back first, unless the queue is to shed at once;
    /// samples are shed for a stream only when that has lasted `block_timeout`.
    pub(crate) fn offer(&self, chunk: &mut Chunk, feeder: Feeder) -> Offered {
        let mut inner = self.lock();
        let mut offered = Offered::default();
        if inner.ended {
            return offered;
        }
        let bound = inner.bound();
        offered.by_memory = bound < inner.bytes_max;
        let is_over = inner.bytes + chunk.weight() > bound;
        inner.overfull |= is_over;
        if is_over && self.on_full == OnFull::ShedNewest {
            offered.shed = chunk.samples;
            chunk.clear();
            return offered;
        }
        if is_over && self.on_full != OnFull::ShedOldest {
            let since = *inner.full_since.get_or_insert_with(Instant::now);
            let patient = since.elapsed() < inner.block_timeout;
            self.holds_back.fetch_or(feeder == Feeder::Stream && patient, Ordering::Relaxed);
            if feeder == Feeder::Datagram && patient && self.holds_back() {
                // Streams wait for what is queued to be sent: it must not be shed for a newcomer.
                offered.shed = chunk.samples;
                chunk.clear();
                return offered;
            }
            offered.full = feeder == Feeder::Stream && patient;
        }
        inner.take_in(chunk);
        offered.high = self.on_full == OnFull::Spool && !inner.spooling && inner.bytes >= bound / 2;
        if !offered.full {
            offered.shed = inner.shed_to(bound);
        }
        drop(inner);
        self.ready.notify_one();
        offered
    }

    /// It is full, and stream clients that feed it should wait.
    pub(crate) fn holds_back(&self) -> bool {
        self.holds_back.load(Ordering::Relaxed)
    }

    /// Returns when stream clients need no longer wait: there is room again, or the queue has been
    /// full for `block_timeout`.
    pub(crate) async fn room(&self) {
        loop {
            let notified = self.room.notified();
            let (full_since, block_timeout) = {
                let inner = self.lock();
                (inner.full_since.filter(|_| !inner.closed), inner.block_timeout)
            };
            let Some(since) = full_since else { return };
            let left = block_timeout.saturating_sub(since.elapsed());
            if left.is_zero() || tokio::time::timeout(left, notified).await.is_err() {
                return;
            }
        }
    }

    /// Other bounds from now on; what it holds stays until it is sent, or until the next offer.
    pub(crate) fn set_bounds(&self, bytes_max: usize, block_timeout: Duration) {
        let mut inner = self.lock();
        (inner.bytes_max, inner.block_timeout) = (bytes_max, block_timeout);
        self.make_room(&mut inner);
        // Those who wait anyway do so by the new time.
        self.room.notify_waiters();
    }

    /// Its memory is to come down to so many bytes; `usize::MAX` lifts that.
    pub(crate) fn set_level(&self, level: usize) {
        let mut inner = self.lock();
        let footprint = inner.footprint();
        inner.level = match level < footprint {
            // The bound is one of content, and memory is not all filled.
            true => (level / 100 * (inner.bytes.saturating_mul(100) / footprint)).max(LEVEL_MIN),
            false => level,
        };
        self.make_room(&mut inner);
    }

    /// Lets stream clients go on if the queue is half empty again.
    pub(super) fn make_room(&self, inner: &mut Inner) {
        inner.overfull &= inner.bytes > inner.bound() / 2;
        if inner.full_since.is_some() && inner.bytes <= inner.bound() / 2 {
            inner.full_since = None;
            self.holds_back.store(false, Ordering::Relaxed);
            self.room.notify_waiters();
        }
    }

    /// Something did not fit in, and it is not half empty yet.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().overfull
    }

    /// Half full: what comes in is not sent as fast.
    pub(crate) fn is_high(&self) -> bool {
        let inner = self.lock();
        inner.bytes >= inner.bound() / 2
    }
}

impl Inner {
    pub(super) fn bound(&self) -> usize {
        self.bytes_max.min(self.level)
    }

    fn take_in(&mut self, chunk: &mut Chunk) {
        self.bytes += chunk.weight();
        if let Some(last) = self.chunks.back_mut()
            && last.format == chunk.format
            && last.bytes.len() + chunk.bytes.len() <= JOINED_BYTES_MAX
        {
            last.append(chunk);
            chunk.clear();
        } else {
            // A backlog: nothing is joined to this one any more.
            if let Some(last) = self.chunks.back_mut() {
                last.shrink();
            }
            let spare = self.spares.pop().unwrap_or_default();
            self.chunks.push_back(std::mem::replace(chunk, spare));
        }
    }

    /// Sheds whole chunks, oldest first, until at most `bytes` are left.
    pub(super) fn shed_to(&mut self, bytes: usize) -> u64 {
        let mut shed = 0;
        while self.bytes > bytes
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.bytes -= chunk.weight();
            shed += chunk.samples;
        }
        shed
    }
}
