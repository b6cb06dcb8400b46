//! Every number Coco reports about itself, made once and held by the part that counts.
//!
//! The `metrics` crate gives the names and labels, `metrics-util` the registry; expvars, `/metrics`
//! and `/ledger` are views of this one registry. Counters never go back while the process lives.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use metrics::{Key, Label};
use metrics_util::registry::{AtomicStorage, Registry as Store};

/// Name and help text of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Prometheus name, without the `_total` that the text format appends.
    pub name: &'static str,
    /// What is counted, with its unit.
    pub help: &'static str,
}

macro_rules! metrics_list {
    ($($id:ident = $name:literal, $help:literal;)*) => {
        $(#[doc = $help] pub const $id: Metric = Metric { name: $name, help: $help };)*
        /// Every counter of the router, in the order they are documented.
        pub const ALL: &[Metric] = &[$($id),*];
    };
}

metrics_list! {
    LISTEN_RAW = "coco_listen_raw", "Datagrams, TCP lines or pickle frames read, by listener.";
    LISTEN_UNITS = "coco_listen_units", "The same by listener and what could be used of each: ok (all), partial, bad (nothing).";
    LISTEN_DECODED = "coco_listen_decoded", "Samples decoded, by listener.";
    LISTEN_TRUNCATED = "coco_listen_truncated", "Datagrams that the read buffer cut, by listener.";
    LISTEN_ERRORS = "coco_listen_errors", "Failed reads and accepts, by listener.";
    LISTEN_CONNECTIONS = "coco_listen_connections", "Client connections taken, by listener.";
    LISTEN_REFUSED = "coco_listen_connections_refused", "Client connections over the limit, closed at once, by listener.";
    LISTEN_REJECTED = "coco_listen_rejected", "Malformed input by listener and reason: a datagram's first error, a line, a datapoint.";
    LISTEN_PROBES = "coco_listen_probes", "Probe datagrams of a Coco, without samples, by listener.";
    KERNEL_DROPPED = "coco_listen_kernel_dropped", "Datagrams the kernel dropped before Coco could read them, by listener.";
    SAMPLES_DECODED = "coco_samples_decoded", "Samples decoded: collectd value lists, Graphite lines and datapoints.";
    SAMPLES_NOTIFICATIONS = "coco_samples_notifications", "collectd notifications decoded.";
    SAMPLES_MALFORMED = "coco_samples_malformed", "Malformed samples, lines and datagram remainders.";
    SAMPLES_FILTERED = "coco_samples_filtered", "Samples that the blacklist took out.";
    SAMPLES_UNROUTABLE = "coco_samples_unroutable", "Samples that no tier can carry.";
    ROUTED_COLLECTD = "coco_samples_routed_collectd", "collectd samples and notifications given to tiers.";
    ROUTED_LINES = "coco_samples_routed_lines", "Graphite samples given to tiers.";
    TIER_ROUTED = "coco_tier_routed", "Samples given to the tier, by the number of owners that each had.";
    OFFERED = "coco_target_offered", "Samples that fell to the target.";
    SENT = "coco_target_sent", "Samples handed to the kernel, or stored by an embedded target.";
    CANARIES = "coco_target_canaries", "Of the samples that fell to the target, canaries that were looked for.";
    RESENT = "coco_target_resent", "Samples written again because a connection broke; they count as sent once.";
    TO_DISK = "coco_target_to_disk", "Samples for the target that were moved to disk.";
    REPLAYED = "coco_target_replayed", "Of the samples sent, those that came from disk.";
    SHED_ON_DISK = "coco_target_shed_on_disk", "Of the samples shed, those that were on disk.";
    RECOVERED = "coco_target_recovered", "Samples found on disk at the start, which this process was not offered; or sent once and held again.";
    REROUTED = "coco_target_rerouted", "Samples spooled for the target that went on to another one, of the same id or on the ring.";
    TAKEN_OVER = "coco_target_taken_over", "Samples that were spooled for another target and went on to this one.";
    DAMAGED_BYTES = "coco_spool_damaged_bytes", "Bytes on disk for the target that gave no sample: damaged, or torn by a crash while they were written.";
    SHED = "coco_target_shed", "Samples dropped on purpose, by target and reason; with an empty target, what fell to a tier without a ring.";
    HANDED_OVER = "coco_target_handed_over", "Samples that the next process was given at an upgrade.";
    INHERITED = "coco_target_inherited", "Samples that the process before this one had not sent at an upgrade.";
    WRITE_ERRORS = "coco_target_write_errors", "Failed writes to the target.";
    DIAL_ERRORS = "coco_target_dial_errors", "Failed attempts to resolve or connect.";
    DISCONNECTS = "coco_target_disconnects", "Connections to the target that ended.";
    PROBES_GOOD = "coco_target_probe_ok", "Probes of the target that were answered, or at least not refused.";
    PROBES_BAD = "coco_target_probe_failed", "Probes of the target that failed.";
    LOOKUPS = "coco_lookup", "Names looked up through the API, by tier.";
    BLOCKED = "coco_listen_blocked_milliseconds", "Milliseconds that TCP clients were held back by a full queue.";
    LEDGER_FAULTS = "coco_ledger_faults", "Seconds after which the ledger did not add up twice in a row; 0 unless Coco lost count.";
    RELOADS = "coco_reloads", "Configurations put in force without a restart.";
    RELOAD_FAILURES = "coco_reload_failures", "Reloads that changed nothing, because of a fault.";
    UPGRADES = "coco_upgrades", "Processes that handed over to the next one, up to this one.";
    UPGRADE_FAILURES = "coco_upgrade_failures", "Upgrades that changed nothing, because the new process failed.";
}

/// A counter's handle: one atomic, summed locally by its owner and published once a batch.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The present count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter as read from the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reading {
    /// Name of its metric.
    pub name: String,
    /// Its labels, in the order they were given.
    pub labels: Vec<(String, String)>,
    /// The present count.
    pub value: u64,
}

impl Reading {
    /// The value of one label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// The registry all counters live in. Cloning shares it.
#[derive(Clone)]
pub struct Registry(Arc<Store<Key, AtomicStorage>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self(Arc::new(Store::new(AtomicStorage)))
    }
}

impl Registry {
    /// The counter of `metric` with these labels; the same labels give the same counter.
    pub fn counter(&self, metric: Metric, labels: &[(&'static str, &str)]) -> Counter {
        let labels: Vec<Label> =
            labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
        let key = Key::from_parts(metric.name, labels);
        Counter(self.0.get_or_create_counter(&key, Arc::clone))
    }

    /// Every counter, sorted by name and labels.
    pub fn counters(&self) -> Vec<Reading> {
        let mut all = Vec::new();
        self.0.visit_counters(|key, value| {
            let labels = key.labels().map(|l| (l.key().to_owned(), l.value().to_owned())).collect();
            let (name, value) = (key.name().to_owned(), value.load(Ordering::Relaxed));
            all.push(Reading { name, labels, value });
        });
        all.sort();
        all
    }
}
