//! What a change of configuration does that its author may not have meant, in words.
//!
//! Invariant: each warning says what was seen and what to do. None of them changes a figure.

mod identity;
mod order;
mod places;
mod rules;

use coco_ring::Diff;
use coco_router::plan::{TargetPlan, TierPlan};

use super::{
    figures::percent,
    tier::{is_rekeyed, starts_fresh},
};

/// A tier before and after, as the warnings look at it.
#[derive(Debug, Clone, Copy)]
struct Change<'p> {
    old: &'p TierPlan,
    new: &'p TierPlan,
}

/// All warnings about a change; none for a tier that stays as it is.
pub(super) fn warnings(old: &TierPlan, new: &TierPlan, diff: &Diff) -> Vec<String> {
    let change = Change { old, new };
    if starts_fresh(old, new) {
        // Nothing moves that any other advice could keep in place.
        return rules::protocol(change).into_iter().collect();
    }
    let mut warnings = rules::warnings(change, diff);
    warnings.extend(identity::warnings(change, diff));
    warnings.extend(order::warnings(change, diff));
    warnings.extend(excess(change, diff));
    warnings
}

impl<'p> Change<'p> {
    /// Old targets whose ids the new file has not, with their positions.
    fn gone(self) -> Vec<(usize, &'p TargetPlan)> {
        without(&self.old.targets, &self.new.targets)
    }

    /// New targets whose ids the old file has not, with their positions.
    fn come(self) -> Vec<(usize, &'p TargetPlan)> {
        without(&self.new.targets, &self.old.targets)
    }

    fn has_other_hash(self) -> bool {
        self.old.ring.algorithm() != self.new.ring.algorithm()
    }
}

fn without<'p>(targets: &'p [TargetPlan], others: &[TargetPlan]) -> Vec<(usize, &'p TargetPlan)> {
    let ids: std::collections::HashSet<&str> = others.iter().map(|t| t.id.as_str()).collect();
    targets.iter().enumerate().filter(|(_, target)| !ids.contains(target.id.as_str())).collect()
}

/// More moves than has to.
fn excess(change: Change<'_>, diff: &Diff) -> Option<String> {
    if diff.moved <= FACTOR * diff.ideal + SLACK {
        return None;
    }
    let seen = format!(
        "{} of the copies move where {} would do",
        percent(diff.moved),
        percent(diff.ideal)
    );
    let hash = change.new.ring.algorithm();
    let advice = if change.has_other_hash() {
        "this is the price of another hash, paid once: plan the time for copying".to_owned()
    } else if is_rekeyed(change.old, change.new) {
        "this is the price of another key, paid once: plan the time for copying".to_owned()
    } else if hash.traits().id {
        "mind the other warnings, or take the change in steps".to_owned()
    } else {
        format!("so hash \"{hash}\" does; mind the other warnings, or move to \"xxh3\" once")
    };
    Some(format!("{seen}: {advice}"))
}

/// A list of ids for a sentence; of many, the first ones.
fn some(ids: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = ids.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// So much more than the ideal is worth a word: a factor, and a share that chance may add.
const FACTOR: f64 = 1.5;
const SLACK: f64 = 0.01;

#[cfg(test)]
mod tests {
    use crate::plan::testing::{addresses, tier_of, warnings};

    #[test]
    fn more_than_has_to_move_is_told_with_both_numbers() {
        let (old, new) = (addresses(1..=3), addresses([9, 1, 2, 3]));
        let coco = warnings(&tier_of("hash = \"coco\"", &old), &tier_of("hash = \"coco\"", &new));
        let told = coco.iter().find(|text| text.contains("would do")).unwrap();
        assert!(told.contains("25.00 %") && told.contains("hash \"coco\""), "{told}");
        assert_eq!(warnings(&tier_of("", &old), &tier_of("", &new)), [""; 0]);
        let other = warnings(&tier_of("hash = \"coco\"", &old), &tier_of("", &old));
        assert!(other.iter().any(|text| text.contains("price of another hash")), "{other:?}");
    }

    #[test]
    fn many_ids_are_cut_short() {
        assert_eq!(super::some(&["a", "b"]), "a, b");
        assert_eq!(super::some(&["a"; 7]), "a, a, a, a, a and 2 more");
    }
}
