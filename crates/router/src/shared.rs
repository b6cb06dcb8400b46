//! What the shards, the workers and the API share: the routes, the roll, the gate, the counters.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::{
    canary::Canaries,
    census::{Arrival, Census},
    handover::Heir,
    ledger::{Gate, Ledger},
    listen::Listener,
    loops::Loops,
    pipeline::Source,
    plan::Plan,
    roll::Roll,
    routes::Routes,
    tally::SampleCounters,
    telemetry::{self, Reading, Registry},
};

/// State of one router, shared by all its threads.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) routes: ArcSwap<Routes>,
    /// All that the ledger has a row for; published before the routes that need it.
    pub(crate) roll: ArcSwap<Roll>,
    pub(crate) gate: Gate,
    pub(crate) samples: SampleCounters,
    /// Series that the blacklist took out; only their names and times are used.
    pub(crate) blacklisted: Census,
    pub(crate) reports: Reports,
    pub(crate) registry: Registry,
    /// Open client connections over all listeners.
    pub(crate) connections: AtomicUsize,
    /// When each shard last showed that it lives, in milliseconds since `started`.
    heartbeats: Vec<AtomicU64>,
    started: Instant,
    /// The last snapshot that somebody asked for, and when.
    pub(crate) snapshot: Mutex<Option<(Instant, Arc<Ledger>)>>,
    /// Bytes that all queues together held when last looked at.
    memory: AtomicUsize,
    pub(crate) loops: Loops,
    pub(crate) canaries: Canaries,
    /// Tiers of which most went down at once.
    pub(crate) doubts: ArcSwap<HashSet<String>>,
    /// Bytes of unfinished pickle frames over all clients.
    pub(crate) unfinished_bytes: Arc<AtomicUsize>,
    /// Bytes on disk that all spools together, and each of them, may have. No reload changes them.
    pub(crate) spool_bytes_max: Option<(u64, u64)>,
    /// The next process, while this one hands over.
    pub(crate) heir: Mutex<Option<Heir>>,
    /// The process before this one has let go of everything.
    predecessor_gone: AtomicBool,
}

/// Series that the blacklist took out and that are kept by name.
const BLACKLISTED_MAX: usize = 10_000;

/// Most bytes read from one TCP client at once, and the least.
const READ_BYTES: RangeInclusive<usize> = 4 * 1024..=256 * 1024;

impl Shared {
    pub(crate) fn new(
        plan: &Plan,
        registry: Registry,
        listeners: &[Arc<Listener>],
        shards: usize,
    ) -> Self {
        let routes = Routes::new(plan, &registry);
        Self {
            roll: ArcSwap::from_pointee(Roll::default().next(&routes, listeners)),
            blacklisted: Census::new(BLACKLISTED_MAX, BLACKLISTED_MAX, 0),
            routes: ArcSwap::from_pointee(routes),
            gate: Gate::default(),
            samples: SampleCounters::new(&registry),
            reports: Reports::default(),
            registry,
            connections: AtomicUsize::new(0),
            heartbeats: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            started: Instant::now(),
            snapshot: Mutex::default(),
            memory: AtomicUsize::new(0),
            loops: Loops::default(),
            canaries: Canaries::default(),
            doubts: ArcSwap::default(),
            unfinished_bytes: Arc::default(),
            spool_bytes_max: plan
                .spool
                .as_ref()
                .map(|spool| (spool.bytes_max, spool.target_bytes_max)),
            heir: Mutex::default(),
            predecessor_gone: AtomicBool::new(false),
        }
    }

    /// The process before this one has let go of everything.
    pub(crate) fn predecessor_is_gone(&self) {
        self.predecessor_gone.store(true, Ordering::Release);
    }

    pub(crate) fn is_predecessor_gone(&self) -> bool {
        self.predecessor_gone.load(Ordering::Acquire)
    }

