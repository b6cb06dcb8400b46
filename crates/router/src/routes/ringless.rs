//! Tiers without targets: they have no ring, nobody owns anything in them, and what falls to them is shed.

use super::{Routes, TierOwners};
use crate::{
    plan::{RinglessTier, TargetProtocol},
    tally::Tally,
    telemetry::{self, Counter, Registry},
};

/// Why samples of such a tier are shed, as counters name it.
const NO_RING: &str = "no_ring";

/// A tier without a ring.
#[derive(Debug)]
pub(crate) struct Ringless {
    pub(crate) name: String,
    pub(crate) protocol: TargetProtocol,
    /// Samples that it was given.
    pub(crate) shed: Counter,
}

impl Ringless {
    pub(super) fn new(plan: &RinglessTier, registry: &Registry) -> Self {
        // There is no target that it could be counted for.
        let labels = [("tier", plan.name.as_str()), ("target", ""), ("reason", NO_RING)];
        let shed = registry.counter(telemetry::SHED, &labels);
        Self { name: plan.name.clone(), protocol: plan.protocol, shed }
    }

    /// Counts what a batch gave to the tier; the caller holds the gate.
    pub(crate) fn count(&self, tally: &Tally) {
        self.shed.add(tally.given_to(self.protocol));
    }
}

impl Routes {
    /// The tiers without a ring, with what their targets would speak.
    pub fn ringless(&self) -> impl Iterator<Item = (&str, TargetProtocol)> {
        self.ringless.iter().map(|tier| (tier.name.as_str(), tier.protocol))
    }

    /// They are owned by nobody there.
    pub(super) fn unowned(&self) -> impl Iterator<Item = TierOwners<'_>> {
        self.ringless.iter().map(|tier| TierOwners { tier: &tier.name, targets: Vec::new() })
    }

    /// Some tier without a ring would carry collectd samples.
    #[cold]
    pub(crate) fn sheds_collectd(&self) -> bool {
        self.ringless.iter().any(|tier| tier.protocol.carries_collectd())
    }

    /// Some tier without a ring would carry Graphite lines.
    #[cold]
    pub(crate) fn sheds_lines(&self) -> bool {
        self.ringless.iter().any(|tier| tier.protocol.carries_lines())
    }
}
