//! The counts behind a [`Diff`].
//!
//! Invariant: counts are integers, exact up to 2^64 positions of 16 copies each; only [`Tally::finish`] divides. Memory
//! is bounded by [`Flow::COUNT_MAX`], whatever the rings are.

use super::{Basis, Comparison, Diff, Flow, Move, Moves, ideal};
use crate::{Owners, Ring};
use std::collections::{HashMap, hash_map::Entry};

/// Copies, by who has them and who will.
#[derive(Debug)]
pub(super) struct Tally<'c> {
    comparison: &'c Comparison,
    flows: HashMap<Move, u128>,
    /// What falls to pairs that are not followed.
    rest: u128,
    given_up: u128,
    before: Vec<u128>,
    after: Vec<u128>,
}

impl<'c> Tally<'c> {
    pub(super) fn new(comparison: &'c Comparison) -> Self {
        let zeros = |ring: &Ring| vec![0; ring.members().len()];
        let (before, after) = (zeros(&comparison.old), zeros(&comparison.new));
        Self { comparison, flows: HashMap::new(), rest: 0, given_up: 0, before, after }
    }

    /// Counts `weight` keys that have these owners.
    pub(super) fn add(&mut self, weight: u128, old: Owners<'c>, new: Owners<'c>) {
        count(&mut self.before, &old, weight);
        count(&mut self.after, &new, weight);
        let moves = Moves::new(&self.comparison.same, old, new);
        // 16 owners at most.
        self.given_up += weight * u128::try_from(moves.given_up()).unwrap_or_default();
        for one in moves {
            self.follow(one, weight);
        }
    }

    fn follow(&mut self, one: Move, weight: u128) {
        let has_room = self.flows.len() < Flow::COUNT_MAX;
        match self.flows.entry(one) {
            Entry::Occupied(mut entry) => *entry.get_mut() += weight,
            Entry::Vacant(entry) if has_room => {
                entry.insert(weight);
            }
            Entry::Vacant(_) => self.rest += weight,
        }
    }

    pub(super) fn finish(self, comparison: &Comparison, basis: Basis) -> Diff {
        let (all_before, all_after) = (self.before.iter().sum(), self.after.iter().sum());
        let moved = share(self.flows.values().sum::<u128>() + self.rest, all_after);
        let mut flows: Vec<_> = self.flows.into_iter().collect();
        flows.sort_unstable_by_key(|(Move { from, to }, count)| (u128::MAX - count, *from, *to));
        let flow = |(one, count): (Move, u128)| Flow {
            from: one.from.into(),
            to: one.to.into(),
            share: share(count, all_after),
        };
        Diff {
            basis,
            moved,
            given_up: share(self.given_up, all_before),
            ideal: ideal::moved(&comparison.old, &comparison.new),
            flows: flows.into_iter().map(flow).collect(),
            rest: share(self.rest, all_after),
            before: self.before.into_iter().map(|count| share(count, all_before)).collect(),
            after: self.after.into_iter().map(|count| share(count, all_after)).collect(),
        }
    }
}

fn count(counts: &mut [u128], owners: &Owners<'_>, weight: u128) {
    for owner in owners.iter() {
        if let Some(count) = counts.get_mut(usize::from(*owner)) {
            *count += weight;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(count: u128, all: u128) -> f64 {
    if all == 0 { 0.0 } else { count as f64 / all as f64 }
}
