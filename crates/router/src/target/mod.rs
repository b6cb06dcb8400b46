//! A target: one receiver with its queue, its counters and the worker that owns its socket.
//!
//! Shards see only [`Target::offer`], which never blocks and never awaits. What a worker took from the
//! queue it must settle: every sample ends as sent or as shed with a reason.

pub(crate) mod connect;
pub(crate) mod datagram;
pub(crate) mod embedded;
pub(crate) mod net;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod spool;
pub(crate) mod stream;
pub(crate) mod window;
pub(crate) mod worker;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use queue::{Feeder, Held, Queue};
use spool::Link;
use tokio::time::Instant;

use crate::{
    chunk::Chunk,
    ledger::Gate,
    plan::{OnFull, TargetPlan, TargetProtocol, TierPlan},
    stage::Lever,
    target::embedded::Store,
    telemetry::{self, Counter, Registry},
};

/// Why samples were dropped on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// The target's queue was full; its oldest samples went.
    QueueFull,
    /// The sample does not fit into one datagram of the tier's size.
    Oversize,
    /// The name is none that the relay whose names the tier follows would take.
    BadName,
    /// The process stopped before the target took them.
    Shutdown,
    /// A reload took the target out, and it did not take them in the time that it then had.
    Retired,
    /// On disk for longer than the spool keeps samples.
    SpoolAge,
    /// Damaged on disk.
    SpoolCorrupt,
}

impl Shed {
    /// Every reason, in the order they are shown.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::Oversize,
        Self::BadName,
        Self::Shutdown,
        Self::Retired,
        Self::SpoolAge,
        Self::SpoolCorrupt,
    ];

    /// The reason as counters name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Oversize => "oversize",
            Self::BadName => "bad_name",
            Self::Shutdown => "shutdown",
            Self::Retired => "retired",
            Self::SpoolAge => "spool_age",
            Self::SpoolCorrupt => "spool_corrupt",
        }
    }
}

/// What the worker knows of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not connected yet, or trying again.
    Connecting,
    /// TCP: connected. Embedded: there.
    Up,
    /// UDP: a socket is open, and nobody can know who reads.
    Unknown,
    /// UDP: the target's machine says that nobody listens.
    Down,
}

impl State {
    /// The state as the API shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Down => "down",
        }
    }
}

/// One receiver, shared by the shards, its worker and the API.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) tier: String,
    pub(crate) plan: TargetPlan,
    pub(crate) protocol: TargetProtocol,
    pub(crate) datagram_bytes_max: usize,
    pub(crate) queue: Queue,
    /// Samples in open chunks of the shards.
    open: AtomicU64,
    pub(crate) meters: Meters,
    /// What an embedded target keeps; `None` for all others.
    pub(crate) store: Option<Arc<Store>>,
    /// Where its queue goes on on disk.
    pub(crate) link: Option<Link>,
    /// Bytes that its worker keeps of what it has written, to write them again when a connection breaks.
    resend_bytes: AtomicUsize,
    /// Samples in those.
    in_doubt: AtomicU64,
    state: AtomicU8,
    state_since: Mutex<Instant>,
    /// What its worker is to do.
    pub(crate) lever: Lever,
    retired: AtomicBool,
}

/// The counters of one target. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    pub(crate) offered: Counter,
    pub(crate) sent: Counter,
    pub(crate) resent: Counter,
    pub(crate) write_errors: Counter,
    pub(crate) dial_errors: Counter,
    pub(crate) disconnects: Counter,
    shed: [Counter; Shed::ALL.len()],
}

impl Meters {
    fn new(registry: &Registry, tier: &str, target: &TargetPlan) -> Self {
        let labels = [("tier", tier), ("target", target.label.as_str())];
        let counter = |metric| registry.counter(metric, &labels);
        let shed = |reason: Shed| {
            let labels = [labels[0], labels[1], ("reason", reason.as_str())];
            registry.counter(telemetry::SHED, &labels)
        };
        Self {
            offered: counter(telemetry::OFFERED),
            sent: counter(telemetry::SENT),
            resent: counter(telemetry::RESENT),
            write_errors: counter(telemetry::WRITE_ERRORS),
            dial_errors: counter(telemetry::DIAL_ERRORS),
            disconnects: counter(telemetry::DISCONNECTS),
            shed: Shed::ALL.map(shed),
        }
    }

