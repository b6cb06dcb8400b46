//! A target at an upgrade: two processes have it, and only one of them sends to it at a time.

use tokio::sync::watch;

use super::{Shed, Target};
use crate::{chunk::Chunk, ledger::Gate};

/// Whether another process still sends to a target.
#[derive(Debug)]
pub(super) struct Predecessor(watch::Sender<bool>);

impl Default for Predecessor {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Target {
    /// From now on until [`release`](Self::release) its worker sends nothing, because another process does.
    pub(crate) fn wait_for_predecessor(&self) {
        if let Some(link) = &self.link {
            // What that process may hand over is older than all that could go to disk.
            link.set_direct(true);
        }
        self.predecessor.0.send_replace(true);
    }

    /// The other process is done with it, and has left these samples.
    pub(crate) fn release(&self, gate: &Gate, chunks: Vec<Chunk>) {
        self.hold_again(gate, chunks);
        if let Some(link) = &self.link {
            link.set_direct(false);
        }
        self.predecessor.0.send_replace(false);
    }

    /// These samples, which were not offered to it now, go to the front of its queue.
    pub(super) fn hold_again(&self, gate: &Gate, chunks: Vec<Chunk>) {
        let samples: u64 = chunks.iter().map(|chunk| chunk.samples).sum();
        let _pass = gate.pass();
        self.meters.inherited.add(samples);
        if !self.queue.inherit(chunks) {
            self.meters.shed(self.end_reason()).add(samples);
        }
    }

    /// Returns when no other process sends to it any more.
    pub(crate) async fn released(&self) {
        let mut waits = self.predecessor.0.subscribe();
        // The sender lives as long as this target.
        let _closed: Result<_, watch::error::RecvError> = waits.wait_for(|waits| !waits).await;
    }

    /// So many samples of another process cannot be used here.
    pub(crate) fn shed_inherited(&self, gate: &Gate, reason: Shed, samples: u64) {
        let _pass = gate.pass();
        self.meters.inherited.add(samples);
        self.meters.shed(reason).add(samples);
    }

    /// `samples` that the worker took were given to the next process.
    pub(crate) fn settle_handed_over(&self, gate: &Gate, samples: u64) {
        let _pass = gate.pass();
        self.meters.handed_over.add(samples);
        self.settle(false, samples);
    }
}
