//! How a target leaves: it gets all that it is due, or what it holds goes on to others.
//!
//! Order: nobody feeds it any more (the reload has seen to that), its worker ends, and only then goes what is on
//! disk to an heir or to the new owners. What is in its queue comes behind that: an heir gets it as it is, and new
//! owners when there is room for it on the disk. A target that keeps what it has works on until nothing is left.
//! Nothing of this has a deadline.

use std::{sync::Arc, time::Duration};

use coco_spool::{Now, disk::Disk};
use tokio::time::Instant;

use super::{entry::Entry, reroute::pass_on};
use crate::{
    plan::OnChange,
    shared::Shared,
    target::{Shed, Target, spool::Link},
};

/// What its worker has begun to send it may send for so long, once it is to end. The rest is on disk.
const WORKER_MAX: Duration = Duration::from_secs(2);

/// A target that is in force no more, or will not be.
#[derive(Debug)]
pub(crate) struct Leaver {
    pub(crate) target: Arc<Target>,
    pub(crate) how: OnChange,
    /// Until then it may get what it holds, if that is in memory only.
    pub(crate) until: Instant,
}

/// A target that takes over another one's spool, as it has its tier and id.
#[derive(Debug)]
pub(super) struct Heir {
    pub(super) target: Arc<Target>,
    /// It leaves itself, before it has come into its own.
    pub(super) leaves: Option<OnChange>,
}

/// What is to be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It goes on.
    Nothing,
    /// Its heir is to have the spool.
    HandOver,
    /// What is on disk is to go to its owners.
    Reroute,
    /// Nothing is left.
    End,
}

impl<D: Disk> Entry<D> {
    /// Whether it is of this tier and id.
    pub(super) fn is_named_as(&self, target: &Target) -> bool {
        self.target.tier == target.tier && self.target.plan.id == target.plan.id
    }

    /// Another target of its name is to take over, once it leaves.
    pub(super) fn inherit(&mut self, target: Arc<Target>) {
        self.heirs.push_back(Heir { target, leaves: None });
    }

    /// If it is this target's, or an heir is this target: it is fed no more. Tells whether it was.
    pub(super) fn leave(&mut self, leaver: &Leaver) -> bool {
        let leaves = if Arc::ptr_eq(&self.target, &leaver.target) {
            &mut self.leaves
        } else {
            let mut heirs = self.heirs.iter_mut();
            let Some(heir) = heirs.find(|heir| Arc::ptr_eq(&heir.target, &leaver.target)) else {
                return false;
            };
            &mut heir.leaves
        };
        *leaves = Some(leaver.how);
        if let Some(link) = &leaver.target.link {
            // It owns nothing any more: what goes on from others does not come here.
            link.expect(false);
        }
        true
    }

    /// What it holds, or an heir will, is to go to its owners.
    pub(super) fn is_to_reroute(&self) -> bool {
        let mut all = self.heirs.iter().map(|heir| heir.leaves).chain([self.leaves]);
        all.any(|leaves| leaves == Some(OnChange::Reroute))
    }

    /// Its link, and those of its heirs.
    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        let heirs = self.heirs.iter().map(|heir| &heir.target);
        heirs.chain([&self.target]).filter_map(|target| target.link.as_ref())
    }

    /// It is fed no more, and what it holds is to go to others.
    pub(super) fn is_ending(&self) -> bool {
        self.leaves.is_some_and(|how| how == OnChange::Reroute || !self.heirs.is_empty())
    }

    /// What is to be done with it, if it leaves.
    pub(super) fn due(&mut self, shared: &Shared) -> Due {
        let target = Arc::clone(&self.target);
        let (Some(link), Some(how)) = (&target.link, self.leaves) else { return Due::Nothing };
        let is_ending = self.is_ending();
        if !(self.told_to_end || is_ending || self.has_nothing(link)) {
            return Due::Nothing;
        }
        if !self.told_to_end {
            self.told_to_end = true;
            target.queue.set_spooling(true);
            target.retire(Instant::now() + WORKER_MAX);
        }
        if !link.has_worker_ended() {
            return Due::Nothing;
        }
        if !self.heirs.is_empty() {
            Due::HandOver
        } else if how == OnChange::Reroute && self.spool.held().records > 0 {
            if !std::mem::replace(&mut self.taken_back, true) {
                self.take_back(shared);
            }
            Due::Reroute
        } else if is_ending && target.queue.held().queued > 0 {
            // It goes to disk first.
            Due::Nothing
        } else {
            // What a stuck shard may have brought since.
            target.shed_queued(&shared.gate, Shed::Retired);
            Due::End
        }
    }

    /// What was read, and has not left whole, is read again: its worker has ended.
    fn take_back(&mut self, shared: &Shared) {
        self.take_word(shared);
        self.spool.rewind();
        self.is_barred = false;
        if let Some(link) = &self.target.link {
            let _pass = shared.gate.pass();
            // Of a record that has left in part, all comes again.
            let again = self.spool.held().samples.saturating_sub(link.held());
            self.target.meters.recovered.add(again);
            link.hold(again);
        }
    }

    /// All that it was due is sent.
    fn has_nothing(&self, link: &Link) -> bool {
        let held = self.target.held();
        held.queued + held.in_flight == 0 && link.given() == 0 && self.spool.held().records == 0
    }

    /// Nothing is left of it.
    pub(super) fn end(self, shared: &Shared) {
        let target = Arc::clone(&self.target);
        self.close(shared);
        if let Some(link) = &target.link {
            link.release();
        }
        let (tier, target) = (&target.tier, &target.plan.label);
        tracing::info!(tier, target, "taken out, and has got all that it was due");
    }

    /// Its first heir in its place, with the same spool. All that was not sent whole is read again.
    pub(super) fn hand_over(mut self, now: Now, shared: &Shared) -> Self {
        let Some(Heir { target: heir, leaves }) = self.heirs.pop_front() else { return self };
        self.take_back(shared);
        let (from, held) = (Arc::clone(&self.target), self.spool.held().samples);
        pass_queue(&from, &heir, shared);
        if let Some(new) = &heir.link {
            let _pass = shared.gate.pass();
            pass_on(&from, &heir, held);
            heir.meters.to_disk.add(held);
            new.hold(held);
        }
        let (tier, id) = (&heir.tier, &heir.plan.id);
        let (from, to) = (&from.plan.label, &heir.plan.label);
        if from == to {
            tracing::info!(tier, id, target = to, samples = held, "its spool goes on");
        } else {
            tracing::info!(
                tier,
                id,
                from,
                to,
                samples = held,
                "its spool goes on at another address"
            );
        }
        let heirs = std::mem::take(&mut self.heirs);
        let before = self.target;
        let mut entry = Self::with(now, heir, self.spool, self.rate);
        (entry.leaves, entry.heirs) = (leaves, heirs);
        if let Some(link) = &before.link {
            link.release();
        }
        entry
    }
}

/// What is in the queue goes on to the heir's, in front of what has come there: a full disk may not take it.
fn pass_queue(from: &Target, heir: &Target, shared: &Shared) {
    let _pass = shared.gate.pass();
    let mut chunks = Vec::new();
    from.queue.end_into(&mut chunks);
    let samples = chunks.iter().map(|chunk| chunk.samples).sum();
    from.queue.settle(samples);
    // As if by way of the disk: whatever goes on to another target is counted as coming from there.
    from.meters.to_disk.add(samples);
    from.meters.rerouted.add(samples);
    heir.meters.taken_over.add(samples);
    if !heir.queue.inherit(chunks) {
        heir.meters.shed(heir.end_reason()).add(samples);
    }
}
