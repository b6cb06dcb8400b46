//! The end of a spool at a stop: all that is held goes to disk, or to the next process, or is shed.

use std::{sync::Arc, time::Duration};

use coco_spool::{Now, disk::Disk};

use super::Entry;
use crate::{handover, shared::Shared, spooler::PAUSE_IDLE, target::Target};

/// Time at a stop for a disk that refuses.
pub(in crate::spooler) const FINISH_MAX: Duration = Duration::from_secs(5);

impl<D: Disk> Entry<D> {
    /// Puts on disk all that the queue holds, as far as the disk takes it by then.
    pub(in crate::spooler) fn write_all(
        &mut self,
        now: impl Fn() -> Now,
        until: Duration,
        shared: &Shared,
    ) {
        self.take_word(shared);
        if self.is_barred && !self.is_ending() {
            // Nobody would read it there.
            return;
        }
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
    pub(in crate::spooler) fn finish(
        mut self,
        now: impl Fn() -> Now,
        until: Duration,
        shared: &Shared,
    ) {
        let target = Arc::clone(&self.target);
        self.write_all(now, until, shared);
        hand_rest_over(&target, shared);
        self.close(shared);
        if let Some(link) = &target.link {
            link.release();
        }
    }

    /// Sheds what is not on disk, and closes the spool.
    pub(in crate::spooler) fn close(mut self, shared: &Shared) {
        self.tell(shared);
        shed_rest(&self.target, shared);
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        let held = self.spool.held().samples;
        if held > 0 && !self.is_barred {
            let folder = self.spool.folder().display();
            tracing::info!(tier, target, samples = held, %folder, "kept on disk for the next start");
        }
        if let (_, Err(error)) = self.spool.close() {
            tracing::warn!(%error, tier, target, "cannot save how far it was sent: some goes twice");
        }
    }
}

/// Gives what no disk took to the next process, if this one hands over.
pub(in crate::spooler) fn hand_rest_over(target: &Target, shared: &Shared) {
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
pub(in crate::spooler) fn shed_rest(target: &Target, shared: &Shared) {
    let samples = target.shed_queued(&shared.gate, target.end_reason());
    if samples > 0 {
        let (tier, target) = (&target.tier, &target.plan.label);
        tracing::error!(tier, target, samples, "shed at its end: the disk did not take it");
    }
}
