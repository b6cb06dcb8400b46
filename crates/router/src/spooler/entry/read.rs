//! From disk to the worker.

use coco_spool::{Now, disk::Disk};

use super::{DISK_PAUSE, Entry, MOVE_BYTES};
use crate::{
    chunk::Chunk,
    shared::Shared,
    target::{
        Shed,
        record::{chunk_of, is_for},
        spool::Link,
    },
};

/// Chunks that the worker has been given and is not done with, at most.
const GIVEN_MAX: usize = 16;

impl<D: Disk> Entry<D> {
    /// Gives the worker what is oldest on disk; `true` if there may be more.
    pub(super) fn read(&mut self, now: Now, link: &Link, shared: &Shared) -> bool {
        let allowed = self.pace.allowance();
        if link.given() >= GIVEN_MAX || allowed == 0 || self.is_barred {
            return false;
        }
        if self.spool.read(self.bytes_of(allowed), &mut self.batch).is_err() {
            // After some failures the spool takes it for damage: it may be a passing trouble.
            self.read_at = now.monotonic + DISK_PAUSE;
            return false;
        }
        for record in self.batch.records() {
            if !is_for(record.head.format, self.target.protocol) {
                self.is_barred = true;
                break;
            }
            self.pace.take(u64::from(record.head.samples));
            match chunk_of(&record, self.target.protocol) {
                Some(chunk) => link.give(chunk),
                None => {
                    let samples = u64::from(record.head.samples);
                    self.count_damaged(record.payload.len() as u64, samples, shared);
                    self.target.settle_shed(&shared.gate, Shed::SpoolCorrupt, true, samples);
                    link.give(Chunk { spooled: Some(record.position), ..Chunk::default() });
                }
            }
        }
        !self.batch.is_empty() && !self.is_barred
    }

    /// The bytes that so many samples take on disk, about, and no more than are moved at once. A read gives one
    /// record at least.
    fn bytes_of(&self, samples: u64) -> usize {
        let held = self.spool.held();
        let bytes = held.bytes / held.samples.max(1);
        usize::try_from(samples.saturating_mul(bytes)).map_or(MOVE_BYTES, |n| n.min(MOVE_BYTES))
    }
}
