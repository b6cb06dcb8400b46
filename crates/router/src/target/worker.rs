//! The one task that owns a target's socket: takes chunks from the queue, sends them, settles them.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    chunk::Chunk,
    plan::TargetProtocol,
    shared::Shared,
    stage::Stages,
    target::{Shed, State, Target, connect::Backoff, datagram, stream},
};

/// Bytes taken from the queue at once.
const TAKE_BYTES: usize = 512 * 1024;

/// Serves `target` until its queue is closed and empty, or the time for it is over.
pub(crate) async fn run(target: Arc<Target>, shared: Arc<Shared>, mut stages: Stages) {
    let mut outbox = Outbox::new(&target, &shared);
    tokio::select! {
        () = serve(&mut outbox) => {}
        () = stages.flush_deadline() => {}
    }
    outbox.give_up();
}

async fn serve(outbox: &mut Outbox<'_>) {
    match outbox.target.protocol {
        TargetProtocol::Collectd | TargetProtocol::LineUdp => datagram::serve(outbox).await,
        TargetProtocol::LineTcp | TargetProtocol::Pickle => stream::serve(outbox).await,
        TargetProtocol::Embedded => store(outbox).await,
    }
}

/// What a worker has taken and not yet settled.
#[derive(Debug)]
pub(crate) struct Outbox<'a> {
    pub(crate) target: &'a Target,
    pub(crate) shared: &'a Shared,
    pub(crate) chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that its connection took.
    pub(crate) written: usize,
}

impl<'a> Outbox<'a> {
    fn new(target: &'a Target, shared: &'a Shared) -> Self {
        Self { target, shared, chunks: VecDeque::new(), written: 0 }
    }

    /// Everything is settled, and no more will come.
    pub(crate) fn is_done(&self) -> bool {
        self.chunks.is_empty() && self.target.queue.is_finished()
    }

    /// Waits before the next attempt, but not when there is nothing left to send.
    pub(crate) async fn pause(&self, backoff: &mut Backoff) {
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            () = self.target.queue.finished(), if self.chunks.is_empty() => {}
        }
    }

    /// The connection is gone: whole units that it took are sent, the rest goes to the next one.
    pub(crate) fn cut(&mut self) {
        let written = std::mem::take(&mut self.written);
        let samples = self.chunks.front_mut().map_or(0, |chunk| chunk.settle(written));
        self.sent(samples);
    }

    /// Takes more from the queue.
    pub(crate) fn take(&mut self) {
        self.target.queue.take(&mut self.chunks, TAKE_BYTES);
    }

    /// `samples` went to the kernel, or are stored.
    pub(crate) fn sent(&self, samples: u64) {
        if samples > 0 {
            self.target.settle_sent(&self.shared.gate, samples);
        }
    }

    /// `samples` are given up.
    pub(crate) fn shed(&self, reason: Shed, samples: u64) {
        if samples > 0 {
            self.target.settle_shed(&self.shared.gate, reason, samples);
        }
    }

    /// Counts a failed write and shows the first one.
    pub(crate) fn write_failed(&self, error: &std::io::Error) {
        self.target.meters.write_errors.add(1);
        let (tier, target) = (&self.target.tier, &self.target.plan.label);
        self.shared.reports.once("write", target, || {
            tracing::warn!(%error, tier, target, "cannot send; trying on");
        });
    }

    /// The first chunk is done with.
    pub(crate) fn drop_first(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.target.queue.recycle(chunk);
        }
    }

    /// The time is over: what is left is shed, and said so.
    fn give_up(&mut self) {
        self.cut();
        let taken: u64 = self.chunks.drain(..).map(|chunk| chunk.samples).sum();
        let why = self.target.end_reason();
        self.shed(why, taken);
        let queued = self.target.shed_queued(&self.shared.gate, why);
        if taken + queued > 0 {
            let (tier, target) = (&self.target.tier, &self.target.plan.label);
            let (samples, why) = (taken + queued, why.as_str());
            tracing::error!(tier, target, samples, why, "shed at its end");
        }
    }
}

/// An embedded target keeps what it is sent in this process.
async fn store(outbox: &mut Outbox<'_>) {
    outbox.target.set_state(State::Up);
    while !outbox.is_done() {
        outbox.target.queue.ready().await;
        outbox.take();
        while let Some(chunk) = outbox.chunks.front() {
            if let Some(store) = &outbox.target.store {
                store.insert(chunk);
            }
            let samples = chunk.samples;
            outbox.drop_first();
            outbox.sent(samples);
        }
        tokio::task::yield_now().await;
    }
}
