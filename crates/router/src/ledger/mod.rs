//! The ledger: where every sample went, and the proof that none is missing.
//!
//! Equations, with a sample's copies counted per target:
//!
//! 1. per listener: raw = ok + partial + bad
//! 2. decoded + notifications = filtered + unroutable + routed
//! 3. per tier: what fell to its targets = samples that it was given x replicas at that time; while it had no
//!    ring these were none, and the sample was shed (`no_ring`)
//! 4. per target, in memory: offered + inherited + taken over
//!    = sent live + shed live + to disk + queued + in flight + handed over
//! 5. per target, on disk: to disk + found there = replayed + shed there + rerouted + spooled
//! 6. per tier: taken over = rerouted
//!
//! They hold over reloads too: what was taken out keeps its row, and each batch is counted by the routes
//! that it took.
//!
//! A snapshot is taken while the [`Gate`] is shut, so it is exact also while samples flow. What is
//! queued is counted chunk by chunk then, not carried along as a total: a chunk that got lost shows.

mod gate;
mod input;
mod target;
mod tier;

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub(crate) use self::gate::Gate;
pub use self::{
    input::{ListenerCounts, SampleFates},
    target::{SpoolFacts, TargetFates},
    tier::TierFates,
};
use crate::{shared::Shared, telemetry::Reading};

/// A snapshot of this age is as good as a new one.
const RECENT: Duration = Duration::from_millis(2);

/// All fates at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Samples by the fate that they meet once for all tiers.
    pub samples: SampleFates,
    /// The listeners, in the order of the plan; behind them those that were taken out.
    pub listeners: Vec<ListenerCounts>,
    /// The tiers, in the order of the file; behind them those that were taken out.
    pub tiers: Vec<TierFates>,
}

impl Ledger {
    /// Everything the equations leave unexplained; 0 unless Coco lost count.
    pub fn residual(&self) -> u64 {
        let units = self.listeners.iter().map(ListenerCounts::residual).sum::<u64>();
        let copies = self.tiers.iter().map(TierFates::residual).sum::<u64>();
        units + self.samples.residual() + copies
    }

    /// What the equations leave unexplained, one line for each that does not add up.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for listener in self.listeners.iter().filter(|listener| listener.residual() > 0) {
            let ListenerCounts { protocol, address, raw, ok, partial, bad, .. } = listener;
            faults.push(format!(
                "listener {protocol} {address}: raw {raw}, but ok {ok} + partial {partial} + bad {bad}"
            ));
        }
        let samples = &self.samples;
        if samples.residual() > 0 {
            let SampleFates { decoded, notifications, filtered, unroutable, .. } = samples;
            let routed = samples.routed();
            faults.push(format!(
                "decoded {decoded} + notifications {notifications}, \
                 but filtered {filtered} + unroutable {unroutable} + routed {routed}"
            ));
        }
        self.tiers.iter().for_each(|tier| tier.faults(&mut faults));
        faults
    }

    /// The last snapshot, or one taken now if that is older: shards wait while the gate is shut, and many may ask.
    pub(crate) fn recent(shared: &Shared) -> Arc<Self> {
        let mut last = shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, ledger)) = &*last
            && at.elapsed() < RECENT
        {
            return Arc::clone(ledger);
        }
        let now = Instant::now();
        let ledger = Arc::new(Self::take(shared));
        *last = Some((now, Arc::clone(&ledger)));
        ledger
    }

    /// A snapshot that was not begun before `moment`, or how long to wait before asking for it again.
    pub(crate) fn since(shared: &Shared, moment: Instant) -> Result<Arc<Self>, Duration> {
        if let Some((at, ledger)) = &*shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let left = RECENT.saturating_sub(at.elapsed());
            if *at >= moment {
                return Ok(Arc::clone(ledger));
            }
            if !left.is_zero() {
                return Err(left);
            }
        }
        Ok(Self::recent(shared))
    }

    /// The snapshot of `shared`, taken with the gate shut.
    pub(crate) fn take(shared: &Shared) -> Self {
        // Rejections stand in no equation: they are read before the gate is shut, to keep that short.
        Self::snapshot(shared, &shared.registry.counters())
    }

    /// The same without the reasons of rejections, which cost most.
    pub(crate) fn audit(shared: &Shared) -> Self {
        Self::snapshot(shared, &[])
    }

    fn snapshot(shared: &Shared, readings: &[Reading]) -> Self {
        for row in &shared.roll.load().listeners {
            row.listener.poll_kernel_drops();
        }
        let _shut = shared.gate.shut();
        // Read behind the gate: who was fed before it was shut stands in it.
        let roll = shared.roll.load();
        let listeners = roll.listeners.iter();
        Self {
            samples: SampleFates::take(&shared.samples),
            listeners: listeners.map(|row| row.listener.counts(row.removed, readings)).collect(),
            tiers: roll.tiers.iter().map(TierFates::take).collect(),
        }
    }
}
