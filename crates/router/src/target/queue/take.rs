//! The side of the worker and of the spooler: what they take, give back, and are done with.

use std::{collections::VecDeque, sync::MutexGuard};

use super::{Inner, Queue};
use crate::chunk::Chunk;

/// Emptied chunks kept for reuse; more would only hold memory after a burst.
const SPARES_MAX: usize = 4;

impl Queue {
    /// Moves up to `bytes` into `batch` and counts them as in flight; nothing while older ones are on disk.
    pub(crate) fn take(&self, batch: &mut VecDeque<Chunk>, bytes: usize) {
        let inner = self.lock();
        if !inner.spooling {
            self.take_from(inner, batch, bytes);
        }
    }

    /// The same for the spooler, and not so much that a full queue seems to have room while the disk is
    /// tried.
    pub(crate) fn take_to_spool(&self, batch: &mut VecDeque<Chunk>, bytes: usize) {
        let inner = self.lock();
        let bytes = bytes.min(inner.bound() / 4);
        self.take_from(inner, batch, bytes);
    }

    fn take_from(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        batch: &mut VecDeque<Chunk>,
        bytes: usize,
    ) {
        let (mut taken, mut charged) = (0, 0);
        while taken < bytes
            && let Some(mut chunk) = inner.chunks.pop_front()
        {
            chunk.charge = chunk.footprint();
            charged += chunk.charge;
            taken += chunk.weight();
            inner.in_flight += chunk.samples;
            batch.push_back(chunk);
        }
        inner.bytes -= taken;
        inner.taken += charged;
        self.make_room(&mut inner);
    }

    /// Puts back what was taken and not settled, in front of all others.
    pub(crate) fn give_back(&self, chunks: &mut VecDeque<Chunk>) {
        let mut inner = self.lock();
        while let Some(mut chunk) = chunks.pop_back() {
            inner.taken -= std::mem::take(&mut chunk.charge);
            inner.bytes += chunk.weight();
            inner.in_flight -= chunk.samples;
            inner.chunks.push_front(chunk);
        }
        drop(inner);
        self.ready.notify_one();
    }

    /// `samples` of what was taken have met their fate.
    pub(crate) fn settle(&self, samples: u64) {
        self.lock().in_flight -= samples;
    }

    /// Gives an emptied chunk back for reuse.
    pub(crate) fn recycle(&self, mut chunk: Chunk) {
        let charge = chunk.charge;
        chunk.clear();
        let mut inner = self.lock();
        inner.taken -= charge;
        if inner.spares.len() < SPARES_MAX {
            inner.spares.push(chunk);
        }
    }
}
