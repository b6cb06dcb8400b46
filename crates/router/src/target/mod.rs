//! A target: one receiver with its queue, its counters and the worker that owns its socket.
//!
//! Shards see only [`Target::offer`], which never blocks and never awaits. What a worker took from the
//! queue it must settle: every sample ends as sent or as shed with a reason.

pub(crate) mod connect;
pub(crate) mod datagram;
pub(crate) mod embedded;
pub(crate) mod health;
mod meters;
pub(crate) mod net;
mod outbox;
pub(crate) mod probe;
pub(crate) mod prober;
pub(crate) mod queue;
pub(crate) mod record;
mod refusal;
mod shed;
mod smooth;
pub(crate) mod spool;
pub(crate) mod standing;
pub(crate) mod stream;
mod succession;
pub(crate) mod window;
pub(crate) mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

pub(crate) use meters::Meters;
use queue::{Feeder, Held, Queue};
pub use shed::Shed;
use spool::Link;
use standing::Standing;
pub use standing::State;
use succession::Predecessor;
use tokio::{sync::watch, time::Instant};

use crate::{
    chunk::Chunk,
    ledger::Gate,
    plan::{OnFull, Probe, Replay, TargetPlan, TargetProtocol, TierPlan},
    stage::Lever,
    target::embedded::Store,
    telemetry::Registry,
};

/// One receiver, shared by the shards, its worker and the API.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) tier: String,
    pub(crate) plan: TargetPlan,
    pub(crate) protocol: TargetProtocol,
    pub(crate) datagram_bytes_max: usize,
    /// What comes now does not wait for what is on disk.
    pub(crate) live_first: bool,
    pub(crate) queue: Queue,
    /// Samples in open chunks of the shards.
    open: AtomicU64,
    pub(crate) meters: Meters,
    /// What an embedded target keeps; `None` for all others.
    pub(crate) store: Option<Arc<Store>>,
    /// Where its queue goes on on disk.
    pub(crate) link: Option<Link>,
    pub(crate) standing: Standing,
    /// How it is asked whether it is there; a reload may change that.
    pub(crate) probe: watch::Sender<Probe>,
    /// A number by which what comes back to us is known; of this target only.
    pub(crate) beacon: u64,
    /// Bytes that its worker keeps of what it has written, to write them again when a connection breaks.
    resend_bytes: AtomicUsize,
    /// Samples in those.
    in_doubt: AtomicU64,
    /// What its worker is to do.
    pub(crate) lever: Lever,
    retired: AtomicBool,
    /// Closed while another process still sends to it.
    predecessor: Predecessor,
}

impl Target {
    pub(crate) fn new(tier: &TierPlan, plan: &TargetPlan, registry: &Registry) -> Self {
        let embedded = tier.protocol == TargetProtocol::Embedded;
        Self {
            tier: tier.name.clone(),
            plan: plan.clone(),
            protocol: tier.protocol,
            datagram_bytes_max: tier.datagram_bytes_max,
            live_first: tier.replay == Replay::LiveFirst,
            queue: Queue::new(tier.queue_bytes, tier.on_full, tier.block_timeout),
            open: AtomicU64::new(0),
            meters: Meters::new(registry, &tier.name, plan),
            store: embedded.then(Arc::default),
            link: (tier.on_full == OnFull::Spool).then(Link::default),
            standing: Standing::default(),
            probe: watch::Sender::new(plan.probe.clone()),
            beacon: fastrand::u64(..),
            resend_bytes: AtomicUsize::new(0),
            in_doubt: AtomicU64::new(0),
            lever: Lever::default(),
            retired: AtomicBool::new(false),
            predecessor: Predecessor::default(),
        }
    }

    /// Whether it can go on as this target of this tier: what is sent, and where, is the same. The bounds
    /// of its queue may differ, and its probe.
    pub(crate) fn serves(&self, tier: &TierPlan, plan: &TargetPlan) -> bool {
        self.tier == tier.name
            && self.plan.is_same_place(plan)
            && self.protocol == tier.protocol
            && self.queue.on_full() == tier.on_full
            && self.datagram_bytes_max == tier.datagram_bytes_max
            && self.live_first == (tier.replay == Replay::LiveFirst)
    }

