//! Targets at other positions, where the hash goes by positions.

use std::collections::{HashMap, HashSet};

use coco_ring::{Algorithm, Diff, Ring};

use super::{Change, some};
use crate::plan::figures::counted;

/// Another order, positions and buckets that shifted, and other indices.
pub(super) fn warnings(change: Change<'_>, diff: &Diff) -> Vec<String> {
    if change.has_other_hash() {
        return Vec::new();
    }
    let hash = change.new.ring.algorithm();
    let by_bucket = change.new.ring.jump_order().is_some();
    let (before, after) = (order(&change.old.ring), order(&change.new.ring));
    let mut warnings = Vec::new();
    // An order that changed may still be one to the hash, as where instances decide.
    if hash.traits().order && diff.moved > 0.0 {
        warnings.extend(reordered(hash, &before, &after));
    }
    if by_bucket || hash == Algorithm::Coco {
        let shifted = shifted(hash, &before, &after);
        if hash == Algorithm::NanotubeJump && shifted.is_none() {
            warnings.extend(reindexed(change));
        }
        warnings.extend(shifted);
    }
    warnings
}

/// Targets that nanotube numbers otherwise.
fn reindexed(Change { old, new }: Change<'_>) -> Option<String> {
    let indices = |ring: &'_ Ring| -> Vec<_> {
        ring.members().iter().map(|member| (member.id.clone(), member.place.index)).collect()
    };
    let before: HashMap<_, _> = indices(&old.ring).into_iter().collect();
    let mut changed = indices(&new.ring).into_iter().filter_map(|(id, is)| {
        let was = *before.get(&id)?;
        (was != is).then_some((id, was?, is?))
    });
    let (id, was, is) = changed.next()?;
    let more = match changed.count() {
        0 => String::new(),
        more => format!(" (and that of {})", counted(more, "more target")),
    };
    Some(format!(
        "hash \"{}\" goes by `index`, and that of {id} changed from {was} to {is}{more}: keys stay with an \
         index, not with a target; give each target the index that it had",
        new.ring.algorithm()
    ))
}

/// The ids in the order that the hash looks at: of the buckets where it jumps, else as listed.
fn order(ring: &Ring) -> Vec<&str> {
    let ids: Vec<&str> = ring.members().iter().map(|member| member.id.as_str()).collect();
    match ring.jump_order() {
        Some(order) => order.iter().filter_map(|&at| ids.get(usize::from(at)).copied()).collect(),
        None => ids,
    }
}

/// The same targets in another order, or new ones before old ones.
fn reordered(hash: Algorithm, before: &[&str], after: &[&str]) -> Option<String> {
    let [was, is] = [before, after].map(|ids| ids.iter().copied().collect::<HashSet<&str>>());
    let both: HashSet<&str> = was.intersection(&is).copied().collect();
    let common = |ids: &[&str]| -> Vec<String> {
        ids.iter().filter(|id| both.contains(*id)).map(|id| (*id).to_owned()).collect()
    };
    let (looks, end) = match hash {
        Algorithm::CRelayJump(_) => {
            ("the order of the targets, by instance and then as listed", "where they sort last")
        }
        _ => ("the order of the targets", "at the end"),
    };
    let first = common(before).into_iter().zip(common(after)).find(|(was, is)| was != is);
    if let Some((was, is)) = first {
        return Some(format!(
            "hash \"{hash}\" looks at {looks}, and it changed: {is} stands where {was} stood; keep the \
             order, and put new targets {end}"
        ));
    }
    // Nothing was taken away before it, so it was pushed back.
    let pushed = before.iter().zip(after).find(|(was, is)| was != is && !both.contains(*is));
    pushed.filter(|(was, _)| both.contains(*was)).map(|(was, is)| {
        format!(
            "hash \"{hash}\" looks at {looks}, and {is} came in before {was}: put new targets {end}"
        )
    })
}

