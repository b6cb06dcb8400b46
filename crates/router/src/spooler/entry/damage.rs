//! What is on disk and cannot be sent: torn ends, damage, and records of another protocol.

use std::sync::Arc;

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
            self.count_damaged(bytes, lost, shared);
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

    /// Counts bytes on disk that gave no sample, and says so once.
    pub(in crate::spooler) fn count_damaged(&self, bytes: u64, samples: u64, shared: &Shared) {
        self.target.meters.damaged_bytes.add(bytes);
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

    /// Whether its target does as one that has no spool: what is on disk cannot be sent, and all that came before
    /// is done with. What comes is not put behind it, where nobody would read it.
    pub(super) fn goes_without(&mut self, shared: &Shared) -> bool {
        let target = Arc::clone(&self.target);
        let Some(link) = &target.link else { return false };
        if self.spool.held().records == 0 {
            // It was too old.
            self.is_barred = false;
        }
        if !self.is_barred {
            link.set_without(false);
        } else if !link.is_without() && link.given() == 0 {
            // What was read and stays may yet become too old.
            self.take_word(shared);
            self.spool.rewind();
            link.set_without(true);
            self.say_barred(shared);
        }
        link.is_without()
    }

    /// Says once that nothing more is read.
    pub(in crate::spooler) fn say_barred(&self, shared: &Shared) {
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        shared.reports.once("barred", &self.spool.folder().to_string_lossy(), || {
            tracing::warn!(
                tier,
                target,
                id = self.target.plan.id,
                samples = self.spool.held().samples,
                folder = %self.spool.folder().display(),
                "on disk in another protocol than that of its tier, or behind such, and stays there; what comes \
                 now is kept in memory only: by a restart, give the tier another name, or its protocol of before \
                 until all is sent; once Coco has stopped, `coco spool DIRECTORY drop FOLDER` removes it"
            );
        });
    }
}
