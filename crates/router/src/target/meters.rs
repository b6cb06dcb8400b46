//! The counters of one target.

use super::Shed;
use crate::{
    plan::TargetPlan,
    telemetry::{self, Counter, Registry},
};

/// The counters of one target. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    pub(crate) offered: Counter,
    pub(crate) sent: Counter,
    /// Of those offered: canaries that were looked for.
    pub(crate) canaries: Counter,
    pub(crate) resent: Counter,
    /// Moved to disk; of those sent, and of those shed, what came from there.
    pub(crate) to_disk: Counter,
    pub(crate) replayed: Counter,
    pub(crate) shed_on_disk: Counter,
    /// On disk, and gave no sample.
    pub(crate) damaged_bytes: Counter,
    /// Found on disk, and not offered before by this process.
    pub(crate) recovered: Counter,
    /// Spooled for it, and gone on to another target.
    pub(crate) rerouted: Counter,
    /// Spooled for another target, and come here.
    pub(crate) taken_over: Counter,
    pub(crate) handed_over: Counter,
    pub(crate) inherited: Counter,
    pub(crate) write_errors: Counter,
    pub(crate) dial_errors: Counter,
    pub(crate) disconnects: Counter,
    pub(crate) probes_good: Counter,
    pub(crate) probes_bad: Counter,
    shed: [Counter; Shed::ALL.len()],
}

impl Meters {
    pub(super) fn new(registry: &Registry, tier: &str, target: &TargetPlan) -> Self {
        let labels = [("tier", tier), ("target", target.label.as_str())];
        let counter = |metric| registry.counter(metric, &labels);
        let shed = |reason: Shed| {
            let labels = [labels[0], labels[1], ("reason", reason.as_str())];
            registry.counter(telemetry::SHED, &labels)
        };
        Self {
            offered: counter(telemetry::OFFERED),
            sent: counter(telemetry::SENT),
            canaries: counter(telemetry::CANARIES),
            resent: counter(telemetry::RESENT),
            to_disk: counter(telemetry::TO_DISK),
            replayed: counter(telemetry::REPLAYED),
            shed_on_disk: counter(telemetry::SHED_ON_DISK),
            damaged_bytes: counter(telemetry::DAMAGED_BYTES),
            recovered: counter(telemetry::RECOVERED),
            rerouted: counter(telemetry::REROUTED),
            taken_over: counter(telemetry::TAKEN_OVER),
            handed_over: counter(telemetry::HANDED_OVER),
            inherited: counter(telemetry::INHERITED),
            write_errors: counter(telemetry::WRITE_ERRORS),
            dial_errors: counter(telemetry::DIAL_ERRORS),
            disconnects: counter(telemetry::DISCONNECTS),
            probes_good: counter(telemetry::PROBES_GOOD),
            probes_bad: counter(telemetry::PROBES_BAD),
            shed: Shed::ALL.map(shed),
        }
    }

    /// Samples shed for any reason.
    pub(crate) fn shed_in_all(&self) -> u64 {
        self.shed.iter().map(Counter::get).sum()
    }

    /// The counter of one reason.
    pub(crate) fn shed(&self, reason: Shed) -> &Counter {
        let [queue_full, memory, oversize, bad_name, shutdown, retired, age, corrupt, looped] =
            &self.shed;
        match reason {
            Shed::QueueFull => queue_full,
            Shed::Memory => memory,
            Shed::Oversize => oversize,
            Shed::BadName => bad_name,
            Shed::Shutdown => shutdown,
            Shed::Retired => retired,
            Shed::SpoolAge => age,
            Shed::SpoolCorrupt => corrupt,
            Shed::Loop => looped,
        }
    }
}