/// Targets that are gone, though one at a later bucket or position stayed: that one shifts, and all that follow.
fn shifted(hash: Algorithm, before: &[&str], after: &[&str]) -> Option<String> {
    let bucket_after: HashMap<&str, usize> =
        after.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let known = || before.iter().copied().enumerate();
    let (_, first) = known().find(|(at, id)| bucket_after.get(id).is_some_and(|now| now < at))?;
    let gone: Vec<&str> = known()
        .take_while(|(_, id)| *id != first)
        .filter(|(_, id)| !bucket_after.contains_key(id))
        .map(|(_, id)| id)
        .collect();
    let last = before.last()?;
    let (what, otherwise) = match hash {
        Algorithm::Coco => {
            ("position, by which the hash goes,", "put another target in its position")
        }
        Algorithm::NanotubeJump => {
            ("bucket", "keep the index of what went and give it a new address")
        }
        _ => ("bucket", "keep the instance or position of what went and give it a new address"),
    };
    (!gone.is_empty()).then(|| {
        format!(
            "{} went away, and {first} and every later {what} shifted: remove the last one ({last}) \
             instead, or {otherwise}",
            some(&gone)
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::plan::testing::{addresses, tier_of, warnings};

    #[test]
    fn another_order_is_told_where_it_counts() {
        let told = |keys: &str, after: &[u32]| {
            let (old, new) = (addresses(1..=3), addresses(after.iter().copied()));
            warnings(&tier_of(keys, &old), &tier_of(keys, &new)).join("\n")
        };
        let coco = "hash = \"coco\"";
        assert!(told(coco, &[2, 1, 3]).contains("10.0.0.2:2003 stands where 10.0.0.1:2003 stood"));
        assert!(told(coco, &[1, 9, 2, 3]).contains("10.0.0.9:2003 came in before 10.0.0.2:2003"));
        assert!(!told(coco, &[1, 2, 3, 4]).contains("order"));
        assert!(!told(coco, &[1, 3]).contains("order"));
        assert!(
            told(coco, &[1, 3])
                .contains("10.0.0.2:2003 went away, and 10.0.0.3:2003 and every later position"),
        );
        assert!(!told(coco, &[1, 2]).contains("went away"));
        assert!(!told(coco, &[1, 9, 3]).contains("went away"));
        assert_eq!(told("", &[3, 2, 1]), "");
        assert_eq!(told("", &[9, 1, 2, 3]), "");
    }

    #[test]
    fn a_bucket_taken_from_the_middle_is_told() {
        let shifted = |before: &[&'static str], after: &[&'static str]| {
            let hash = coco_ring::Algorithm::NanotubeJump;
            super::shifted(hash, before, after).unwrap_or_default()
        };
        let told = shifted(&["a", "b", "c", "d"], &["a", "c", "d"]);
        assert!(told.starts_with("b went away, and c and every later bucket shifted"), "{told}");
        assert!(told.contains("remove the last one (d)"), "{told}");
        assert_eq!(shifted(&["a", "b", "c"], &["a", "b"]), "");
        assert_eq!(shifted(&["a", "b", "c"], &["a", "b", "c", "d"]), "");
        assert_eq!(shifted(&["a", "b", "c"], &["a", "x", "c"]), "");
        assert_eq!(shifted(&["a", "b", "c"], &["c", "b", "a"]), "");
    }

    fn jump_warnings(hash: &str, old: &[String], new: &[String]) -> String {
        let keys = format!("protocol = \"graphite\"\nhash = \"{hash}\"");
        warnings(&tier_of(&keys, old), &tier_of(&keys, new)).join("\n")
    }

    #[test]
    fn another_order_is_not_told_where_instances_decide() {
        let targets = |list: &[(u32, &str)]| -> Vec<String> {
            list.iter().map(|(n, instance)| format!("\"10.0.0.{n}:2003{instance}\"")).collect()
        };
        let hash = "c-relay/jump_fnv1a_ch";
        let [a, b, c] = [(1, ":a"), (2, ":b"), (3, ":c")];
        let old = targets(&[a, b, c]);
        assert_eq!(jump_warnings(hash, &old, &targets(&[c, a, b])), "");
        assert!(!jump_warnings(hash, &old, &targets(&[c, a, b, (4, ":d")])).contains("order"));
        let first = jump_warnings(hash, &old, &targets(&[a, b, c, (4, "")]));
        assert!(!first.contains("order"), "{first}");
        let between = jump_warnings(hash, &old, &targets(&[a, b, c, (4, ":ab")]));
        assert!(
            between
                .contains("came in before 10.0.0.2:2003:b: put new targets where they sort last")
        );
        let (d, e) = ((4, ""), (5, ""));
        let told = jump_warnings(hash, &targets(&[a, d, e]), &targets(&[a, e, d]));
        assert!(told.contains("10.0.0.5:2003 stands where 10.0.0.4:2003 stood"), "{told}");
    }

    #[test]
    fn another_index_is_told() {
        let targets = |indices: &[(u32, u32)]| -> Vec<String> {
            let target = |(n, index): &(u32, u32)| {
                format!("{{ address = \"10.0.0.{n}:2003\", index = {index} }}")
            };
            indices.iter().map(target).collect()
        };
        let old = targets(&[(1, 0), (2, 1), (3, 2)]);
        let told = |new: &[(u32, u32)]| jump_warnings("nanotube/jump", &old, &targets(new));
        assert!(
            told(&[(1, 1), (2, 0), (3, 2)]).contains(
                "that of 10.0.0.1:2003 changed from 0 to 1 (and that of 1 more target): keys stay"
            ),
            "{}",
            told(&[(1, 1), (2, 0), (3, 2)])
        );
        assert_eq!(told(&[(3, 2), (2, 1), (1, 0)]), "");
        assert_eq!(told(&[(1, 0), (2, 1), (3, 2), (4, 3)]), "");
        let shifted = told(&[(1, 0), (3, 1)]);
        assert!(shifted.contains("went away") && !shifted.contains("changed from"), "{shifted}");
    }
}
