//! One target's spool at work: its queue to disk, what is on disk to its worker.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use coco_spool::{AppendError, Batch, Cause, Counts, Now, Spool, disk::Disk};

use super::{
    PAUSE_IDLE,
    leave::Heir,
    pace::{Pace, Seen},
    reroute::Moving,
};
use crate::{
    chunk::Chunk,
    handover,
    plan::{OnChange, ReplayRate},
    shared::Shared,
    target::{
        Shed, Target,
        record::{Payloads, chunk_of},
        spool::{Link, OnDisk},
    },
};

/// A target that has been down for so long has its queue moved to disk.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// Bytes moved to disk at once, and read from there.
pub(super) const MOVE_BYTES: usize = 1 << 20;

/// Chunks that the worker has been given and is not done with, at most.
const GIVEN_MAX: usize = 16;

/// After the disk has refused, it is left alone for so long.
const DISK_PAUSE: Duration = Duration::from_secs(2);

/// Time at a stop for a disk that refuses.
pub(super) const FINISH_MAX: Duration = Duration::from_secs(5);

/// How often samples that are too old are looked for, and what is on disk is told.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// When a queue should be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Next {
    Idle,
    Soon,
    AtOnce,
}

/// One target's spool.
pub(super) struct Entry<D: Disk> {
    pub(super) target: Arc<Target>,
    pub(super) spool: Spool<D>,
    /// What of its counts the target knows.
    told: Counts,
    chunks: VecDeque<Chunk>,
    pub(super) payloads: Payloads,
    pub(super) batch: Batch,
    pub(super) pace: Pace,
    /// How fast what is on disk may go.
    pub(super) rate: ReplayRate,
    /// When it was last looked for samples that are too old, and told what is on disk.
    looked_at: Option<Duration>,
    /// At the last refusal there was no room by its bounds.
    is_full: bool,
    /// The disk refused: until then it is not written to, or not read.
    write_at: Duration,
    read_at: Duration,
    /// It is fed no more, and this becomes of what it holds.
    pub(super) leaves: Option<OnChange>,
    /// Those that take over its spool then.
    pub(super) heirs: VecDeque<Heir>,
    /// Its worker was told to end.
    pub(super) told_to_end: bool,
    /// What that one had not sent whole is to be read again.
    pub(super) taken_back: bool,
    /// What is on its way to its owners.
    pub(super) moving: Moving,
}

impl<D: Disk> Entry<D> {
    /// Begins with what is on disk; `rate` is how fast that may go.
    pub(super) fn new(
        now: Now,
        target: Arc<Target>,
        spool: Spool<D>,
        rate: ReplayRate,
        shared: &Shared,
    ) -> Self {
        let held = spool.held();
        if let Some(link) = &target.link {
            let _pass = shared.gate.pass();
            target.meters.recovered.add(held.samples);
            link.hold(held.samples);
        }
        if held.samples > 0 {
            tracing::info!(
                tier = target.tier,
                target = target.plan.label,
                samples = held.samples,
                bytes = held.bytes,
                "found on disk; it is sent first"
            );
        }
        Self::with(now, target, spool, rate)
    }