    /// The counter of one reason.
    pub(crate) fn shed(&self, reason: Shed) -> &Counter {
        let [queue_full, oversize, bad_name, shutdown, retired, age, corrupt] = &self.shed;
        match reason {
            Shed::QueueFull => queue_full,
            Shed::Oversize => oversize,
            Shed::BadName => bad_name,
            Shed::Shutdown => shutdown,
            Shed::Retired => retired,
            Shed::SpoolAge => age,
            Shed::SpoolCorrupt => corrupt,
        }
    }
}

impl Target {
    pub(crate) fn new(tier: &TierPlan, plan: &TargetPlan, registry: &Registry) -> Self {
        let embedded = tier.protocol == TargetProtocol::Embedded;
        Self {
            tier: tier.name.clone(),
            plan: plan.clone(),
            protocol: tier.protocol,
            datagram_bytes_max: tier.datagram_bytes_max,
            queue: Queue::new(tier.queue_bytes, tier.on_full, tier.block_timeout),
            open: AtomicU64::new(0),
            meters: Meters::new(registry, &tier.name, plan),
            store: embedded.then(Arc::default),
            link: (tier.on_full == OnFull::Spool).then(Link::default),
            resend_bytes: AtomicUsize::new(0),
            in_doubt: AtomicU64::new(0),
            state: AtomicU8::new(0),
            state_since: Mutex::new(Instant::now()),
            lever: Lever::default(),
            retired: AtomicBool::new(false),
        }
    }

    /// Whether it can go on as this target of this tier: what is sent, and where, is the same. The bounds
    /// of its queue may differ.
    pub(crate) fn serves(&self, tier: &TierPlan, plan: &TargetPlan) -> bool {
        self.tier == tier.name
            && self.plan == *plan
            && self.protocol == tier.protocol
            && self.queue.on_full() == tier.on_full
            && self.datagram_bytes_max == tier.datagram_bytes_max
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

    /// It is in no tier any more, and no shard feeds it: what it holds is sent until then, at most.
    pub(crate) fn retire(&self, until: Instant) {
        self.retired.store(true, Ordering::Relaxed);
        self.queue.close();
        self.lever.flush(until);
    }

    /// Why what it holds at its end is shed.
    pub(crate) fn end_reason(&self) -> Shed {
        if self.retired.load(Ordering::Relaxed) { Shed::Retired } else { Shed::Shutdown }
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
        let offered = self.queue.offer(chunk, feeder);
        self.meters.shed(Shed::QueueFull).add(offered.shed);
        if !chunk.is_empty() {
            // Too late: its worker has ended.
            self.meters.shed(self.end_reason()).add(chunk.samples);
            chunk.clear();
        }
        if offered.high
            && let Some(link) = &self.link
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
        self.settle(from_disk, samples);
    }

    /// `samples` that the worker took are given up.
    pub(crate) fn settle_shed(&self, gate: &Gate, reason: Shed, from_disk: bool, samples: u64) {
        let _pass = gate.pass();
        self.meters.shed(reason).add(samples);
        self.settle(from_disk, samples);
    }

    fn settle(&self, from_disk: bool, samples: u64) {
        match &self.link {
            Some(link) if from_disk => link.settle(samples),
            _ => self.queue.settle(samples),
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
        match self.state.load(Ordering::Relaxed) {
            1 => State::Up,
            2 => State::Unknown,
            3 => State::Down,
            _ => State::Connecting,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        let code = match state {
            State::Connecting => 0,
            State::Up => 1,
            State::Unknown => 2,
            State::Down => 3,
        };
        if self.state.swap(code, Ordering::Relaxed) != code {
            *self.state_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// It takes samples, as far as can be known; and how long that has been so, or not.
    pub(crate) fn is_open(&self) -> (bool, Duration) {
        let since = *self.state_since.lock().unwrap_or_else(PoisonError::into_inner);
        (matches!(self.state(), State::Up | State::Unknown), since.elapsed())
    }
}
