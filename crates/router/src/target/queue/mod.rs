//! The bounded queue between the shards and one target's worker.
//!
//! One lock per chunk, never per sample. The bound is in bytes. Shards offer, the worker takes; what
//! was taken stays counted as in flight until the worker settles it, so that at any moment
//! offered = sent + shed + queued + in flight.
//!
//! While the queue is *spooling*, older samples are on disk: the spooler moves chunks there, and the worker
//! takes nothing from here until it has sent those.

mod end;
mod feed;
mod take;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

pub(crate) use feed::Feeder;
use tokio::{sync::Notify, time::Instant};

use crate::{chunk::Chunk, plan::OnFull};

/// Samples that one target has yet to get.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    ready: Notify,
    room: Notify,
    on_full: OnFull,
    /// Stream clients have been told to wait since it became full. Written with the lock held.
    holds_back: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    bytes_max: usize,
    /// Bytes it may hold while all queues together hold too much; see `crate::memory`.
    level: usize,
    /// Bytes of what was taken and is not recycled.
    taken: usize,
    block_timeout: Duration,
    in_flight: u64,
    /// When the queue became full; cleared when it is half empty again.
    full_since: Option<Instant>,
    /// Something did not fit in since it was half empty, whatever became of it then.
    overfull: bool,
    spares: Vec<Chunk>,
    closed: bool,
    /// Older samples are on disk.
    spooling: bool,
    /// Nobody takes from it any more.
    ended: bool,
}

/// Samples in a queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    pub(crate) queued: u64,
    pub(crate) queued_bytes: usize,
    pub(crate) in_flight: u64,
}

impl Held {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            queued: self.queued + other.queued,
            queued_bytes: self.queued_bytes + other.queued_bytes,
            in_flight: self.in_flight + other.in_flight,
        }
    }
}

impl Queue {
    /// A queue of up to `bytes_max` bytes. One that spools begins so: what is on disk goes first.
    pub(crate) fn new(bytes_max: usize, on_full: OnFull, block_timeout: Duration) -> Self {
        let spooling = on_full == OnFull::Spool;
        Self {
            inner: Mutex::new(Inner {
                spooling,
                bytes_max,
                level: usize::MAX,
                block_timeout,
                ..Inner::default()
            }),
            ready: Notify::new(),
            room: Notify::new(),
            on_full,
            holds_back: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics while it holds the lock, and a panic ends the process anyway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens when it is full.
    pub(crate) fn on_full(&self) -> OnFull {
        self.on_full
    }

    /// Its bound in bytes, whatever all queues together hold.
    pub(crate) fn bytes_max(&self) -> usize {
        self.lock().bytes_max
    }

    /// Bytes in memory, filled or not: queued, and taken but not recycled.
    pub(crate) fn footprint(&self) -> usize {
        let inner = self.lock();
        inner.footprint() + inner.taken
    }

    /// What the queue holds, counted chunk by chunk and not from a running total, so that a chunk
    /// that got lost shows.
    pub(crate) fn held(&self) -> Held {
        let inner = self.lock();
        Held {
            queued: inner.chunks.iter().map(|c| c.samples).sum(),
            queued_bytes: inner.bytes,
            in_flight: inner.in_flight,
        }
    }

    /// From now on the worker takes nothing from here (`true`), or does again.
    pub(crate) fn set_spooling(&self, spooling: bool) {
        self.lock().spooling = spooling;
        self.ready.notify_one();
    }

    /// Older samples are on disk, or about to be.
    pub(crate) fn is_spooling(&self) -> bool {
        self.lock().spooling
    }

    /// It holds something that was not taken.
    pub(crate) fn has_more(&self) -> bool {
        !self.lock().chunks.is_empty()
    }

    /// Returns when the queue has something for the worker, or is closed.
    pub(crate) async fn ready(&self) {
        self.until(|inner| (!inner.chunks.is_empty() && !inner.spooling) || inner.closed).await;
    }

    /// Returns when the queue begins to spool.
    pub(crate) async fn spools(&self) {
        self.until(|inner| inner.spooling).await;
    }

    /// Returns when the queue is closed and empty.
    pub(crate) async fn finished(&self) {
        self.until(Inner::is_finished).await;
    }

    /// Closed, and nothing left for the worker to take.
    pub(crate) fn is_finished(&self) -> bool {
        self.lock().is_finished()
    }

    /// Returns when that is so; all that it may be about notifies `ready`.
    async fn until(&self, is_so: impl Fn(&Inner) -> bool) {
        loop {
            let notified = self.ready.notified();
            if is_so(&self.lock()) {
                return;
            }
            notified.await;
        }
    }

    /// Loses a chunk behind the ledger's back.
    #[cfg(test)]
    pub(crate) fn lose_one_chunk(&self) {
        self.lock().chunks.pop_front();
    }
}

impl Inner {
    fn is_finished(&self) -> bool {
        self.closed && (self.chunks.is_empty() || self.spooling)
    }

    fn footprint(&self) -> usize {
        self.chunks.iter().map(Chunk::footprint).sum()
    }
}
