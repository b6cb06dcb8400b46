//! What is on disk and cannot be sent: torn ends, damage, and records of another protocol.

use coco_spool::{Counts, disk::Disk};

use super::Entry;
use crate::{shared::Shared, target::Shed};

impl<D: Disk> Entry<D> {
    /// Tells the target what the spool has shed by itself, and what was damaged.
    pub(super) fn tell(&mut self, shared: &Shared) {
        let now = self.spool.counts();
        let before = std::mem::replace(&mut self.told, now);
        let (aged, lost) = (now.shed.age - before.shed.age, now.shed.corrupt - before.shed.corrupt);
        for (reason, samples) in [(Shed::SpoolAge, aged), (Shed::SpoolCorrupt, lost)] {
            if samples > 0 {
                self.target.settle_shed(&shared.gate, reason, true, samples);
            }
        }
        let bytes = now.corrupt_bytes - before.corrupt_bytes;
        if bytes + lost > 0 {
            self.target.meters.damaged_bytes.add(bytes);
            self.say_damaged(bytes, lost, shared);
        }
    }

    /// Tells what a crash has left of what was being written when it came.
    pub(super) fn tell_torn(&self) {
        let Counts { torn_bytes: bytes, torn_samples: samples, .. } = self.spool.counts();
        if bytes == 0 {
            return;
        }
        self.target.meters.damaged_bytes.add(bytes);
        tracing::warn!(
            tier = self.target.tier,
            target = self.target.plan.label,
            folder = %self.spool.folder().display(),
            bytes,
            samples,
            "the end of what was written was torn, as a crash leaves it, and is cut off: at least so many samples \
             are lost"
        );
    }

    /// Says once that some of what is on disk cannot be read.
    pub(super) fn say_damaged(&self, bytes: u64, samples: u64, shared: &Shared) {
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        shared.reports.once("damaged", target, || {
            tracing::warn!(
                tier,
                target,
                folder = %self.spool.folder().display(),
                bytes,
                samples,
                "damaged on disk, and passed over: `spool_corrupt` and `coco_spool_damaged_bytes` count this \
                 and what is yet found"
            );
        });
    }

    /// Says once that nothing more is read.
    pub(in crate::spooler) fn say_barred(&self, shared: &Shared) {
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        shared.reports.once("barred", target, || {
            tracing::warn!(
                tier,
                target,
                folder = %self.spool.folder().display(),
                "what is next on disk for it is in another protocol than that of its tier, and stays there with \
                 all that is behind it"
            );
        });
    }
}
