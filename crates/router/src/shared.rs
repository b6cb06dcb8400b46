//! What the shards, the workers and the API share: the routes, the gate, the counters, the census.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;

use crate::{
    census::{Arrival, Census, NAMES_MAX},
    ledger::Gate,
    listen::Listener,
    pipeline::Source,
    plan::{Limits, Plan},
    routes::Routes,
    tally::SampleCounters,
    telemetry::Registry,
};

/// State of one router, shared by all its threads.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) routes: ArcSwap<Routes>,
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) gate: Gate,
    pub(crate) samples: SampleCounters,
    pub(crate) census: Census,
    /// Series that the blacklist took out; only their names and times are used.
    pub(crate) blacklisted: Census,
    pub(crate) reports: Reports,
    pub(crate) limits: Limits,
    pub(crate) registry: Registry,
    /// Open client connections over all listeners.
    pub(crate) connections: AtomicUsize,
    /// When each shard last showed that it lives, in milliseconds since `started`.
    heartbeats: Vec<AtomicU64>,
    started: Instant,
    /// Bytes a TCP client is read at once.
    pub(crate) read_bytes_max: usize,
}

/// Most bytes read from one TCP client at once.
const READ_BYTES_MAX: usize = 256 * 1024;

impl Shared {
    pub(crate) fn new(
        plan: &Plan,
        registry: Registry,
        listeners: Vec<Arc<Listener>>,
        shards: usize,
    ) -> Self {
        let routes = Routes::new(plan, &registry);
        // A read must not fill the smallest queue by itself.
        let smallest = plan.tiers.iter().map(|t| t.queue_bytes).min().unwrap_or(READ_BYTES_MAX);
        Self {
            census: Census::new(plan.limits.series_max, routes.targets.len()),
            blacklisted: Census::new(NAMES_MAX, 0),
            routes: ArcSwap::from_pointee(routes),
            listeners,
            gate: Gate::default(),
            samples: SampleCounters::new(&registry),
            reports: Reports::default(),
            limits: plan.limits.clone(),
            registry,
            connections: AtomicUsize::new(0),
            heartbeats: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            started: Instant::now(),
            read_bytes_max: (smallest / 4).clamp(4096, READ_BYTES_MAX),
        }
    }

    /// Seconds since 1970.
    pub(crate) fn unix_seconds(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// Remembers a series that the blacklist took out.
    pub(crate) fn note_blacklisted(&self, arrival: Arrival<'_>, tick: u64) {
        if let Some(weight) = self.blacklisted.see(arrival.hash, tick) {
            self.blacklisted.admit(arrival, weight, &[]);
        }
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

/// Logs the first of each kind of malformed input; the rest is in the counters and summed up once a
/// minute.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    seen: Mutex<HashSet<&'static str>>,
}

impl Reports {
    pub(crate) fn first(
        &self,
        reason: &'static str,
        from: &Source<'_>,
        detail: impl FnOnce() -> String,
    ) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.insert(reason) {
            return;
        }
        drop(seen);
        let peer = from.peer.map_or_else(|| "?".to_owned(), |peer| peer.to_string());
        let (protocol, detail) = (from.listener.protocol_name(), detail());
        tracing::warn!(
            reason,
            protocol,
            peer,
            detail,
            "malformed input; further ones of this kind are counted and summed up each minute"
        );
    }
}
