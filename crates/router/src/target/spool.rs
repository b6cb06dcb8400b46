//! What a target shares with the spooler: chunks read from disk, how far they are sent, and counts.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::Thread,
};

use coco_spool::Position;
use tokio::sync::{Notify, watch};

use crate::chunk::Chunk;

/// What is on disk for a target, as people and programs ask for it; at most a second old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OnDisk {
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// When the oldest sample was spooled, in milliseconds since the Unix epoch.
    pub(crate) oldest_ms: Option<u64>,
    /// Seconds until nothing waits any more, if that can be told.
    pub(crate) eta: Option<u64>,
}

/// One target's link to its spool.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Samples on disk that have met no fate yet.
    held: AtomicU64,
    /// What was last told of the disk.
    told: Mutex<OnDisk>,
    inner: Mutex<Inner>,
    ready: Notify,
    /// Nothing is held for the target, which leaves: what it was sent is all that it may lack.
    nothing_more: Notify,
    /// Samples a second that may go of what is on disk; 0 is no bound.
    rate: AtomicU64,
    /// Samples that are older than what comes now are about to be put on disk.
    expects: AtomicBool,
    /// What comes is not put on disk, and waits for nothing there.
    without: AtomicBool,
    /// Its worker sends nothing any more.
    worker_ended: AtomicBool,
    /// The spooler has no more to do with it.
    released: watch::Sender<bool>,
    spooler: OnceLock<Thread>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Read from disk, for the worker.
    chunks: VecDeque<Chunk>,
    /// How many were read and are not done with.
    given: usize,
    /// The worker holds chunks that it took from the queue and could give back.
    direct: bool,
    /// Up to here the worker is done with them.
    done: Option<Position>,
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Samples on disk that have met no fate yet.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// What the spooler last told of the disk.
    pub(crate) fn on_disk(&self) -> OnDisk {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what there is on disk, for those who ask.
    pub(crate) fn tell(&self, on_disk: OnDisk) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = on_disk;
    }

    /// Samples a second that may go of what is on disk; `None` is no bound.
    pub(crate) fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// So many samples a second may go of what is on disk; 0 is no bound.
    pub(crate) fn set_rate(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// So many samples went to disk; the caller holds the gate.
    pub(crate) fn hold(&self, samples: u64) {
        self.held.fetch_add(samples, Ordering::Relaxed);
    }

    /// So many of the samples on disk have met their fate; the caller holds the gate.
    pub(crate) fn settle(&self, samples: u64) {
        self.held.fetch_sub(samples, Ordering::Relaxed);
    }

    /// Samples that are older than what comes now are about to be put on disk: until then what comes waits
    /// in the queue.
    pub(crate) fn expect(&self, expects: bool) {
        self.expects.store(expects, Ordering::Release);
    }

    pub(crate) fn expects(&self) -> bool {
        self.expects.load(Ordering::Acquire)
    }

    /// Whether the target does as one that has no spool, as its own cannot be used.
    pub(crate) fn set_without(&self, without: bool) {
        self.without.store(without, Ordering::Release);
    }

    pub(crate) fn is_without(&self) -> bool {
        self.without.load(Ordering::Acquire)
    }

    /// The worker has given back what it could, and ends.
    pub(crate) fn end_worker(&self) {
        self.worker_ended.store(true, Ordering::Release);
        self.wake_spooler();
    }

    pub(crate) fn has_worker_ended(&self) -> bool {
        self.worker_ended.load(Ordering::Acquire)
    }

    /// Nothing is held for the target any more, and nothing will be.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Returns when nothing is held for the target any more.
    pub(crate) async fn released(&self) {
        let mut word = self.released.subscribe();
        // The sender lives as long as this.
        let _released: Result<_, watch::error::RecvError> =
            word.wait_for(|released| *released).await;
    }

    /// The calling thread is the spooler.
    pub(crate) fn is_served_here(&self) {
        // Set once: a target is adopted once.
        let _set: Result<(), Thread> = self.spooler.set(std::thread::current());
    }

    /// Something is to be done at once.
    pub(crate) fn wake_spooler(&self) {
        if let Some(spooler) = self.spooler.get() {
            spooler.unpark();
        }
    }

    /// Gives the worker a chunk that was read.
    pub(crate) fn give(&self, chunk: Chunk) {
        let mut inner = self.lock();
        inner.given += 1;
        inner.chunks.push_back(chunk);
        drop(inner);
        self.ready.notify_one();
    }

    /// Chunks that the worker was given and is not done with.
    pub(crate) fn given(&self) -> usize {
        self.lock().given
    }

    /// The worker holds chunks that it took from the queue and could give back.
    pub(crate) fn set_direct(&self, direct: bool) {
        self.lock().direct = direct;
    }

    /// What the worker took from the queue, if anything, is older than all that goes to disk, and is not
    /// given back any more.
    pub(crate) fn is_clear(&self) -> bool {
        !self.lock().direct
    }

    /// Moves what was read into `batch`.
    pub(crate) fn take(&self, batch: &mut VecDeque<Chunk>) {
        batch.append(&mut self.lock().chunks);
    }

    /// The worker is done with one more chunk, and with all up to here.
    pub(crate) fn done(&self, position: Position) {
        let mut inner = self.lock();
        inner.given = inner.given.saturating_sub(1);
        inner.done = Some(position);
    }

    /// How far the worker is done, if that is news.
    pub(crate) fn take_done(&self) -> Option<Position> {
        self.lock().done.take()
    }

    /// Nothing is held for the target, which leaves.
    pub(crate) fn tell_nothing_more(&self) {
        self.nothing_more.notify_one();
    }

    /// Returns when that is so.
    pub(crate) async fn nothing_more(&self) {
        self.nothing_more.notified().await;
    }

    /// Returns when there is something to take.
    pub(crate) async fn ready(&self) {
        loop {
            let notified = self.ready.notified();
            if !self.lock().chunks.is_empty() {
                return;
            }
            notified.await;
        }
    }
}
