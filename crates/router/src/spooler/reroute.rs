//! What is on disk for a target that has gone, to the owners under the ring in force, batch by batch.
//!
//! What went to an owner's disk is synced before it leaves the old one's: after a crash in between it is there
//! twice, and nothing is lost. An owner whose disk does not take it gets it through its queue, as long as that
//! is not half full.

use std::{collections::VecDeque, sync::Arc};

use coco_spool::{Cause, Now, Position, disk::Disk};

use super::entry::{Entry, MOVE_BYTES};
use crate::{
    chunk::Chunk,
    pipeline::Sorter,
    routes::Tier,
    shared::Shared,
    target::{
        Shed, Target,
        queue::Feeder,
        record::{chunk_of, is_for},
    },
};

/// A batch on its way to its owners.
#[derive(Debug, Default)]
pub(super) struct Moving {
    pending: VecDeque<(Arc<Target>, Chunk)>,
    /// Up to here it was read.
    to: Option<Position>,
}

/// Whether the next part may follow at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Some,
    /// An owner does not take it yet.
    Waits,
}

/// Moves a part of what `from` has on disk to the entries of its owners.
pub(super) fn reroute<D: Disk>(
    from: &mut Entry<D>,
    owners: &mut [Entry<D>],
    now: Now,
    shared: &Shared,
) -> Moved {
    if from.moving.pending.is_empty() && !from.sort_next(shared) {
        return Moved::Waits;
    }
    let age = from.age(now);
    while let Some((owner, mut chunk)) = from.moving.pending.pop_front() {
        // Behind what cannot be sent nobody would read it.
        let takes = |entry: &&mut Entry<D>| Arc::ptr_eq(&entry.target, &owner) && !entry.is_barred;
        let entry = owners.iter_mut().find(takes);
        if let Some(entry) = entry {
            let moved = entry.append_for(&from.target, &mut chunk, now, shared);
            entry.pace.join(moved, age);
        }
        if !chunk.is_empty() && !owner.queue.is_high() {
            through_queue(&from.target, &owner, &mut chunk, shared);
        }
        if !chunk.is_empty() {
            from.moving.pending.push_front((owner, chunk));
            return Moved::Waits;
        }
    }
    for entry in owners {
        // A failure is counted; what could not be synced is still read, unless the machine crashes.
        let _synced: bool = entry.spool.sync();
    }
    if let Some(to) = from.moving.to.take() {
        from.spool.ack(to);
    }
    Moved::Some
}

impl<D: Disk> Entry<D> {
    /// What is left is in another protocol, or behind such: no owner is to wait for it.
    pub(super) fn is_stuck(&self) -> bool {
        let has_more = self.target.queue.held().queued > 0 || !self.moving.pending.is_empty();
        self.is_barred && !has_more
    }

    /// Ends where it cannot go on.
    pub(super) fn leave_rest(self, shared: &Shared) {
        let target = Arc::clone(&self.target);
        self.close(shared);
        if let Some(link) = &target.link {
            link.release();
        }
    }

    /// Reads what comes next and sorts it; `false` if that cannot be done now.
    fn sort_next(&mut self, shared: &Shared) -> bool {
        let routes = shared.routes.load_full();
        let target = Arc::clone(&self.target);
        let is_its = |tier: &&Tier| {
            tier.name == target.tier && tier.protocol.carries_all_of(target.protocol)
        };
        let Some(tier) = routes.tiers.iter().find(is_its) else {
            shared.reports.once("reroute", &target.plan.label, || {
                tracing::warn!(
                    tier = target.tier,
                    target = target.plan.label,
                    "its tier is gone too, or speaks another protocol: what is on disk for it stays there"
                );
            });
            return false;
        };
        if self.is_barred {
            return false;
        }
        if self.spool.read(MOVE_BYTES, &mut self.batch).is_err() {
            // Some failures in a row are damage, and passed over.
            return false;
        }
        let mut sorter = Sorter::new(tier);
        for record in self.batch.records() {
            if !is_for(record.head.format, tier.protocol) {
                self.is_barred = true;
                break;
            }
            match chunk_of(&record, tier.protocol) {
                Some(chunk) => sorter.sort(&chunk),
                None => {
                    let samples = u64::from(record.head.samples);
                    self.count_damaged(record.payload.len() as u64, samples, shared);
                    sorter.shed.push((Shed::SpoolCorrupt, samples));
                }
            }
            self.moving.to = Some(record.position);
        }
        for (slot, chunk) in sorter.finish() {
            let owner = routes.targets.get(slot);
            self.moving.pending.extend(owner.map(|owner| (Arc::clone(owner), chunk)));
        }
        for (reason, samples) in sorter.shed {
            target.settle_shed(&shared.gate, reason, true, samples);
        }
        if self.is_barred {
            self.say_barred(shared);
        }
        self.moving.to.is_some()
    }

    /// Appends what was held for `from`, as far as the disk takes it; the rest stays in the chunk.
    fn append_for(&mut self, from: &Target, chunk: &mut Chunk, now: Now, shared: &Shared) -> u64 {
        self.payloads.clear();
        self.payloads.push(chunk, self.target.protocol);
        let records = self.payloads.records(shared.routes.load().epoch);
        let appended = self.spool.append(now, &records);
        let taken = appended.as_ref().map_or_else(|error| error.taken, |()| records.len());
        let samples = records.iter().take(taken).map(|r| u64::from(r.samples)).sum();
        if let Some(link) = &self.target.link {
            let _pass = shared.gate.pass();
            pass_on(from, &self.target, samples);
            self.target.meters.to_disk.add(samples);
            link.hold(samples);
        }
        // One that came after the others were told to wait has not waited: what is on disk goes first now.
        self.target.queue.set_spooling(true);
        chunk.settle_first(samples);
        chunk.trim();
        if appended.is_err_and(|error| matches!(error.cause, Cause::Unsound)) {
            let lost = std::mem::take(&mut chunk.samples);
            from.settle_shed(&shared.gate, Shed::Oversize, true, lost);
        }
        samples
    }
}

/// So many samples leave one target's account for another's; the caller holds the gate.
pub(super) fn pass_on(from: &Target, to: &Target, samples: u64) {
    if let Some(link) = &from.link {
        link.settle(samples);
    }
    from.meters.rerouted.add(samples);
    to.meters.taken_over.add(samples);
}

/// Puts a chunk into the queue of its owner, whose disk does not take it.
fn through_queue(from: &Target, owner: &Target, chunk: &mut Chunk, shared: &Shared) {
    let _pass = shared.gate.pass();
    pass_on(from, owner, chunk.samples);
    let offered = owner.queue.offer(chunk, Feeder::Stream);
    owner.meters.shed(Shed::QueueFull).add(offered.shed);
    if !chunk.is_empty() {
        owner.meters.shed(owner.end_reason()).add(chunk.samples);
        chunk.clear();
    }
}
