//! Changes of what a key is and of what becomes of it: hash, replicas, key, protocol.

use coco_ring::{Basis, Diff};
use coco_router::plan::{KeyRule, TierPlan};

use super::Change;
use crate::{
    explain::names_text,
    plan::{
        figures::{counted, percent},
        tier::is_rekeyed,
    },
};

pub(super) fn warnings(change: Change<'_>, diff: &Diff) -> Vec<String> {
    let all = [protocol(change), hash(change, diff), replicas(change), key(change), names(change)];
    all.into_iter().flatten().collect()
}

/// The tier carries another kind of samples.
pub(super) fn protocol(Change { old, new }: Change<'_>) -> Option<String> {
    let carried =
        |tier: &TierPlan| (tier.protocol.carries_collectd(), tier.protocol.carries_lines());
    (carried(old) != carried(new)).then(|| {
        "`protocol` changed, and with it the kind of samples that the tier carries: those that it did not \
         carry before start fresh, those that it carries no longer stay behind; use another tier for \
         another kind"
            .to_owned()
    })
}

fn hash(change: Change<'_>, diff: &Diff) -> Option<String> {
    let moves = match diff.basis {
        _ if diff.moved > 0.0 => format!("{} of the copies get other owners", percent(diff.moved)),
        Basis::Exact => "no key gets another owner".to_owned(),
        Basis::Sampled { .. } => "no key that was tried gets another owner".to_owned(),
    };
    let (old, new) = (change.old.ring.algorithm(), change.new.ring.algorithm());
    if old == new {
        None
    } else if old.as_str() == new.as_str() {
        Some(format!(
            "the parameters of hash \"{new}\" changed: {moves}; keep them unless the relay to be matched \
             has others"
        ))
    } else if diff.moved <= 0.0 {
        Some(format!("`hash` changed from \"{old}\" to \"{new}\": {moves}"))
    } else {
        Some(format!(
            "`hash` changed from \"{old}\" to \"{new}\": {moves}; copy what \
             moves before the new file is used, or put \"{new}\" into a tier of its own beside this one"
        ))
    }
}

fn replicas(Change { old, new }: Change<'_>) -> Option<String> {
    let (before, after) = (old.ring.replicas(), new.ring.replicas());
    let owners = |count| counted(count, "owner");
    if after > before {
        Some(format!(
            "`replicas` rises from {before} to {after}: each key gets {} more, which will have new \
             samples only; copy the old ones, from the lists of --moved",
            owners(after - before)
        ))
    } else if after < before {
        Some(format!(
            "`replicas` falls from {before} to {after}: each key loses {}, whose copies get no new \
             samples and can be removed once nobody reads them",
            owners(before - after)
        ))
    } else {
        None
    }
}

fn key(Change { old, new }: Change<'_>) -> Option<String> {
    if !is_rekeyed(old, new) {
        return None;
    }
    let what = match new.key {
        KeyRule::Series => {
            "from \"host\" to \"series\": the series of a host, which were on one target, are spread \
             over all"
        }
        KeyRule::Host => {
            "from \"series\" to \"host\": the series of a host, which were spread, come together on one \
             target"
        }
    };
    Some(format!(
        "`key` changed {what}; almost every collectd series moves, as if by chance (Graphite names keep \
         their keys); keep `key` unless this is meant, and see with --from which series move: the hosts \
         of a file of names do not tell"
    ))
}

fn names(Change { old, new }: Change<'_>) -> Option<String> {
    (old.names != new.names).then(|| {
        let (before, after) = (names_text(&old.names), names_text(&new.names));
        format!(
            "what becomes of names changed from {before} to {after}: names with tags or unusual characters \
             may be stored under another name and have another key, which the share above does not count; \
             give --names, or set `names` to what it was"
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::plan::testing::{addresses, tier_of, warnings};

    fn check(old: &str, new: &str, due: &str) {
        let targets = addresses(1..=4);
        let told = warnings(&tier_of(old, &targets), &tier_of(new, &targets));
        assert!(told.iter().any(|text| text.contains(due)), "no {due:?} in {told:?}");
    }

    #[test]
    fn changed_rules_are_told_in_words() {
        check("", "hash = \"coco\"", "`hash` changed from \"xxh3\" to \"coco\"");
        check("", "replicas = 3", "`replicas` rises from 1 to 3: each key gets 2 owners more");
        check("replicas = 2", "", "`replicas` falls from 2 to 1: each key loses 1 owner,");
        check("", "key = \"series\"", "`key` changed from \"host\" to \"series\"");
        check("key = \"series\"", "", "come together on one target");
        check("", "protocol = \"graphite\"", "`protocol` changed");
        let graphite = "protocol = \"graphite\"";
        let cleaned = "protocol = \"graphite\"\nnames = \"nanotube\"";
        check(graphite, cleaned, "names changed from sorted-tags to nanotube");
    }

    #[test]
    fn a_hash_that_moves_little_is_not_said_to_move_all() {
        let told = |targets: &[String], old: &str, new: &str| {
            let of = |hash: &str| tier_of(&format!("protocol = \"graphite\"\n{hash}"), targets);
            warnings(&of(old), &of(new)).join("\n")
        };
        let carbon = "hash = \"carbon/carbon_ch\"";
        let few = told(&addresses(1..=8), carbon, "hash = \"c-relay/carbon_ch\"");
        let share = few.split(": ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(few.contains(" % of the copies get other owners"), "{few}");
        assert!(share.parse::<f64>().unwrap() < 5.0, "{few}");
        // On hosts of their own no two replicas were on one before.
        let (one, two) = ("replicas = 2\ndiverse = true", "replicas = 2\ndiverse = false");
        let (one, two) = (format!("{carbon}\n{one}"), format!("{carbon}\n{two}"));
        assert_eq!(
            told(&addresses(1..=8), &one, &two),
            "the parameters of hash \"carbon/carbon_ch\" changed: no key gets another owner; keep them \
             unless the relay to be matched has others"
        );
        let chars = ["signed", "unsigned"]
            .map(|char| format!("hash = \"c-relay/fnv1a_ch\"\nchar = \"{char}\""));
        assert!(told(&addresses(1..=8), &chars[0], &chars[1]).contains("that was tried"));
        let most = told(&addresses(1..=8), "", "hash = \"coco\"");
        assert!(most.contains("coco\": 8"), "{most}");
    }

    #[test]
    fn what_is_the_same_is_not_told() {
        let tier = tier_of("replicas = 2", &addresses(1..=4));
        assert_eq!(warnings(&tier, &tier), [""; 0]);
        let graphite = tier_of("protocol = \"graphite\"", &addresses(1..=4));
        let pickle = tier_of("protocol = \"graphite-pickle\"", &addresses(1..=4));
        assert_eq!(warnings(&graphite, &pickle), [""; 0]);
    }
}
