//! Question 2, of all routers: do they place alike?
//!
//! What decides where a sample goes must be the same in each of them.

use std::collections::BTreeMap;

use coco_checks::Grade;
use serde_json::Value;

use super::{
    ask::Asked,
    row::{Question, Row, Rows, short},
};

/// For each address whether it is the first one of its router, by what that says of itself; says which are
/// not. A router agrees with itself.
pub(super) fn firsts(all: &[(&str, &Asked)], rows: &mut Rows<'_>) -> Vec<bool> {
    let mut known: BTreeMap<&str, &str> = BTreeMap::new();
    let mut firsts = Vec::new();
    for (url, vars) in all {
        let vars = vars.as_ref().ok();
        let instance = vars.and_then(|vars| vars["process"]["instance"].as_str());
        let first = instance.and_then(|instance| known.get(instance));
        if let Some(first) = first {
            let text = format!("{} and {} are one router: name it once", short(first), short(url));
            rows.say("routers", Grade::Unknown, text);
        }
        firsts.push(first.is_none());
        if let Some(instance) = instance {
            known.entry(instance).or_insert(url);
        }
    }
    firsts
}

/// Of one tier: each placement, and who has it.
type Placements<'a> = BTreeMap<String, Vec<&'a str>>;

/// Compares what the routers have told of their tiers.
pub(super) fn rows(all: &[(&str, &Asked)]) -> Vec<Row> {
    let mut rows = Rows::new(Question::Query, None);
    if all.len() < 2 {
        rows.not_asked("rings agree", "there is one router: name more of them to compare");
        return rows.rows;
    }
    let known: Vec<(&str, &Value)> =
        all.iter().filter_map(|(url, tiers)| Some((short(url), tiers.as_ref().ok()?))).collect();
    if known.len() < all.len() {
        let why = format!("only {} of {} routers told their tiers", known.len(), all.len());
        rows.say("rings agree", Grade::Unknown, why);
    }
    let tiers = placements(&known);
    if tiers.is_empty() && known.len() == all.len() {
        rows.say("rings agree", Grade::Unknown, "no router has told of a tier");
    }
    let mut agree = Vec::new();
    let (alike, unlike): (Vec<_>, Vec<_>) = tiers.iter().partition(|(_, who)| who.len() == 1);
    for (tier, placements) in alike.into_iter().chain(unlike) {
        match trouble(&known, tier, placements) {
            None => agree.push(*tier),
            Some((grade, text)) => rows.say("rings agree", grade, text),
        }
    }
    if !agree.is_empty() && agree.len() == tiers.len() && known.len() > 1 {
        let text = format!("{} routers place alike in {}", known.len(), agree.join(", "));
        rows.say("rings agree", Grade::Ok, text);
    }
    rows.rows
}

/// The names of the tiers that a router has told of.
pub(super) fn names(tiers: &Value) -> impl Iterator<Item = &str> {
    tiers.as_array().into_iter().flatten().filter_map(|tier| tier["name"].as_str())
}

fn placements<'a>(known: &[(&'a str, &'a Value)]) -> BTreeMap<&'a str, Placements<'a>> {
    let mut tiers: BTreeMap<&str, Placements<'a>> = BTreeMap::new();
    for tier in known.iter().flat_map(|(_, tiers)| names(tiers)) {
        let of_tier = tiers.entry(tier).or_default();
        if of_tier.is_empty() {
            for (url, tiers) in known {
                of_tier.entry(placement(tiers, tier)).or_default().push(url);
            }
        }
    }
    tiers
}

/// Why it cannot be said that all place alike in a tier.
fn trouble(
    known: &[(&str, &Value)],
    tier: &str,
    placements: &Placements<'_>,
) -> Option<(Grade, String)> {
    if placements.len() > 1 {
        let who = placements.iter().map(|(what, urls)| format!("{what} at {}", urls.join(", ")));
        let who = who.collect::<Vec<_>>().join("; ");
        let text = format!("tier {tier} differs: {who}; the same series goes to different targets");
        return Some((Grade::Critical, text));
    }
    if placements.keys().any(|what| what.starts_with(NO_RING)) {
        let text = format!("tier {tier} has no ring at any router: nothing to compare");
        return Some((Grade::Unknown, text));
    }
    elsewhere(known, tier).map(|text| (Grade::Critical, text))
}

