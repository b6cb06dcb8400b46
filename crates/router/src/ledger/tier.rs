//! The fates of samples in one tier: equations 3 to 6.

use super::target::TargetFates;
use crate::roll::TierRow;

/// Copies of samples in one tier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TierFates {
    /// Name of the tier.
    pub name: String,
    /// A reload has taken it out.
    pub removed: bool,
    /// Owners of each sample, now or at last; 0 without a ring.
    pub replicas: u64,
    /// Samples that the tier can carry and was given.
    pub routed: u64,
    /// Of them: shed, because the tier had no ring.
    pub no_ring: u64,
    /// Copies of the others that are due to its targets.
    pub due: u64,
    /// Its targets, in the order of the file; behind them those that were taken out.
    pub targets: Vec<TargetFates>,
}

impl TierFates {
    pub(super) fn take(tier: &TierRow) -> Self {
        let routed = || tier.routed.iter().map(|(replicas, count)| (replicas, count.get()));
        Self {
            name: tier.name.clone(),
            removed: tier.removed,
            replicas: tier.replicas,
            routed: routed().map(|(_, count)| count).sum(),
            no_ring: routed().filter(|(owners, _)| **owners == 0).map(|(_, count)| count).sum(),
            due: routed().map(|(replicas, count)| replicas * count).sum(),
            targets: tier.targets.iter().map(TargetFates::take).collect(),
        }
    }

    /// Copies that fell to the tier's targets.
    pub fn offered(&self) -> u64 {
        self.sum(|target| target.offered)
    }

    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        let (due, offered) = (self.due, self.offered());
        if due != offered {
            faults.push(format!("tier {}: due {due}, but offered {offered}", self.name));
        }
        let (taken_over, rerouted) = (self.sum(|t| t.taken_over), self.sum(|t| t.rerouted));
        if taken_over != rerouted {
            faults.push(format!(
                "tier {}: rerouted {rerouted}, but taken over {taken_over}",
                self.name
            ));
        }
        for target in self.targets.iter().filter(|target| target.residual() > 0) {
            faults.push(format!("tier {}, {target:?}", self.name));
        }
    }

    fn sum(&self, count: fn(&TargetFates) -> u64) -> u64 {
        self.targets.iter().map(count).sum()
    }

    /// What equations 3 to 6 leave unexplained in this tier.
    pub fn residual(&self) -> u64 {
        let unplaced = self.due.abs_diff(self.offered())
            + self.sum(|target| target.taken_over).abs_diff(self.sum(|target| target.rerouted));
        unplaced + self.targets.iter().map(TargetFates::residual).sum::<u64>()
    }
}
