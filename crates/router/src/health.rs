//! How each tier stands towards its targets: for people and monitoring. Nothing in the router goes by it.

use std::time::Duration;

use crate::{
    doubt::DOWN_AFTER,
    routes::{Routes, Tier},
    target::{State, Target, spool::Link},
};

/// A tier that has targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierHealth {
    /// Name of the tier.
    pub name: String,
    /// Its targets, in the order of the file.
    pub targets: Vec<TargetHealth>,
}

/// One target at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHealth {
    /// Address text.
    pub label: String,
    /// State of its connection.
    pub state: State,
    /// It takes nothing, and has not for a second.
    pub is_down: bool,
    /// There is no room in its queue: what falls to it is shed, or holds up clients. One that spools gets there
    /// only when its spool is full too, or the disk does not keep up.
    pub is_full: bool,
    /// Samples that wait for it in memory.
    pub held: u64,
    /// Samples that wait for it on disk.
    pub spooled: u64,
}

impl Routes {
    /// How the tiers stand that have targets.
    pub fn health(&self) -> Vec<TierHealth> {
        self.tiers.iter().map(|tier| self.tier_health(tier)).collect()
    }

    fn tier_health(&self, tier: &Tier) -> TierHealth {
        let targets = self.targets.get(tier.all_slots()).unwrap_or_default();
        let targets = targets.iter().map(|target| TargetHealth::of(target)).collect();
        TierHealth { name: tier.name.clone(), targets }
    }
}

impl TargetHealth {
    fn of(target: &Target) -> Self {
        let (state, (is_open, since), held) = (target.state(), target.is_open(), target.held());
        Self {
            label: target.plan.label.clone(),
            state,
            is_down: is_down(state, is_open, since),
            is_full: target.queue.is_full(),
            held: held.queued + held.in_flight,
            spooled: target.link.as_ref().map_or(0, Link::held),
        }
    }
}

/// A target that is this process takes samples, and sheds them.
fn is_down(state: State, is_open: bool, since: Duration) -> bool {
    state == State::Loop || (!is_open && since >= DOWN_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_down_after_a_second_and_a_loop_at_once() {
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(1));
        for (state, is_open, since, wanted) in [
            (State::Up, true, long, false),
            (State::Unknown, true, long, false),
            (State::Connecting, false, short, false),
            (State::Connecting, false, long, true),
            (State::Down, false, long, true),
            (State::Loop, true, short, true),
        ] {
            assert_eq!(is_down(state, is_open, since), wanted, "{state:?} {is_open} {since:?}");
        }
    }
}
