//! What the spooler does: for each target in turn, and for those that come and leave.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering, mpsc::SyncSender},
    time::{SystemTime, UNIX_EPOCH},
};

use coco_spool::{
    AtBound, Config, Name, Now, OpenError, Root, SEGMENT_BYTES, Spool,
    disk::{Disk, OsDisk},
};
use tokio::time::Instant;

use super::{
    Folder, LET_GO_MAX, LOCK_PAUSE, Orders, PAUSE, PAUSE_IDLE, Words,
    entry::{Entry, FINISH_MAX, Next, hand_rest_over, shed_rest},
    leave::Due,
    reroute::{Moved, reroute},
    tell,
};
use crate::{
    plan::{OnChange, SpoolPlan},
    shared::Shared,
    target::Target,
};

/// What the spooler works with.
pub(crate) struct Work<D: Disk> {
    /// `None` while another process has it, or if it cannot be opened.
    root: Option<Root<D>>,
    plan: SpoolPlan,
    shared: Arc<Shared>,
    orders: Arc<Orders>,
    entries: Vec<Entry<D>>,
    /// Targets whose spool could not be opened.
    orphans: Vec<Arc<Target>>,
    /// Some target leaves.
    leaving: bool,
}

impl Work<OsDisk> {
    /// Works on the calling thread until the orders say stop; tells `open` when it has looked at what is on
    /// disk, or at once if another process has that.
    pub(super) fn run(mut self, folder: Folder, open: &SyncSender<()>) {
        let started = Instant::now();
        let now = || {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
            Now { unix_ms, monotonic: started.elapsed() }
        };
        match folder {
            Folder::Open(root) => self.root = Some(root),
            Folder::Awaited => {
                tell(open);
                self.await_folder();
            }
        }
        self.take_orders(now());
        tell(open);
        self.warn_of_strangers();
        loop {
            let stop = self.orders.stop.load(Ordering::Acquire);
            if stop {
                return self.finish(now);
            }
            match self.round(now()) {
                Next::AtOnce => {}
                Next::Soon => std::thread::park_timeout(PAUSE),
                Next::Idle => std::thread::park_timeout(PAUSE_IDLE),
            }
        }
    }

    /// Opens the folder as soon as the process before this one has let go of it.
    fn await_folder(&mut self) {
        let mut due: Option<Instant> = None;
        loop {
            // Asked before the attempt: who was gone by then has let go of it.
            let ends = self.orders.stop.load(Ordering::Acquire);
            if ends || self.shared.is_predecessor_gone() {
                due.get_or_insert_with(|| Instant::now() + LET_GO_MAX);
            }
            match super::open(&self.plan) {
                Ok(root) => return self.root = Some(root),
                Err(OpenError::Locked(_)) if due.is_none_or(|due| Instant::now() < due) => {}
                Err(error) => {
                    tracing::error!(%error, "no spool after the upgrade");
                    return;
                }
            }
            std::thread::park_timeout(LOCK_PAUSE);
        }
    }
}

impl<D: Disk> Work<D> {
    pub(crate) fn new(
        root: Option<Root<D>>,
        plan: SpoolPlan,
        shared: Arc<Shared>,
        orders: Arc<Orders>,
    ) -> Self {
        let (entries, orphans) = (Vec::new(), Vec::new());
        Self { root, plan, shared, orders, entries, orphans, leaving: false }
    }

