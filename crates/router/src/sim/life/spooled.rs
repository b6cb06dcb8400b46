//! What was spooled when: a crash may take what was not synced yet.

use std::collections::{BTreeMap, VecDeque};

use coco_spool::disk::SimDisk;
use tokio::time::Instant;

use super::{Key, key};
use crate::spooler::Work;

/// Looks that are kept.
const LOOKS_MAX: usize = 1000;

/// What was spooled, as seen at some moments.
#[derive(Default)]
pub(super) struct Spooled(VecDeque<Look>);

/// Samples that were spooled for each target, until a moment.
struct Look {
    at: Instant,
    by_target: BTreeMap<Key, u64>,
}

impl Spooled {
    /// Notes what has been spooled until now.
    pub(super) fn note(&mut self, work: &Work<SimDisk>) {
        let by_target = work.counts().map(|(target, counts)| (key(target), counts.spooled));
        self.0.push_back(Look { at: Instant::now(), by_target: by_target.collect() });
        if self.0.len() > LOOKS_MAX {
            self.0.pop_front();
        }
    }

    /// What was spooled for a target since a moment. Its spool may have been closed and opened again.
    pub(super) fn since(&self, key: &Key, moment: Instant, now: u64) -> u64 {
        let first = self.0.iter().rposition(|seen| seen.at <= moment);
        let seen = self.0.iter().skip(first.unwrap_or(0));
        let mut counts =
            seen.map(|seen| seen.by_target.get(key).copied().unwrap_or(0)).chain([now]);
        let mut before = first.map_or(0, |_| counts.next().unwrap_or(0));
        let grown = |count| match std::mem::replace(&mut before, count) {
            before if count >= before => count - before,
            _ => count,
        };
        counts.map(grown).sum()
    }
}
