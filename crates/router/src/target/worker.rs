//! The one task that owns a target's socket: takes chunks from the queue, sends them, settles them.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    chunk::Chunk,
    plan::TargetProtocol,
    shard::{Stage, Stages},
    shared::Shared,
    target::{Shed, State, Target, datagram, stream},
};

/// Bytes taken from the queue at once.
pub(crate) const TAKE_BYTES: usize = 512 * 1024;

/// Serves `target` until its queue is closed and empty, or the time for it is over.
pub(crate) async fn run(target: Arc<Target>, shared: Arc<Shared>, mut stages: Stages) {
    let mut outbox = Outbox { target: &target, shared: &shared, chunks: VecDeque::new() };
    let mut until = stages.clone();
    tokio::select! {
        () = serve(&mut outbox, &mut stages) => {}
        () = until.flush_deadline() => {}
    }
    outbox.give_up();
}

async fn serve(outbox: &mut Outbox<'_>, stages: &mut Stages) {
    match outbox.target.protocol {
        TargetProtocol::Collectd | TargetProtocol::LineUdp => datagram::serve(outbox).await,
        TargetProtocol::LineTcp | TargetProtocol::Pickle => stream::serve(outbox).await,
        TargetProtocol::Embedded => store(outbox).await,
    }
    debug_assert!(stages.now() != Stage::Run, "a worker ends only when its queue is closed");
}

/// What a worker has taken and not yet settled.
#[derive(Debug)]
pub(crate) struct Outbox<'a> {
    pub(crate) target: &'a Target,
    pub(crate) shared: &'a Shared,
    pub(crate) chunks: VecDeque<Chunk>,
}

impl Outbox<'_> {
    /// Takes more from the queue; `false` when it is empty.
    pub(crate) fn take(&mut self) -> bool {
        self.target.queue.take(&mut self.chunks, TAKE_BYTES)
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

    /// The first chunk is done with.
    pub(crate) fn drop_first(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.target.queue.recycle(chunk);
        }
    }

    /// The time is over: what is left is shed, and said so.
    fn give_up(&mut self) {
        let taken: u64 = self.chunks.drain(..).map(|chunk| chunk.samples).sum();
        self.shed(Shed::Shutdown, taken);
        let queued = self.target.queue.shed_all();
        self.target.meters.shed(Shed::Shutdown).add(queued);
        if taken + queued > 0 {
            let (tier, target) = (&self.target.tier, &self.target.plan.label);
            tracing::error!(tier, target, samples = taken + queued, "shed at shutdown");
        }
    }
}

/// An embedded target keeps what it is sent in this process.
async fn store(outbox: &mut Outbox<'_>) {
    outbox.target.set_state(State::Up);
    while !outbox.target.queue.is_finished() {
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
