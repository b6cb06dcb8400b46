//! From the queue to disk.

use coco_spool::{AppendError, Cause, Now, disk::Disk};

use super::{DISK_PAUSE, Entry, MOVE_BYTES};
use crate::{shared::Shared, target::Shed};

impl<D: Disk> Entry<D> {
    /// Moves part of the queue to disk; `true` if there may be more.
    pub(super) fn write(&mut self, now: Now, shared: &Shared) -> bool {
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
}
