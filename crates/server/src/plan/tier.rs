//! A tier as it was and as it will be.
//!
//! Invariant: every tier of both files is there once, those of the new file first, in its order.

use std::collections::HashSet;

use coco_ring::{Comparison, Diff};
use coco_router::plan::{Address, TierPlan};

use super::{edits, survey::Counts};

/// One tier of a plan.
#[derive(Debug)]
pub(super) enum Tier<'p> {
    /// Only in the new file.
    New(&'p TierPlan),
    /// Only in the old file.
    Gone(&'p TierPlan),
    /// In both, by its name.
    Kept(Box<Kept<'p>>),
}

/// A tier that both files have.
#[derive(Debug)]
pub(super) struct Kept<'p> {
    pub(super) old: &'p TierPlan,
    pub(super) new: &'p TierPlan,
    pub(super) comparison: Comparison,
    pub(super) diff: Diff,
    /// The key of a sample changes, whatever becomes of the ring.
    pub(super) is_rekeyed: bool,
    /// What a reader should know, a sentence or two each.
    pub(super) warnings: Vec<String>,
    /// What became of names, where names were given.
    pub(super) counts: Counts,
}

/// Pairs the tiers of two files by name.
pub(super) fn matched<'p>(old: &'p [TierPlan], new: &'p [TierPlan]) -> Vec<Tier<'p>> {
    let named = |tiers: &'p [TierPlan], name: &str| tiers.iter().find(|tier| tier.name == name);
    let to = new.iter().map(|tier| match named(old, &tier.name) {
        Some(before) => Tier::Kept(Box::new(Kept::new(before, tier))),
        None => Tier::New(tier),
    });
    let gone = old.iter().filter(|tier| named(new, &tier.name).is_none()).map(Tier::Gone);
    to.chain(gone).collect()
}

impl<'p> Kept<'p> {
    pub(super) fn new(old: &'p TierPlan, new: &'p TierPlan) -> Self {
        let comparison = Comparison::new(&old.ring, &new.ring);
        let is_rekeyed = is_rekeyed(old, new);
        let diff = match is_rekeyed {
            _ if starts_fresh(old, new) => nothing_kept(comparison.diff()),
            true => comparison.diff_of_unrelated_keys(),
            false => comparison.diff(),
        };
        let warnings = edits::warnings(old, new, &diff);
        Self { old, new, comparison, diff, is_rekeyed, warnings, counts: Counts::default() }
    }

    pub(super) fn name(&self) -> &'p str {
        &self.new.name
    }

    /// None of the samples that the tier carried does it carry on: there is nothing to copy.
    pub(super) fn starts_fresh(&self) -> bool {
        starts_fresh(self.old, self.new)
    }

    /// Names may have other keys than before, which the shares do not count.
    pub(super) fn has_other_names(&self) -> bool {
        let (old, new) = (self.old, self.new);
        let both = old.protocol.carries_lines() && new.protocol.carries_lines();
        both && old.names != new.names
    }

    /// Nothing that decides where a sample goes is written otherwise.
    pub(super) fn is_same(&self) -> bool {
        let (old, new) = (self.old, self.new);
        let rules = |tier: &TierPlan| {
            (tier.protocol, tier.key, tier.ring.algorithm(), tier.ring.replicas())
        };
        rules(old) == rules(new)
            && old.ring.members() == new.ring.members()
            && old.targets == new.targets
            && old.names == new.names
    }
}

/// The tier under whose name one that is gone seems to go on, or the other way round: of those that only the other file
/// has, the first with exactly the same targets.
pub(super) fn renamed<'p>(tiers: &[Tier<'p>], tier: &Tier<'_>) -> Option<&'p TierPlan> {
    let same = |a: &TierPlan, b: &TierPlan| targets(a) == targets(b);
    tiers.iter().find_map(|other| match (tier, other) {
        (Tier::Gone(gone), Tier::New(new)) => same(gone, new).then_some(*new),
        (Tier::New(new), Tier::Gone(gone)) => same(gone, new).then_some(*gone),
        _ => None,
    })
}

/// Ids and addresses, in whatever order they are listed.
fn targets(tier: &TierPlan) -> HashSet<(&str, &Address)> {
    tier.targets.iter().map(|target| (target.id.as_str(), &target.address)).collect()
}

/// What a tier seems to be that only one file has, in words.
pub(super) fn renaming(tiers: &[Tier<'_>], tier: &Tier<'_>) -> Option<String> {
    let Tier::Gone(gone) = tier else { return None };
    let new = renamed(tiers, tier)?;
    let rules = |tier: &TierPlan| (tier.protocol, tier.key, tier.ring.digest());
    let moves = if rules(gone) == rules(new) && gone.names == new.names {
        "nothing moves on the targets".to_owned()
    } else {
        format!("give {} the name {} for once to see what moves", new.name, gone.name)
    };
    Some(format!(
        "it looks renamed to {}, which has the same targets: {moves}, but the name of a tier is part of \
         counters, queues and checks",
        new.name
    ))
}

/// What becomes of a ring whose old samples are nothing to the new ones.
fn nothing_kept(diff: Diff) -> Diff {
    Diff { moved: 1.0, given_up: 1.0, ideal: 1.0, flows: Vec::new(), rest: 0.0, ..diff }
}

/// Whether the tier carries other kinds of samples only.
pub(super) fn starts_fresh(old: &TierPlan, new: &TierPlan) -> bool {
    let (old, new) = (old.protocol, new.protocol);
    let collectd = old.carries_collectd() && new.carries_collectd();
    let lines = old.carries_lines() && new.carries_lines();
    !collectd && !lines
}

/// Whether the key of a sample changes, whatever becomes of the ring.
pub(super) fn is_rekeyed(old: &TierPlan, new: &TierPlan) -> bool {
    old.key != new.key && old.protocol.carries_collectd() && new.protocol.carries_collectd()
}