    /// Its worker keeps so many bytes of what it has written from now on.
    pub(crate) fn set_resend_bytes(&self, bytes: usize) {
        self.resend_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that its worker keeps of what it has written.
    pub(crate) fn resend_bytes(&self) -> usize {
        self.resend_bytes.load(Ordering::Relaxed)
    }

    /// So many of the samples that are sent may not have arrived.
    pub(crate) fn set_in_doubt(&self, samples: u64) {
        self.in_doubt.store(samples, Ordering::Relaxed);
    }

    /// So many of the samples that are sent may not have arrived.
    pub(crate) fn in_doubt(&self) -> u64 {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// It is in no tier any more: its worker makes sure that what it has sent arrives.
    pub(crate) fn leave(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// It is in no tier any more, and no shard feeds it: what it holds is sent until then, at most.
    pub(crate) fn retire(&self, until: Instant) {
        self.leave();
        self.queue.close();
        self.lever.flush(until);
    }

    /// It is in no tier any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Why what it holds at its end is shed.
    pub(crate) fn end_reason(&self) -> Shed {
        if self.is_retired() { Shed::Retired } else { Shed::Shutdown }
    }

    /// So many new samples stand in an open chunk; the caller holds the gate.
    pub(crate) fn fill(&self, samples: u64) {
        self.meters.offered.add(samples);
        self.open.fetch_add(samples, Ordering::Relaxed);
    }

    /// Takes a chunk over whose samples were told of by [`fill`](Self::fill), and leaves it empty; the caller
    /// holds the gate. `true`: the queue is full and its stream clients should wait.
    pub(crate) fn offer(&self, chunk: &mut Chunk, feeder: Feeder) -> bool {
        self.open.fetch_sub(chunk.samples, Ordering::Relaxed);
        #[cfg(feature = "faults")]
        if crate::faults::shed_some(chunk, self.meters.shed(Shed::QueueFull)) {
            return false;
        }
        let offered = self.queue.offer(chunk, feeder);
        let why = if offered.by_memory { Shed::Memory } else { Shed::QueueFull };
        self.meters.shed(why).add(offered.shed);
        if !chunk.is_empty() {
            // Too late: its worker has ended.
            self.meters.shed(self.end_reason()).add(chunk.samples);
            chunk.clear();
        }
        if offered.high
            && let Some(link) = self.link.as_ref().filter(|link| !link.is_without())
        {
            link.wake_spooler();
        }
        offered.full
    }

    /// What it has yet to get; the caller holds the gate.
    pub(crate) fn held(&self) -> Held {
        let held = self.queue.held();
        Held { queued: held.queued + self.open.load(Ordering::Relaxed), ..held }
    }

    /// `samples` that the worker took were handed to the kernel or stored.
    pub(crate) fn settle_sent(&self, gate: &Gate, from_disk: bool, samples: u64) {
        let _pass = gate.pass();
        self.meters.sent.add(samples);
        if self.settle(from_disk, samples) {
            self.meters.replayed.add(samples);
        }
    }

    /// `samples` that the worker took are given up.
    pub(crate) fn settle_shed(&self, gate: &Gate, reason: Shed, from_disk: bool, samples: u64) {
        let _pass = gate.pass();
        self.meters.shed(reason).add(samples);
        if self.settle(from_disk, samples) {
            self.meters.shed_on_disk.add(samples);
        }
    }

    /// `true`: they were on disk.
    fn settle(&self, from_disk: bool, samples: u64) -> bool {
        match &self.link {
            Some(link) if from_disk => {
                link.settle(samples);
                true
            }
            _ => {
                self.queue.settle(samples);
                false
            }
        }
    }

    /// Gives up all that waits in the queue, at its end; returns the number of samples.
    pub(crate) fn shed_queued(&self, gate: &Gate, reason: Shed) -> u64 {
        let _pass = gate.pass();
        let samples = self.queue.end();
        self.meters.shed(reason).add(samples);
        samples
    }

    pub(crate) fn state(&self) -> State {
        self.standing.state()
    }

    /// What its worker sees of the connection.
    pub(crate) fn set_state(&self, state: State) {
        self.standing.set_link(state);
    }

    /// It takes samples, as far as can be known; and how long that has been so, or not.
    pub(crate) fn is_open(&self) -> (bool, Duration) {
        self.standing.is_open()
    }

    /// Asks it in another way from now on, if that is another one.
    pub(crate) fn set_probe(&self, probe: &Probe) {
        self.probe.send_if_modified(|present| {
            let differs = present != probe;
            if differs {
                *present = probe.clone();
            }
            differs
        });
    }

    /// What it is sent comes back to this process: it is switched off, and that is said once.
    pub(crate) fn switch_off(&self, how: &'static str) {
        if self.standing.set_loop() {
            let (tier, target) = (&self.tier, &self.plan.label);
            tracing::error!(
                tier,
                target,
                how,
                "a loop: what it is sent comes back to this process; it is switched off until its address \
                 changes or the configuration is read again"
            );
        }
    }
}
