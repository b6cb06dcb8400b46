//! The bounded queue between the shards and one target's worker.
//!
//! One lock per chunk, never per sample. The bound is in bytes. Shards offer, the worker takes; what
//! was taken stays counted as in flight until the worker settles it, so that at any moment
//! offered = sent + shed + queued + in flight.
//!
//! While the queue is *spooling*, older samples are on disk: the spooler moves chunks there, and the worker
//! takes nothing from here until it has sent those.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{chunk::Chunk, plan::OnFull};

/// Small chunks are joined up to this size, so that a quiet minute is not thousands of chunks.
const JOINED_BYTES_MAX: usize = 64 * 1024;

/// A queue may hold so much whatever all queues together hold: a target that takes its samples needs no more.
const LEVEL_MIN: usize = 64 * 1024;

/// Emptied chunks kept for reuse; more would only hold memory after a burst.
const SPARES_MAX: usize = 4;

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

    /// What happens when it is full.
    pub(crate) fn on_full(&self) -> OnFull {
        self.on_full
    }

    /// It is full, and stream clients that feed it should wait.
    pub(crate) fn holds_back(&self) -> bool {
        self.holds_back.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics while it holds the lock, and a panic ends the process anyway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other bounds from now on; what it holds stays until it is sent, or until the next offer.
    pub(crate) fn set_bounds(&self, bytes_max: usize, block_timeout: Duration) {
        let mut inner = self.lock();
        (inner.bytes_max, inner.block_timeout) = (bytes_max, block_timeout);
        self.make_room(&mut inner);
        // Those who wait anyway do so by the new time.
        self.room.notify_waiters();
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
    fn make_room(&self, inner: &mut Inner) {
        inner.overfull &= inner.bytes > inner.bound() / 2;
        if inner.full_since.is_some() && inner.bytes <= inner.bound() / 2 {
            inner.full_since = None;
            self.holds_back.store(false, Ordering::Relaxed);
            self.room.notify_waiters();
        }
    }

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

    /// Moves up to `bytes` into `batch` and counts them as in flight; nothing while older ones are on disk.
    pub(crate) fn take(&self, batch: &mut VecDeque<Chunk>, bytes: usize) {
        let inner = self.lock();
        if !inner.spooling {
            self.take_from(inner, batch, bytes);
        }
    }

    /// The same for the spooler, and not so much that a full queue seems to have room while the disk is
    /// tried.
    pub(crate) fn take_to_spool(&self, batch: &mut VecDeque<Chunk>, bytes: usize) {
        let inner = self.lock();
        let bytes = bytes.min(inner.bound() / 4);
        self.take_from(inner, batch, bytes);
    }

    fn take_from(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        batch: &mut VecDeque<Chunk>,
        bytes: usize,
    ) {
        let (mut taken, mut charged) = (0, 0);
        while taken < bytes
            && let Some(mut chunk) = inner.chunks.pop_front()
        {
            chunk.charge = chunk.footprint();
            charged += chunk.charge;
            taken += chunk.weight();
            inner.in_flight += chunk.samples;
            batch.push_back(chunk);
        }
        inner.bytes -= taken;
        inner.taken += charged;
        self.make_room(&mut inner);
    }

    /// Puts back what was taken and not settled, in front of all others.
    pub(crate) fn give_back(&self, chunks: &mut VecDeque<Chunk>) {
        let mut inner = self.lock();
        while let Some(mut chunk) = chunks.pop_back() {
            inner.taken -= std::mem::take(&mut chunk.charge);
            inner.bytes += chunk.weight();
            inner.in_flight -= chunk.samples;
            inner.chunks.push_front(chunk);
        }
        drop(inner);
        self.ready.notify_one();
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

    /// Something did not fit in, and it is not half empty yet.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().overfull
    }

    /// Half full: what comes in is not sent as fast.
    pub(crate) fn is_high(&self) -> bool {
        let inner = self.lock();
        inner.bytes >= inner.bound() / 2
    }

    /// `samples` of what was taken have met their fate.
    pub(crate) fn settle(&self, samples: u64) {
        self.lock().in_flight -= samples;
    }

    /// Gives an emptied chunk back for reuse.
    pub(crate) fn recycle(&self, mut chunk: Chunk) {
        let charge = chunk.charge;
        chunk.clear();
        let mut inner = self.lock();
        inner.taken -= charge;
        if inner.spares.len() < SPARES_MAX {
            inner.spares.push(chunk);
        }
    }

    /// Returns when the queue has something for the worker, or is closed.
    pub(crate) async fn ready(&self) {
        loop {
            let notified = self.ready.notified();
            {
                let inner = self.lock();
                if (!inner.chunks.is_empty() && !inner.spooling) || inner.closed {
                    return;
                }
            }
            notified.await;
        }
    }

    /// It holds something that was not taken.
    pub(crate) fn has_more(&self) -> bool {
        !self.lock().chunks.is_empty()
    }

    /// Returns when the queue begins to spool.
    pub(crate) async fn spools(&self) {
        loop {
            let notified = self.ready.notified();
            if self.is_spooling() {
                return;
            }
            notified.await;
        }
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

    /// No more will be offered, and nobody waits for room; the worker ends when the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    /// Closed, and nothing left for the worker to take.
    pub(crate) fn is_finished(&self) -> bool {
        let inner = self.lock();
        inner.closed && (inner.chunks.is_empty() || inner.spooling)
    }

    /// Returns when the queue is closed and empty.
    pub(crate) async fn finished(&self) {
        loop {
            let notified = self.ready.notified();
            if self.is_finished() {
                return;
            }
            notified.await;
        }
    }

    /// The worker ends: gives up all that is queued, and takes nothing any more. Returns the number of
    /// samples.
    pub(crate) fn end(&self) -> u64 {
        let mut inner = self.lock();
        inner.ended = true;
        inner.shed_to(0)
    }

    /// The worker ends, and another process takes what is queued: it counts as in flight.
    pub(crate) fn end_into(&self, chunks: &mut Vec<Chunk>) {
        let mut inner = self.lock();
        inner.ended = true;
        inner.in_flight += inner.chunks.iter().map(|chunk| chunk.samples).sum::<u64>();
        inner.bytes = 0;
        chunks.extend(inner.chunks.drain(..));
    }

    /// Puts what another process held in front of all others; `false` when the queue has come to its end.
    pub(crate) fn inherit(&self, chunks: Vec<Chunk>) -> bool {
        let mut inner = self.lock();
        if inner.ended {
            return false;
        }
        for chunk in chunks.into_iter().rev() {
            inner.bytes += chunk.weight();
            inner.chunks.push_front(chunk);
        }
        drop(inner);
        self.ready.notify_one();
        true
    }

    /// Loses a chunk behind the ledger's back.
    #[cfg(test)]
    pub(crate) fn lose_one_chunk(&self) {
        self.lock().chunks.pop_front();
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
}

impl Inner {
    fn bound(&self) -> usize {
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

    fn footprint(&self) -> usize {
        self.chunks.iter().map(Chunk::footprint).sum()
    }

    /// Sheds whole chunks, oldest first, until at most `bytes` are left.
    fn shed_to(&mut self, bytes: usize) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Chunk {
        let mut chunk = Chunk::default();
        for _ in 0..count {
            chunk.push_line(&[b'x'; 99]);
        }
        chunk
    }

    #[test]
    fn a_datagram_feeder_sheds_the_oldest_at_the_bound() {
        let queue = Queue::new(100_000, OnFull::Block, Duration::from_secs(5));
        for _ in 0..3 {
            assert_eq!(queue.offer(&mut lines(400), Feeder::Datagram).shed, 0, "below the bound");
            if queue.held().queued == 800 {
                break;
            }
        }
        let offered = queue.offer(&mut lines(400), Feeder::Datagram);
        assert_eq!(offered, Offered { shed: 400, ..Offered::default() });
        assert_eq!(queue.held().queued, 800);
    }

    #[test]
    fn a_stream_feeder_waits_before_anything_is_shed() {
        let queue = Queue::new(100_000, OnFull::Block, Duration::from_secs(5));
        for _ in 0..2 {
            assert_eq!(queue.offer(&mut lines(600), Feeder::Stream).shed, 0);
        }
        let offered = queue.offer(&mut lines(600), Feeder::Stream);
        assert_eq!(offered, Offered { full: true, ..Offered::default() });
        let newcomer = queue.offer(&mut lines(5), Feeder::Datagram);
        assert_eq!(
            newcomer,
            Offered { shed: 5, ..Offered::default() },
            "streams wait for what is queued"
        );
        let impatient = Queue::new(100_000, OnFull::Block, Duration::ZERO);
        impatient.offer(&mut lines(700), Feeder::Stream);
        assert_eq!(impatient.offer(&mut lines(700), Feeder::Stream).shed, 700);
    }

    #[test]
    fn a_queue_that_is_to_shed_holds_nobody_back() {
        let at_bound = |on_full| {
            let queue = Queue::new(100_000, on_full, Duration::from_secs(5));
            for _ in 0..2 {
                assert_eq!(queue.offer(&mut lines(400), Feeder::Stream), Offered::default());
            }
            let offered = queue.offer(&mut lines(300), Feeder::Stream);
            assert!(queue.is_full());
            queue.take(&mut VecDeque::new(), usize::MAX);
            assert!(!queue.is_full());
            (offered.shed, offered.full, queue.held().in_flight)
        };
        assert_eq!(at_bound(OnFull::ShedOldest), (400, false, 700));
        assert_eq!(at_bound(OnFull::ShedNewest), (300, false, 800));
    }

    #[test]
    fn what_is_given_back_comes_first_again_and_nothing_passes_what_is_on_disk() {
        let queue = Queue::new(1 << 20, OnFull::Spool, Duration::ZERO);
        queue.offer(&mut lines(700), Feeder::Stream);
        queue.offer(&mut lines(600), Feeder::Stream);
        let mut batch = VecDeque::new();
        queue.take(&mut batch, usize::MAX);
        assert!(batch.is_empty(), "it begins with what is on disk");
        queue.set_spooling(false);
        queue.take(&mut batch, 1);
        assert_eq!(batch[0].samples, 700);
        queue.give_back(&mut batch);
        queue.take_to_spool(&mut batch, usize::MAX);
        assert_eq!(batch.iter().map(|chunk| chunk.samples).collect::<Vec<_>>(), [700, 600]);
        assert_eq!(queue.held().in_flight, 1300);
    }

    #[test]
    fn bounds_may_change_while_it_is_full() {
        let queue = Queue::new(100_000, OnFull::Block, Duration::from_secs(60));
        queue.offer(&mut lines(600), Feeder::Stream);
        assert!(queue.offer(&mut lines(600), Feeder::Stream).full);
        queue.set_bounds(1 << 20, Duration::from_secs(60));
        assert!(!queue.holds_back());
        assert_eq!(queue.offer(&mut lines(600), Feeder::Datagram), Offered::default());
        queue.set_bounds(70_000, Duration::from_secs(60));
        assert_eq!(queue.held().queued, 1800, "nothing is shed before the next offer");
        assert_eq!(queue.offer(&mut lines(600), Feeder::Datagram).shed, 1800);
    }

    #[test]
    fn after_its_end_it_takes_nothing() {
        let queue = Queue::new(100_000, OnFull::Block, Duration::from_secs(5));
        queue.offer(&mut lines(3), Feeder::Stream);
        queue.close();
        queue.offer(&mut lines(2), Feeder::Stream);
        assert_eq!(queue.end(), 5);
        let mut late = lines(7);
        assert_eq!(queue.offer(&mut late, Feeder::Stream), Offered::default());
        assert_eq!((late.samples, queue.held()), (7, Held::default()));
    }

    #[test]
    fn small_chunks_are_joined_and_nothing_is_forgotten() {
        let queue = Queue::new(1 << 20, OnFull::Block, Duration::ZERO);
        for _ in 0..100 {
            queue.offer(&mut lines(1), Feeder::Stream);
        }
        let mut batch = VecDeque::new();
        queue.take(&mut batch, 1 << 20);
        assert_eq!((batch.len(), batch[0].samples), (1, 100));
        assert_eq!(queue.held(), Held { queued: 0, queued_bytes: 0, in_flight: 100 });
        queue.settle(100);
        assert_eq!(queue.held().in_flight, 0);
    }
}