    /// One that knows of all that the spool holds.
    pub(super) fn with(
        now: Now,
        target: Arc<Target>,
        mut spool: Spool<D>,
        rate: ReplayRate,
    ) -> Self {
        if let Some(link) = &target.link {
            link.is_served_here();
        }
        let (counts, held) = (spool.counts(), spool.depth());
        let mut pace = Pace::default();
        pace.resume(held.samples, age(now, held.oldest_ms));
        Self {
            target,
            spool,
            told: counts,
            chunks: VecDeque::new(),
            payloads: Payloads::default(),
            batch: Batch::default(),
            pace,
            rate,
            looked_at: None,
            is_full: false,
            write_at: Duration::ZERO,
            read_at: Duration::ZERO,
            leaves: None,
            heirs: VecDeque::new(),
            told_to_end: false,
            taken_back: false,
            moving: Moving::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (&Target, Counts) {
        (&self.target, self.spool.counts())
    }

    /// Does what is to be done now.
    pub(super) fn step(&mut self, now: Now, shared: &Shared) -> Next {
        let target = Arc::clone(&self.target);
        let Some(link) = &target.link else { return Next::Idle };
        self.take_word(shared);
        let (is_open, since) = target.is_open();
        self.observe(now, link, is_open);
        let (ends, is_down) = (self.is_ending(), !is_open && since >= DOWN_AFTER);
        let must = now.monotonic >= self.write_at
            && (ends || (is_down && !link.expects()) || target.queue.is_high());
        if must && !target.queue.is_spooling() {
            target.queue.set_spooling(true);
        }
        let mut next = Next::Idle;
        let spools = target.queue.is_spooling();
        if spools || (target.live_first && self.spool.held().records > 0) {
            next = Next::Soon;
            if spools && must && link.is_clear() && self.write(now, shared) {
                next = Next::AtOnce;
            }
            if is_open && !ends && now.monotonic >= self.read_at && self.read(now, link, shared) {
                next = Next::AtOnce;
            }
            let is_empty = link.given() == 0 && self.spool.held().records == 0;
            let may_pass = is_empty || target.live_first;
            if is_open && !must && may_pass && !link.expects() && !self.told_to_end {
                target.queue.set_spooling(false);
            }
        }
        let is_due = |at: Duration| now.monotonic.saturating_sub(at) >= LOOK_INTERVAL;
        if self.looked_at.is_none_or(is_due) {
            self.looked_at = Some(now.monotonic);
            // What cannot be read now is read, or passed over as damaged, when its turn comes.
            let _later: std::io::Result<()> = self.spool.expire(now);
            let depth = self.spool.depth();
            let oldest_ms = depth.oldest_ms.filter(|_| depth.samples > 0);
            link.tell(OnDisk { bytes: depth.bytes, oldest_ms, eta: self.pace.eta() });
        }
        self.spool.tick(now);
        self.tell(shared);
        next
    }

    /// Takes the worker's word on how far it is done.
    pub(super) fn take_word(&mut self, shared: &Shared) {
        if let Some(position) = self.target.link.as_ref().and_then(Link::take_done) {
            self.spool.ack(position);
        }
        self.tell(shared);
    }

    /// Takes note of how much comes and goes.
    fn observe(&mut self, now: Now, link: &Link, is_open: bool) {
        let Target { meters, queue, live_first, .. } = &*self.target;
        let live_first = *live_first;
        let queued = if queue.is_spooling() { queue.held().queued } else { 0 };
        let waiting = link.held() + queued;
        let (offered, sent) = (meters.offered.get(), meters.sent.get());
        let rate = match self.rate {
            // What comes now goes by itself.
            ReplayRate::TimesLive(times) if live_first => ReplayRate::TimesLive(times - 1.0),
            rate => rate,
        };
        self.pace.observe(now.monotonic, Seen { offered, sent, waiting, is_open }, rate);
        link.set_rate(self.pace.rate());
    }

    /// Moves part of the queue to disk; `true` if there may be more.
    fn write(&mut self, now: Now, shared: &Shared) -> bool {
        self.target.queue.take_to_spool(&mut self.chunks, MOVE_BYTES);
        let mut moved = false;
        while let Some(chunk) = self.chunks.front() {
            self.payloads.clear();
            self.payloads.push(chunk, self.target.protocol);
            let records = self.payloads.records(shared.routes.load().epoch);
            let count = records.len();
            let appended = self.spool.append(now, &records);
            let taken = appended.as_ref().map_or_else(|error| error.taken, |()| count);
            let samples = records.iter().take(taken).map(|r| u64::from(r.samples)).sum();
            self.spooled(samples, shared);
            if let Err(error) = appended
                && taken < count
            {
                self.keep_rest(now, samples, &error, shared);
                return false;
            }
            moved = true;
            if let Some(chunk) = self.chunks.pop_front() {
                self.target.queue.recycle(chunk);
            }
        }
        moved
    }

    /// So many samples of what was taken from the queue are on disk.
    fn spooled(&self, samples: u64, shared: &Shared) {
        if let Some(link) = &self.target.link {
            let _pass = shared.gate.pass();
            self.target.queue.settle(samples);
            self.target.meters.to_disk.add(samples);
            link.hold(samples);
        }
    }

    /// The disk took only some samples of the first chunk: the rest goes back to the queue.
    fn keep_rest(&mut self, now: Now, taken: u64, error: &AppendError, shared: &Shared) {
        self.write_at = now.monotonic + DISK_PAUSE;
        self.is_full = matches!(error.cause, Cause::Full);
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.settle_first(taken);
            chunk.trim();
            if matches!(error.cause, Cause::Unsound) {
                let samples = std::mem::take(&mut chunk.samples);
                self.target.settle_shed(&shared.gate, Shed::Oversize, false, samples);
                if let Some(chunk) = self.chunks.pop_front() {
                    self.target.queue.recycle(chunk);
                }
            }
        }
        self.target.queue.give_back(&mut self.chunks);
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        shared.reports.once("spool", target, || {
            tracing::error!(
                %error, tier, target,
                "cannot spool; what comes is kept in memory while there is room; trying on"
            );
        });
    }

    /// Gives the worker what is oldest on disk; `true` if there may be more.
    fn read(&mut self, now: Now, link: &Link, shared: &Shared) -> bool {
        let allowed = self.pace.allowance();
        if link.given() >= GIVEN_MAX || allowed == 0 {
            return false;
        }
        if self.spool.read(self.bytes_of(allowed), &mut self.batch).is_err() {
            // After some failures the spool takes it for damage: it may be a passing trouble.
            self.read_at = now.monotonic + DISK_PAUSE;
            return false;
        }
        for record in self.batch.records() {
            self.pace.take(u64::from(record.head.samples));
            match chunk_of(&record, self.target.protocol) {
                Some(chunk) => link.give(chunk),
                None => {
                    let samples = u64::from(record.head.samples);
                    self.target.settle_shed(&shared.gate, Shed::SpoolCorrupt, true, samples);
                    link.give(Chunk { spooled: Some(record.position), ..Chunk::default() });
                }
            }
        }
        !self.batch.is_empty()
    }

    /// The bytes that so many samples take on disk, about, and no more than are moved at once. A read gives one
    /// record at least.
    fn bytes_of(&self, samples: u64) -> usize {
        let held = self.spool.held();
        let bytes = held.bytes / held.samples.max(1);
        usize::try_from(samples.saturating_mul(bytes)).map_or(MOVE_BYTES, |n| n.min(MOVE_BYTES))
    }

    /// Tells the target what the spool has shed by itself.
    fn tell(&mut self, shared: &Shared) {
        let (before, now) = (self.told.shed, self.spool.counts().shed);
        self.told = self.spool.counts();
        for (reason, samples) in [
            (Shed::SpoolAge, now.age - before.age),
            (Shed::SpoolCorrupt, now.corrupt - before.corrupt),
        ] {
            if samples > 0 {
                self.target.settle_shed(&shared.gate, reason, true, samples);
            }
        }
    }

    /// Puts on disk all that the queue holds, as far as the disk takes it by then.
    pub(super) fn write_all(&mut self, now: impl Fn() -> Now, until: Duration, shared: &Shared) {
        self.take_word(shared);
        while self.target.queue.held().queued > 0 {
            let moved = self.write(now(), shared);
            // A spool that is full stays so: nobody reads it any more.
            if !moved && (self.is_full || now().monotonic >= until) {
                return;
            }
            if !moved {
                std::thread::park_timeout(PAUSE_IDLE);
            }
        }
    }

    /// Puts on disk all that the queue holds; what the disk does not take goes to the next process, or is shed.
    pub(super) fn finish(mut self, now: impl Fn() -> Now, until: Duration, shared: &Shared) {
        let target = Arc::clone(&self.target);
        self.write_all(now, until, shared);
        hand_rest_over(&target, shared);
        self.close(shared);
        if let Some(link) = &target.link {
            link.release();
        }
    }

    /// Sheds what is not on disk, and closes the spool.
    pub(super) fn close(mut self, shared: &Shared) {
        self.tell(shared);
        shed_rest(&self.target, shared);
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        let held = self.spool.held().samples;
        if held > 0 {
            tracing::info!(tier, target, samples = held, "kept on disk for the next start");
        }
        if let (_, Err(error)) = self.spool.close() {
            tracing::warn!(%error, tier, target, "cannot save how far it was sent: some goes twice");
        }
    }
}

impl<D: Disk> Entry<D> {
    /// How long ago the oldest sample on disk was spooled.
    pub(super) fn age(&mut self, now: Now) -> Duration {
        age(now, self.spool.depth().oldest_ms)
    }
}

/// How long ago something was spooled, by the wall clock.
fn age(now: Now, unix_ms: Option<u64>) -> Duration {
    unix_ms.map_or(Duration::ZERO, |at| Duration::from_millis(now.unix_ms.saturating_sub(at)))
}

/// Gives what no disk took to the next process, if this one hands over.
pub(super) fn hand_rest_over(target: &Target, shared: &Shared) {
    let Some(heir) = shared.heir() else { return };
    let mut chunks = Vec::new();
    target.queue.end_into(&mut chunks);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    if let Ok(runtime) = runtime {
        runtime.block_on(handover::hand_chunks(&heir, target, shared, &mut chunks));
    }
    let left = chunks.iter().map(|chunk| chunk.samples).sum::<u64>();
    if left > 0 {
        target.settle_shed(&shared.gate, target.end_reason(), false, left);
    }
}

/// Sheds what no disk took, and says so.
pub(super) fn shed_rest(target: &Target, shared: &Shared) {
    let samples = target.shed_queued(&shared.gate, target.end_reason());
    if samples > 0 {
        let (tier, target) = (&target.tier, &target.plan.label);
        tracing::error!(tier, target, samples, "shed at its end: the disk did not take it");
    }
}