/// A target that is elsewhere for another router; its place does not enter the digest of a ring.
fn elsewhere(known: &[(&str, &Value)], name: &str) -> Option<String> {
    let mut places: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (url, tiers) in known {
        let tier = tiers.as_array()?.iter().find(|tier| tier["name"] == name)?;
        let texts =
            |key: &str| tier[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        for (id, target) in texts("ids").zip(texts("targets")) {
            places.entry(id).or_default().entry(target).or_insert(url);
        }
    }
    let (id, places) = places.into_iter().find(|(_, places)| places.len() > 1)?;
    let who = places.into_iter().map(|(target, url)| format!("at {target} for {url}"));
    Some(format!("tier {name}: target {id} is {}", who.collect::<Vec<_>>().join(", ")))
}

/// The placement of a tier that places nothing.
const NO_RING: &str = "no ring";

/// All that decides in a tier. The epoch does not: it counts the changes that one process has seen.
fn placement(tiers: &Value, name: &str) -> String {
    let mut tiers = tiers.as_array().into_iter().flatten();
    let Some(tier) = tiers.find(|tier| tier["name"] == name) else {
        return "not there".to_owned();
    };
    let text = |key: &str| tier[key].as_str().unwrap_or("unknown");
    let digest = tier["digest"].as_str();
    let mut what = digest.map_or_else(|| NO_RING.to_owned(), |digest| format!("digest {digest}"));
    for (key, usual) in
        [("protocol", None), ("proto", None), ("key", None), ("names", Some("sorted-tags"))]
    {
        if usual != Some(text(key)) {
            what.push_str(&format!(", {key} {}", text(key)));
        }
    }
    what
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_router_that_is_named_twice_counts_once() {
        let vars = |instance: &str| Ok(json!({"process": {"instance": instance}}));
        let (a, b, old) = (vars("a"), vars("b"), Ok(json!({"process": {"pid": 1}})));
        let all: [(&str, &Asked); 6] = [
            ("http://127.0.0.1:1", &a),
            ("http://y:1", &b),
            ("http://localhost:1", &a),
            ("http://y:1", &b),
            ("http://old:1", &old),
            ("http://old:2", &old),
        ];
        let mut of_all = Rows::new(Question::Query, None);
        assert_eq!(firsts(&all, &mut of_all), [true, true, false, false, true, true]);
        let said = of_all.rows.iter().map(|row| (row.grade, row.text.as_str()));
        let one = "127.0.0.1:1 and localhost:1 are one router: name it once";
        let other = "y:1 and y:1 are one router: name it once";
        let unknown = Some(Grade::Unknown);
        assert_eq!(said.collect::<Vec<_>>(), [(unknown, one), (unknown, other)]);
    }

    #[test]
    fn routers_that_place_otherwise_are_named() {
        let tier =
            |name: &str, digest: &str| json!({"name": name, "digest": digest, "names": "sorted"});
        let one = Ok(json!([tier("a", "1"), tier("b", "2")]));
        let other = Ok(json!([tier("a", "1"), tier("b", "3")]));
        let third = Ok(json!([tier("a", "1")]));
        let said = |all: &[(&str, &Asked)]| {
            let rows = rows(all).into_iter().map(|row| (row.grade, row.text));
            rows.collect::<Vec<_>>()
        };
        assert_eq!(said(&[("http://x:1", &one)])[0].0, None);
        let alike = said(&[("http://x:1", &one), ("http://y:1", &one)]);
        assert_eq!(alike, [(Some(Grade::Ok), "2 routers place alike in a, b".to_owned())]);
        for (second, there) in [(&other, "digest 3"), (&third, "not there")] {
            let rows = said(&[("http://x:1", &one), ("http://y:1", second)]);
            assert_eq!(rows.len(), 1, "{rows:?}");
            assert_eq!(rows[0].0, Some(Grade::Critical));
            assert!(rows[0].1.starts_with("tier b differs: digest 2"), "{rows:?}");
            assert!(rows[0].1.contains(there) && rows[0].1.contains("at y:1"), "{rows:?}");
        }
        let at = |target: &str| {
            Ok(json!([{"name": "a", "digest": "1", "ids": ["i"], "targets": [target]}]))
        };
        let rows = said(&[("http://x:1", &at("p:1")), ("http://y:1", &at("q:1"))]);
        assert_eq!(rows[0].1, "tier a: target i is at p:1 for x:1, at q:1 for y:1");
        let none = Ok(json!([{"name": "a", "digest": null, "names": "sorted"}]));
        let rows = said(&[("http://x:1", &none), ("http://y:1", &none)]);
        assert!(rows.len() == 1 && rows[0].0 == Some(Grade::Unknown), "{rows:?}");
        let rows = said(&[("http://x:1", &none), ("http://y:1", &third)]);
        assert!(rows[0].0 == Some(Grade::Critical) && rows[0].1.contains("no ring"), "{rows:?}");
        let strange = Ok(json!({}));
        let rows = said(&[("http://x:1", &strange), ("http://y:1", &strange)]);
        assert!(rows.len() == 1 && rows[0].0 == Some(Grade::Unknown), "{rows:?}");
        let silent = Err("no".to_owned());
        let rows = said(&[("http://x:1", &one), ("http://y:1", &silent)]);
        assert_eq!(rows[0].0, Some(Grade::Unknown));
        assert_eq!(rows.len(), 1, "{rows:?}");
    }
}
