//! The end of a queue, and what another process does with what it holds then.

use super::Queue;
use crate::chunk::Chunk;

impl Queue {
    /// No more will be offered, and nobody waits for room; the worker ends when the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    /// The worker ends: gives up all that is queued, and takes nothing any more. Returns the number of
    /// samples.
    pub(crate) fn end(&self) -> u64 {
        let mut inner = self.lock();
        inner.ended = true;
        inner.shed_to(0)
    }

    /// The worker ends, and another process takes what is queued: it counts as in flight.
    pub(crate) fn end_into(&self, chunks: &mut Vec<Chunk>) {
        let mut inner = self.lock();
        inner.ended = true;
        inner.in_flight += inner.chunks.iter().map(|chunk| chunk.samples).sum::<u64>();
        inner.bytes = 0;
        chunks.extend(inner.chunks.drain(..));
    }

    /// Puts what another process held in front of all others; `false` when the queue has come to its end.
    pub(crate) fn inherit(&self, chunks: Vec<Chunk>) -> bool {
        let mut inner = self.lock();
        if inner.ended {
            return false;
        }
        for chunk in chunks.into_iter().rev() {
            inner.bytes += chunk.weight();
            inner.chunks.push_front(chunk);
        }
        drop(inner);
        self.ready.notify_one();
        true
    }
}
