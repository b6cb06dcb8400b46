//! One target's spool at work: its queue to disk, what is on disk to its worker.

mod damage;
mod finish;
mod read;
mod write;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use coco_spool::{Batch, Counts, Now, Spool, disk::Disk};
pub(super) use finish::{FINISH_MAX, hand_rest_over, shed_rest};

use super::{
    leave::Heir,
    pace::{Pace, Seen},
    reroute::Moving,
};
use crate::{
    chunk::Chunk,
    plan::{OnChange, ReplayRate},
    shared::Shared,
    target::{
        Target,
        record::{Payloads, is_of_another},
        spool::{Link, OnDisk},
    },
};

/// A target that has been down for so long has its queue moved to disk.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// Bytes moved to disk at once, and read from there.
pub(super) const MOVE_BYTES: usize = 1 << 20;

/// After the disk has refused, it is left alone for so long.
const DISK_PAUSE: Duration = Duration::from_secs(2);

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
    /// A record of another protocol comes next: nothing is read any more, nor written behind it.
    pub(super) is_barred: bool,
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
        // All that was found: some may have been looked at, and passed over, since.
        let (samples, bytes) = (spool.counts().recovered, spool.held().bytes);
        if let Some(link) = &target.link {
            let _pass = shared.gate.pass();
            target.meters.recovered.add(samples);
            link.hold(samples);
        }
        let mut entry = Self::with(now, target, spool, rate);
        if !entry.goes_without(shared) && samples > 0 {
            tracing::info!(
                tier = entry.target.tier,
                target = entry.target.plan.label,
                samples,
                bytes,
                "found on disk; it is sent first"
            );
        }
        entry.told = Counts::default();
        entry.tell_torn();
        entry.tell(shared);
        entry
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
        let is_barred = is_of_another(&mut spool, target.protocol);
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
            is_barred,
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
        let is_without = !ends && self.goes_without(shared);
        let must = !is_without
            && now.monotonic >= self.write_at
            && (ends || (is_down && !link.expects()) || target.queue.is_high());
        if must && !target.queue.is_spooling() {
            target.queue.set_spooling(true);
        }
        let mut next = Next::Idle;
        let spools = target.queue.is_spooling();
        if spools || (target.live_first && !is_without && self.spool.held().records > 0) {
            next = Next::Soon;
            if spools && must && link.is_clear() && self.write(now, shared) {
                next = Next::AtOnce;
            }
            if is_open && !ends && now.monotonic >= self.read_at && self.read(now, link, shared) {
                next = Next::AtOnce;
            }
            let is_empty = link.given() == 0 && self.spool.held().records == 0;
            let may_pass = is_without || (is_open && (is_empty || target.live_first));
            if may_pass && !must && !link.expects() && !self.told_to_end {
                target.queue.set_spooling(false);
            }
        }
        self.look(now, link);
        self.spool.tick(now);
        self.tell(shared);
        next
    }

    /// Looks for samples that are too old, now and then, and tells what is on disk.
    fn look(&mut self, now: Now, link: &Link) {
        let is_due = |at: Duration| now.monotonic.saturating_sub(at) >= LOOK_INTERVAL;
        if !self.looked_at.is_none_or(is_due) {
            return;
        }
        self.looked_at = Some(now.monotonic);
        // What cannot be read now is read, or passed over as damaged, when its turn comes.
        let _later: std::io::Result<()> = self.spool.expire(now);
        let depth = self.spool.depth();
        let oldest_ms = depth.oldest_ms.filter(|_| depth.samples > 0);
        link.tell(OnDisk {
            bytes: depth.bytes,
            oldest_ms,
            eta: self.pace.eta().filter(|_| !self.is_barred),
        });
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

    /// How long ago the oldest sample on disk was spooled.
    pub(super) fn age(&mut self, now: Now) -> Duration {
        age(now, self.spool.depth().oldest_ms)
    }
}

/// How long ago something was spooled, by the wall clock.
fn age(now: Now, unix_ms: Option<u64>) -> Duration {
    unix_ms.map_or(Duration::ZERO, |at| Duration::from_millis(now.unix_ms.saturating_sub(at)))
}