    /// Bytes to read from one TCP client at once. All clients together read at most half of the
    /// smallest queue, as long as 4 KiB each allow: fullness is noticed only after a read.
    pub(crate) fn read_bytes(&self, queue_bytes_min: usize) -> usize {
        let clients = self.connections.load(Ordering::Relaxed).max(1);
        (queue_bytes_min / 2 / clients).clamp(*READ_BYTES.start(), *READ_BYTES.end())
    }

    /// Seconds since 1970.
    pub(crate) fn unix_seconds() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// Remembers a series that the blacklist took out.
    pub(crate) fn note_blacklisted(&self, arrival: Arrival<'_>, tick: u64) {
        if let Some(weight) = self.blacklisted.see(arrival.hash, tick) {
            self.blacklisted.admit(arrival, weight, &[]);
        }
    }

    /// All queues together hold so many bytes.
    pub(crate) fn note_memory(&self, bytes: usize) {
        self.memory.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that all queues together held, a tenth of a second ago at most.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// A shard is alive.
    pub(crate) fn beat(&self, shard: usize) {
        if let Some(heartbeat) = self.heartbeats.get(shard) {
            heartbeat.store(self.millis(), Ordering::Relaxed);
        }
    }

    /// How long ago the shard that has been silent longest was heard.
    pub(crate) fn silence(&self) -> Duration {
        let oldest = self.heartbeats.iter().map(|beat| beat.load(Ordering::Relaxed)).min();
        Duration::from_millis(self.millis().saturating_sub(oldest.unwrap_or_default()))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Logs the first of each kind of trouble; the rest is in the counters and summed up once a minute.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    seen: Mutex<HashSet<(&'static str, String)>>,
}

/// Kinds and subjects remembered; beyond it nothing more is logged at once.
const REPORTS_MAX: usize = 100_000;

impl Reports {
    /// Calls `log` unless this kind was logged for this subject before.
    pub(crate) fn once(&self, kind: &'static str, subject: &str, log: impl FnOnce()) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let first = seen.len() < REPORTS_MAX && seen.insert((kind, subject.to_owned()));
        drop(seen);
        if first {
            log();
        }
    }

    /// Shows the first malformed input of a kind.
    pub(crate) fn malformed(
        &self,
        reason: &'static str,
        from: &Source<'_>,
        detail: impl FnOnce() -> String,
    ) {
        self.once("malformed", reason, || {
            let peer = from.peer.map_or_else(|| "?".to_owned(), |peer| peer.to_string());
            let (protocol, detail) = (from.listener.protocol_name(), detail());
            tracing::warn!(
                reason,
                protocol,
                peer,
                detail,
                "malformed input; more of it is counted and summed up each minute"
            );
        });
    }

    /// Tells once that a tier does not take some names; the rest is in its counters.
    pub(crate) fn bad_name(&self, tier: &str) {
        self.once("bad_name", tier, || {
            tracing::warn!(
                tier,
                "a line has a name that this tier does not take; it is shed here, as all more of them"
            );
        });
    }

    /// One line for each counter of trouble that rose since the last call.
    pub(crate) fn sum_up(registry: &Registry, before: &mut HashMap<Reading, u64>) {
        for reading in registry.counters() {
            if !SUMMED_UP.iter().any(|metric| metric.name == reading.name) {
                continue;
            }
            let now = reading.value;
            let key = Reading { value: 0, ..reading };
            let new = now - before.get(&key).copied().unwrap_or_default();
            if new > 0 {
                let labels: Vec<_> = key.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                let (metric, labels) = (&key.name, labels.join(" "));
                tracing::warn!(metric, count = new, labels, "more trouble in the last minute");
            }
            before.insert(key, now);
        }
    }
}

/// What is worth a line a minute.
const SUMMED_UP: &[telemetry::Metric] = &[
    telemetry::LISTEN_REJECTED,
    telemetry::LISTEN_TRUNCATED,
    telemetry::LISTEN_ERRORS,
    telemetry::LISTEN_REFUSED,
    telemetry::KERNEL_DROPPED,
    telemetry::SAMPLES_UNROUTABLE,
    telemetry::SHED,
    telemetry::WRITE_ERRORS,
    telemetry::DIAL_ERRORS,
];
