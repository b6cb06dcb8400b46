//! A plan for programs, as one JSON object.
//!
//! The keys are stable; shares are 0..=1, of copies, and a value that does not apply is `null`.
//!
//! ```json
//! {
//!   "tiers": [
//!     {
//!       "name": "carbon",
//!       "status": "changed",                  // same, changed, new, gone
//!       "old": {"hash": "xxh3", "replicas": 1, "targets": 10},  // null for a new tier
//!       "new": {"hash": "xxh3", "replicas": 1, "targets": 11},  // null for one that is gone
//!       "basis": {
//!         "exact": true,                      // counted, for all names
//!         "keys": null,                       // estimated: from how many keys
//!         "unchanged_names_only": false,      // `names` changed: not exact, names that change are not counted
//!         "starts_fresh": false               // other samples are carried: not exact, moved is 1, nothing to copy
//!       },
//!       "moved": 0.0909,                      // copies to make, of the new copies
//!       "given_up": 0.0909,                   // copies owned no longer, of the old copies
//!       "ideal": 0.0909,                      // the least that any placement would move
//!       "before": {"ID": 0.1},                // by target id
//!       "after": {"ID": 0.0909},
//!       "flows": [{"from": "ID", "to": "ID", "share": 0.0091}],  // the largest first, 1,000 at most
//!       "flows_rest": 0.0,                    // all others in one: with it they sum up to `moved`
//!       "names": {                            // null without names
//!         "seen": 1000,
//!         "moved": 91,
//!         "share": 0.091,                     // copies to make, of the copies of these names
//!         "staying": 0,                       // of those, copies between two ids of one address
//!         "renamed": 0                        // names that will be stored under another name
//!       },
//!       "warnings": ["..."]
//!     }
//!   ],
//!   "names": {                                // null without names
//!     "read": 1000,
//!     "empty": 0,                             // lines passed over
//!     "series": {"known": 10000, "total": 123456},  // null unless a running Coco was asked
//!     "listed": {"file": "moved.tsv", "rows": 91}   // null without a list
//!   },
//!   "exceeded": false                         // whether some tier moves more than was allowed
//! }
//! ```
//!
//! In a tier that is new or gone everything from `basis` to `names` is `null`.

use coco_ring::Basis;
use coco_router::plan::{TargetPlan, TierPlan};
use serde_json::{Map, Value, json};

use super::{
    Findings,
    source::Rows,
    survey::{Counts, Survey},
    tier::{Kept, Tier, renaming},
};

/// The whole object.
pub(super) fn object(findings: &Findings<'_>, exceeded: bool) -> Value {
    let has_names = findings.survey.is_some();
    let tiers = findings.tiers.iter().map(|tier| match tier {
        Tier::New(tier) => alone(tier, "new"),
        Tier::Gone(gone) => {
            let mut object = alone(gone, "gone");
            object["warnings"] = renaming(&findings.tiers, tier).into_iter().collect();
            object
        }
        Tier::Kept(kept) => both(kept, has_names),
    });
    json!({
        "tiers": tiers.collect::<Vec<_>>(),
        "names": findings.survey.as_ref().map(read),
        "exceeded": exceeded,
    })
}

fn alone(tier: &TierPlan, status: &str) -> Value {
    let described = describe(tier);
    let (old, new) =
        if status == "new" { (Value::Null, described) } else { (described, Value::Null) };
    json!({
        "name": tier.name,
        "status": status,
        "old": old,
        "new": new,
        "basis": null,
        "moved": null,
        "given_up": null,
        "ideal": null,
        "before": null,
        "after": null,
        "flows": null,
        "flows_rest": null,
        "names": null,
        "warnings": [],
    })
}

fn both(kept: &Kept<'_>, has_names: bool) -> Value {
    let diff = &kept.diff;
    let (flows, flows_rest) = flows(kept);
    json!({
        "name": kept.name(),
        "status": if kept.is_same() { "same" } else { "changed" },
        "old": describe(kept.old),
        "new": describe(kept.new),
        "basis": basis(kept),
        "moved": diff.moved,
        "given_up": diff.given_up,
        "ideal": diff.ideal,
        "before": shares(kept.old, &diff.before),
        "after": shares(kept.new, &diff.after),
        "flows": flows,
        "flows_rest": flows_rest,
        "names": has_names.then(|| names(kept.counts)),
        "warnings": kept.warnings,
    })
}

fn basis(kept: &Kept<'_>) -> Value {
    let (others, fresh) = (kept.has_other_names(), kept.starts_fresh());
    let (exact, keys) = match kept.diff.basis {
        Basis::Exact => (!others && !fresh, None),
        Basis::Sampled { keys } => (false, Some(keys)),
    };
    json!({ "exact": exact, "keys": keys, "unchanged_names_only": others, "starts_fresh": fresh })
}

