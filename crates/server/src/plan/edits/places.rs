//! Targets with other addresses, where the hash goes by addresses.
//!
//! Invariant: what is written as told here keeps both the target's id and its place on the ring.

use std::collections::HashMap;

use coco_ring::{Diff, Place};
use coco_router::plan::{TargetPlan, TierPlan};

use super::Change;

/// Targets that have another place, though their ids stayed, and those of `gone` whose addresses seem to have changed.
pub(super) fn warnings<'p>(
    change: Change<'p>,
    gone: impl Iterator<Item = (usize, &'p TargetPlan)>,
    diff: &Diff,
) -> Vec<String> {
    let come = change.come();
    let mut pairs = if diff.moved > 0.0 { replaced(change) } else { Vec::new() };
    pairs.extend(gone.filter_map(|(at, old)| {
        let seems_the_same = |&&(new_at, new): &&(usize, &TargetPlan)| {
            has_no_id(change.new, new_at, new)
                && (new_at == at || new.address.host == old.address.host)
        };
        let found = come.iter().find(seems_the_same).map(|(_, new)| (at, old, *new));
        found.filter(|_| has_no_id(change.old, at, old))
    }));
    pairs.into_iter().filter_map(|(at, old, new)| cure(change, at, old, new)).collect()
}

/// Targets of both files whose places differ in what the hash looks at, with their old positions.
fn replaced<'p>(change: Change<'p>) -> Vec<(usize, &'p TargetPlan, &'p TargetPlan)> {
    if change.has_other_hash() {
        return Vec::new();
    }
    let traits = change.new.ring.algorithm().traits();
    let hashed = |tier: &'p TierPlan, at| {
        let Place { host, port, instance, .. } = place(tier, at)?;
        Some((host, traits.port.then_some(port), traits.instance.then_some(instance)))
    };
    let new: HashMap<&str, (usize, &TargetPlan)> = change
        .new
        .targets
        .iter()
        .enumerate()
        .map(|(at, target)| (target.id.as_str(), (at, target)))
        .collect();
    let old = change.old.targets.iter().enumerate();
    let kept = old.filter_map(|(at, old)| Some((at, old, *new.get(old.id.as_str())?)));
    kept.filter(|(at, _, (new_at, _))| hashed(change.old, *at) != hashed(change.new, *new_at))
        .map(|(at, old, (_, new))| (at, old, new))
        .collect()
}

fn cure(change: Change<'_>, at: usize, old: &TargetPlan, new: &TargetPlan) -> Option<String> {
    let hash = change.new.ring.algorithm();
    let was = text(place(change.old, at)?);
    // Without an id it gets this text for one.
    let id = if was == old.id { String::new() } else { format!(", id = \"{}\"", old.id) };
    Some(format!(
        "{} became {}, and hash \"{hash}\" hashes what an address says: if it is the same machine, write \
         {{ address = \"{}\", hash_as = \"{was}\"{id} }} to keep its keys",
        named(old, &was),
        named(new, &new.label),
        new.address,
    ))
}

/// The label; where only the instance tells old and new apart, the place.
fn named<'t>(target: &'t TargetPlan, place: &'t str) -> &'t str {
    if place.starts_with(&target.label) { place } else { &target.label }
}

fn has_no_id(tier: &TierPlan, at: usize, target: &TargetPlan) -> bool {
    target.id == target.label || place(tier, at).is_some_and(|place| target.id == text(place))
}

fn place(tier: &TierPlan, at: usize) -> Option<&Place> {
    tier.ring.members().iter().nth(at).map(|member| &member.place)
}

/// A place as `hash_as` has it.
fn text(Place { host, port, instance, .. }: &Place) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let instance = instance.as_ref().map(|instance| format!(":{instance}")).unwrap_or_default();
    format!("{host}:{port}{instance}")
}

#[cfg(test)]
mod tests {
    use crate::plan::{
        testing::{addresses, tier_of, warnings},
        tier::Kept,
    };

    const HASHES: [&str; 4] =
        ["carbon/carbon_ch", "c-relay/carbon_ch", "c-relay/fnv1a_ch", "relay-ng/v1"];

    #[test]
    fn what_is_advised_keeps_every_key() {
        for (hash, old, new, advice) in HASHES.into_iter().flat_map(|hash| {
            [
                (
                    "\"10.0.0.2:2003\"",
                    "\"10.0.0.9:2003\"",
                    "{ address = \"10.0.0.9:2003\", hash_as = \"10.0.0.2:2003\" }",
                ),
                (
                    "{ address = \"10.0.0.2:2003\", id = \"b\" }",
                    "{ address = \"10.0.0.9:2003\", id = \"b\" }",
                    "{ address = \"10.0.0.9:2003\", hash_as = \"10.0.0.2:2003\", id = \"b\" }",
                ),
                (
                    "\"10.0.0.2:2003:x\"",
                    "\"10.0.0.9:2003:x\"",
                    "{ address = \"10.0.0.9:2003\", hash_as = \"10.0.0.2:2003:x\" }",
                ),
                (
                    "{ address = \"10.0.0.2:2003\", instance = \"x\" }",
                    "{ address = \"10.0.0.9:2003\", instance = \"x\" }",
                    "{ address = \"10.0.0.9:2003\", hash_as = \"10.0.0.2:2003:x\" }",
                ),
            ]
            .map(|(old, new, advice)| (hash, old, new, advice))
        }) {
            let [first, third] = [1, 3].map(|number| addresses([number]).remove(0));
            let tier = |target: &str| {
                let keys = format!("protocol = \"graphite\"\nhash = \"{hash}\"");
                tier_of(&keys, &[first.as_str(), target, &third])
            };
            let told = warnings(&tier(old), &tier(new)).join("\n");
            assert!(told.contains("10.0.0.2:2003"), "{hash} {old} {told}");
            assert!(told.contains(" became 10.0.0.9:2003"), "{hash} {old} {told}");
            assert!(told.contains(&format!("write {advice} to")), "{hash} {old}: {told}");
            let (old, new) = (tier(old), tier(advice));
            assert_eq!((Kept::new(&old, &new).diff.moved, warnings(&old, &new)), (0.0, vec![]));
        }
    }
}