    /// All that it works for.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.entries.iter().map(|entry| &entry.target).chain(&self.orphans)
    }

    /// What all threads share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Where all is kept.
    pub(super) fn directory(&self) -> &Path {
        &self.plan.directory
    }

    /// Does for each target what is to be done now, and tells when to look again.
    pub(crate) fn round(&mut self, now: Now) -> Next {
        self.take_orders(now);
        let mut next = Next::Idle;
        for entry in &mut self.entries {
            next = next.max(entry.step(now, &self.shared));
        }
        if self.leaving {
            next = next.max(self.see_off(now));
        }
        next
    }

    /// The targets that have a spool, and what became of its samples.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&Target, coco_spool::Counts)> {
        self.entries.iter().map(Entry::counts)
    }

    /// Puts on disk all that is still held.
    pub(crate) fn finish(mut self, now: impl Fn() -> Now) {
        self.take_orders(now());
        // One time for all: the disks of those that come last may be good.
        let until = now().monotonic + FINISH_MAX;
        // No worker lives any more: whoever takes over does so at once.
        for entry in self.entries.iter_mut().filter(|entry| entry.is_ending()) {
            entry.write_all(&now, until, &self.shared);
        }
        self.see_off(now());
        for mut entry in std::mem::take(&mut self.entries) {
            self.orphans.extend(entry.heirs.drain(..).map(|heir| heir.target));
            entry.finish(&now, until, &self.shared);
        }
        for target in &self.orphans {
            hand_rest_over(target, &self.shared);
            shed_rest(target, &self.shared);
            if let Some(link) = &target.link {
                link.release();
            }
        }
    }

    /// Does for those that leave what is due; whether more can be done at once.
    fn see_off(&mut self, now: Now) -> Next {
        let (mut next, mut rerouted, mut at) = (Next::Soon, Vec::new(), 0);
        while let Some(entry) = self.entries.get_mut(at) {
            let due = entry.due(&self.shared);
            if due == Due::Nothing {
                at += 1;
                continue;
            }
            let mut entry = self.entries.swap_remove(at);
            let was_expected = entry.leaves == Some(OnChange::Reroute);
            let tier = entry.target.tier.clone();
            match due {
                Due::Nothing => {}
                Due::HandOver => self.entries.push(entry.hand_over(now, &self.shared)),
                Due::End => entry.end(&self.shared),
                Due::Reroute => {
                    if reroute(&mut entry, &mut self.entries, now, &self.shared) == Moved::Some {
                        next = Next::AtOnce;
                    }
                    if !entry.is_stuck() {
                        rerouted.push(entry);
                        continue;
                    }
                    entry.leave_rest(&self.shared);
                }
            }
            if was_expected {
                self.expect_no_more(&tier);
            }
        }
        self.entries.append(&mut rerouted);
        self.see_off_orphans();
        self.leaving = self.entries.iter().any(|entry| entry.leaves.is_some())
            || self.orphans.iter().any(|target| target.is_retired());
        next
    }

    /// What was on disk for a target of this tier that has gone is with its owners. They send on, unless
    /// another one's is to come.
    fn expect_no_more(&self, tier: &str) {
        let of_tier = || self.entries.iter().filter(|entry| entry.target.tier == tier);
        if !of_tier().any(Entry::is_to_reroute) {
            of_tier().flat_map(Entry::links).for_each(|link| link.expect(false));
            // Nothing of these is on disk.
            let without = self.orphans.iter().filter(|target| target.tier == tier);
            without.for_each(|target| target.queue.set_spooling(false));
        }
    }

    /// Ends those that leave and have no spool.
    fn see_off_orphans(&mut self) {
        let shared = &self.shared;
        self.orphans.retain(|target| {
            let link = target.link.as_ref().filter(|link| link.has_worker_ended());
            if let Some(link) = link.filter(|_| target.is_retired()) {
                shed_rest(target, shared);
                link.release();
                return false;
            }
            true
        });
    }

    /// Takes new targets, and word of those that leave.
    pub(crate) fn take_orders(&mut self, now: Now) {
        let Words { newcomers, leavers, plan } = self.orders.with(std::mem::take);
        if let Some(plan) = plan {
            self.entries.iter_mut().for_each(|entry| entry.rate = plan.replay_rate);
            self.plan = plan;
        }
        newcomers.into_iter().for_each(|target| self.admit(target, now));
        for leaver in leavers {
            self.leaving = true;
            if !self.entries.iter_mut().any(|entry| entry.leave(&leaver)) {
                // Its spool could not be opened: it is in memory only.
                leaver.target.retire(leaver.until);
                self.expect_no_more(&leaver.target.tier);
            }
        }
    }

    /// Opens the spool of a new target, or lets it wait for the one that has it; one that cannot be opened
    /// goes without.
    fn admit(&mut self, target: Arc<Target>, now: Now) {
        let holder = self.entries.iter_mut().find(|entry| entry.is_named_as(&target));
        if let Some(holder) = holder {
            return holder.inherit(target);
        }
        let rate = self.plan.replay_rate;
        match self.open(&target, now) {
            Ok(spool) => {
                self.entries.push(Entry::new(now, target, spool, rate, &self.shared));
            }
            Err(error) => {
                tracing::error!(
                    tier = target.tier, target = target.plan.label, %error,
                    "its queue is kept in memory only"
                );
                self.go_without(target);
            }
        }
    }

    /// The queue of a target that has no spool is kept in memory.
    fn go_without(&mut self, target: Arc<Target>) {
        if let Some(link) = &target.link {
            link.set_without(true);
        }
        target.queue.set_spooling(false);
        self.orphans.push(target);
    }

    fn open(&self, target: &Target, now: Now) -> Result<Spool<D>, String> {
        let name = Name::new(&target.tier, &target.plan.id).map_err(|error| error.to_string())?;
        let config = Config {
            sync: self.plan.sync,
            segment_bytes: SEGMENT_BYTES,
            bytes_max: self.plan.target_bytes_max,
            max_age: self.plan.max_age,
            // A full spool fills the queue, whose bound then rules.
            at_bound: AtBound::Refuse,
        };
        let root = self.root.as_ref().ok_or("the spool is not open")?;
        root.spool(&name, config, now).map_err(|error| error.to_string())
    }
}