/// The largest flows, and the share of all others.
fn flows(kept: &Kept<'_>) -> (Value, f64) {
    let id = |targets: &[TargetPlan], at: usize| targets.get(at).map(|target| target.id.clone());
    let (shown, others) = kept.diff.flows.split_at(kept.diff.flows.len().min(FLOWS_MAX));
    let shown = shown.iter().map(|flow| {
        json!({
            "from": id(&kept.old.targets, flow.from),
            "to": id(&kept.new.targets, flow.to),
            "share": flow.share,
        })
    });
    let rest = others.iter().fold(kept.diff.rest, |sum, flow| sum + flow.share);
    (shown.collect(), rest)
}

fn describe(tier: &TierPlan) -> Value {
    json!({
        "hash": tier.ring.algorithm().as_str(),
        "replicas": tier.ring.replicas(),
        "targets": tier.targets.len(),
    })
}

fn shares(tier: &TierPlan, shares: &[f64]) -> Value {
    let ids = tier.targets.iter().map(|target| target.id.clone());
    let by_id: Map<String, Value> = ids.zip(shares.iter().map(|share| json!(share))).collect();
    Value::Object(by_id)
}

fn names(counts: Counts) -> Value {
    json!({
        "seen": counts.seen,
        "moved": counts.moved,
        "share": counts.share(),
        "staying": counts.copies_staying,
        "renamed": counts.renamed,
    })
}

fn read(survey: &Survey) -> Value {
    let series = match survey.rows {
        Rows::Series { known, total } => json!({ "known": known, "total": total }),
        Rows::Names => Value::Null,
    };
    let listed = survey.listed.as_ref();
    let listed = listed.map(|(path, rows)| json!({ "file": path.to_string_lossy(), "rows": rows }));
    json!({ "read": survey.names, "empty": survey.empty, "series": series, "listed": listed })
}

/// Most flows that are listed.
const FLOWS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{addresses, tier_of};

    #[test]
    fn every_tier_has_every_key() {
        let (old, new) = (tier_of("", &addresses(1..=2)), tier_of("", &addresses(1..=3)));
        let tiers =
            vec![Tier::New(&new), Tier::Gone(&old), Tier::Kept(Box::new(Kept::new(&old, &new)))];
        let object = object(&Findings { tiers, survey: None }, true);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let tiers = object["tiers"].as_array().unwrap();
        assert_eq!(tiers.len(), 3);
        assert!(tiers.iter().all(|tier| keys(tier) == keys(&tiers[0])), "{object:#}");
        assert_eq!((&object["exceeded"], &object["names"]), (&json!(true), &Value::Null));
        assert_eq!((&tiers[0]["old"], &tiers[1]["new"]), (&Value::Null, &Value::Null));
        let flow = &tiers[2]["flows"][0];
        assert_eq!(flow["to"], "10.0.0.3:2003", "{object:#}");
        assert_eq!(tiers[2]["after"]["10.0.0.3:2003"], tiers[2]["moved"], "{object:#}");
    }

    #[test]
    fn of_many_flows_the_largest_are_listed() {
        let targets = addresses(1..=40);
        let (old, new) = (tier_of("hash = \"coco\"", &targets), tier_of("", &targets));
        let kept = Kept::new(&old, &new);
        let (list, rest) = flows(&kept);
        assert_eq!(list.as_array().map(Vec::len), Some(1_000), "of {}", kept.diff.flows.len());
        let listed = list.as_array().unwrap().iter().map(|flow| flow["share"].as_f64().unwrap());
        assert!(rest > 0.0 && (listed.sum::<f64>() + rest - kept.diff.moved).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_counted_is_not_exact() {
        let targets = addresses(1..=4);
        let of = |old: &str, new: &str| {
            let (old, new) = (tier_of(old, &targets), tier_of(new, &targets));
            both(&Kept::new(&old, &new), false)
        };
        let graphite = "protocol = \"graphite\"";
        let cleaned = of(graphite, "protocol = \"graphite\"\nnames = \"nanotube\"");
        assert_eq!(
            (&cleaned["basis"]["exact"], &cleaned["basis"]["unchanged_names_only"]),
            (&json!(false), &json!(true))
        );
        let fresh = of("", graphite);
        assert_eq!(
            (&fresh["basis"]["exact"], &fresh["basis"]["starts_fresh"], &fresh["moved"]),
            (&json!(false), &json!(true), &json!(1.0))
        );
    }
}
