//! Targets that may be one machine under two ids.

use std::collections::{HashMap, HashSet};

use coco_ring::{Diff, Place, Ring};
use coco_router::plan::{Address, TargetPlan};

use super::{Change, places};
use crate::plan::figures::counted;

/// Changed ids at one address or place, and changed addresses that were ids.
pub(super) fn warnings(change: Change<'_>, diff: &Diff) -> Vec<String> {
    let come = change.come();
    let mut warnings = Vec::new();
    let mut renamed = HashSet::new();
    for (old, new, place) in renamings(change) {
        renamed.insert(old.id.as_str());
        warnings.push(format!(
            "id {} became {} at the same {place} {}: its keys move as if it were another machine; keep \
             the old id if it is the same one",
            old.id, new.id, new.label
        ));
    }
    let gone = change.gone().into_iter().filter(|(_, old)| !renamed.contains(old.id.as_str()));
    // Where the host itself is hashed, an id keeps nothing.
    if change.new.ring.algorithm().traits().host {
        warnings.extend(places::warnings(change, gone, diff));
    } else {
        warnings.extend(gone.filter_map(|(at, old)| readdressed(at, old, &come)));
    }
    warnings.extend(swapped(change));
    let left_out = warnings.len().saturating_sub(WARNINGS_MAX);
    if left_out > 0 {
        warnings.truncate(WARNINGS_MAX);
        let more = counted(left_out, "more target");
        warnings.push(format!("and {more} whose ids or addresses changed"));
    }
    warnings
}

/// Ids that stay, at an address that was another's.
fn swapped(change: Change<'_>) -> Vec<String> {
    let olds = || change.old.targets.iter();
    let by_id: HashMap<&str, &TargetPlan> = olds().map(|old| (old.id.as_str(), old)).collect();
    let by_address: HashMap<&Address, &TargetPlan> =
        olds().map(|old| (&old.address, old)).collect();
    let taken_over = |new: &TargetPlan| {
        let before = by_id.get(new.id.as_str())?;
        let other = by_address.get(&new.address).filter(|other| other.id != new.id)?;
        (before.address != new.address).then(|| {
            format!(
                "{} is at {} now, which was the address of {}: what falls to it goes to that machine, and the \
                 figures here take it for the machine that it was; keep each id at its machine, unless \
                 what they hold was swapped as well",
                new.id, new.label, other.id
            )
        })
    };
    change.new.targets.iter().filter_map(taken_over).collect()
}

/// Targets that are gone, each with a new one at its address, or placed alike by what other relays hash.
fn renamings<'p>(change: Change<'p>) -> Vec<(&'p TargetPlan, &'p TargetPlan, &'static str)> {
    let come = change.come();
    let by_address: HashMap<&Address, &TargetPlan> =
        come.iter().map(|(_, new)| (&new.address, *new)).collect();
    let by_place: HashMap<_, &TargetPlan> =
        come.iter().filter_map(|(at, new)| Some((place(&change.new.ring, *at)?, *new))).collect();
    let new_of = |(at, old): (usize, &'p TargetPlan)| {
        let at_address = by_address.get(&old.address).map(|new| (old, *new, "address"));
        let in_place =
            || by_place.get(&place(&change.old.ring, at)?).map(|new| (old, *new, "place"));
        at_address.or_else(in_place)
    };
    change.gone().into_iter().filter_map(new_of).collect()
}

/// What other relays hash of a target; `None` if they are given nothing.
fn place(ring: &Ring, at: usize) -> Option<(&str, u16, Option<&str>, Option<u16>)> {
    let Place { host, port, instance, index } = &ring.members().iter().nth(at)?.place;
    (!host.is_empty()).then_some((host, *port, instance.as_deref(), *index))
}

/// A target whose address is its id, and whose address seems to have changed: another one without an id
/// stands at its position, or on its host.
fn readdressed(at: usize, old: &TargetPlan, come: &[(usize, &TargetPlan)]) -> Option<String> {
    let has_no_id = |target: &TargetPlan| target.id == target.label;
    if !has_no_id(old) {
        return None;
    }
    let seems_the_same = |&&(new_at, new): &&(usize, &TargetPlan)| {
        has_no_id(new) && (new_at == at || new.address.host == old.address.host)
    };
    let (_, new) = come.iter().find(seems_the_same)?;
    Some(format!(
        "{} became {} and has no id, so that its address is its identity: if it is the same machine, \
         give it id = \"{}\" to keep its keys",
        old.label, new.label, old.id
    ))
}

/// Enough to see what happened.
const WARNINGS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use crate::plan::testing::{addresses, tier_of, warnings};

    #[test]
    fn a_changed_id_at_one_address_is_told() {
        let target = |id: &str| format!("{{ address = \"10.0.0.1:2003\", id = \"{id}\" }}");
        let other = "\"10.0.0.2:2003\"".to_owned();
        let told = warnings(
            &tier_of("", &[target("store-a"), other.clone()]),
            &tier_of("", &[target("store-b"), other]),
        );
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("id store-a became store-b at the same address 10.0.0.1:2003:"),
            "{told:?}"
        );
    }

    #[test]
    fn swapped_addresses_are_told() {
        let target =
            |id: &str, at: u8| format!("{{ address = \"10.0.0.{at}:2003\", id = \"{id}\" }}");
        let old = tier_of("", &[target("a", 1), target("b", 2)]);
        let told = warnings(&old, &tier_of("", &[target("a", 2), target("b", 1)]));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("a is at 10.0.0.2:2003 now, which was the address of b:"));
        // A machine of its own is what ids are for.
        assert_eq!(warnings(&old, &tier_of("", &[target("a", 3), target("b", 2)])), [""; 0]);
    }

    #[test]
    fn a_changed_address_that_was_the_id_is_told() {
        let old = tier_of("", &addresses([1, 2, 3]));
        let told = warnings(&old, &tier_of("", &addresses([1, 9, 3])));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("10.0.0.2:2003 became 10.0.0.9:2003 and has no id"),
            "{told:?}"
        );
        assert!(told[0].contains("give it id = \"10.0.0.2:2003\""), "{told:?}");
        let kept = "{ address = \"10.0.0.9:2003\", id = \"10.0.0.2:2003\" }".to_owned();
        let [first, third] = [1, 3].map(|number| addresses([number]).remove(0));
        assert_eq!(warnings(&old, &tier_of("", &[first, kept, third])), [""; 0]);
    }

    #[test]
    fn targets_that_come_and_go_are_not_told() {
        let ten = tier_of("", &addresses(1..=10));
        assert_eq!(warnings(&ten, &tier_of("", &addresses(1..=11))), [""; 0]);
        assert_eq!(warnings(&ten, &tier_of("", &addresses(1..=9))), [""; 0]);
    }

    #[test]
    fn of_many_the_first_are_told() {
        let told = warnings(&tier_of("", &addresses(1..=20)), &tier_of("", &addresses(101..=120)));
        assert_eq!(told.len(), 11, "{told:?}");
        assert_eq!(told[10], "and 10 more targets whose ids or addresses changed");
    }
}
