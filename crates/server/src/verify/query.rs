//! Question 2: does a simple query work?

use std::collections::BTreeMap;

use coco_checks::Grade;
use serde_json::Value;

use super::{
    ask::Asked,
    canary::{Listener, NAME},
    facts::Facts,
    row::{Question, Row, Rows, short},
    send::Unsent,
    standing,
};

/// Looks at the owners of the probe name and at the canaries of one router.
pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = Rows::new(Question::Query, Some(&facts.url));
    lookup(facts, &mut rows);
    standing::say(facts, &mut rows);
    match &facts.canary {
        None => rows.not_asked("canary", "switched off by --no-canary"),
        Some(Err(why)) => rows.say("canary", Grade::Unknown, no_canary(why)),
        Some(Ok(canary)) => canary.listeners.iter().for_each(|one| listener(one, &mut rows)),
    }
    rows.rows
}

fn no_canary(why: &str) -> String {
    if why.contains("answered 404") {
        return format!("it knows no canary, so it is an older Coco ({why})");
    }
    why.to_owned()
}

fn lookup(facts: &Facts, rows: &mut Rows<'_>) {
    let nobody = Err(String::new());
    let owners = facts.owners.get(NAME).unwrap_or(&nobody);
    let (tiers, owners) = match (&facts.tiers, owners) {
        (Ok(tiers), Ok(owners)) => (tiers, owners),
        (Err(why), _) | (_, Err(why)) => return rows.say("lookup", Grade::Unknown, why),
    };
    let names: Vec<&str> = names(tiers).collect();
    let owner = |tier: &&str| owners[*tier].as_str().filter(|owner| !owner.is_empty());
    let without: Vec<&str> = names.iter().filter(|tier| owner(tier).is_none()).copied().collect();
    if names.is_empty() {
        let why = "/tiers has no tier: that is no answer of a Coco";
        return rows.say("lookup", Grade::Unknown, why);
    }
    if !without.is_empty() {
        let text = format!("{NAME} has no owner in {}: that tier has no ring", without.join(", "));
        return rows.say("lookup", Grade::Critical, text);
    }
    let pairs = names.iter().filter_map(|tier| Some(format!("{tier} → {}", owner(tier)?)));
    rows.say("lookup", Grade::Ok, format!("{NAME}: {}", pairs.collect::<Vec<_>>().join(", ")));
}

fn names(tiers: &Value) -> impl Iterator<Item = &str> {
    tiers.as_array().into_iter().flatten().filter_map(|tier| tier["name"].as_str())
}

/// One row of what became of the canary of a listener.
fn listener(listener: &Listener, rows: &mut Rows<'_>) {
    let (grade, text) = judge(listener);
    let check = format!("canary {}", listener.protocol);
    rows.say(&check, grade, format!("{}: {text}", listener.address));
}

fn judge(listener: &Listener) -> (Grade, String) {
    if let Some(seen) = listener.seen.iter().find(|seen| seen.tier.is_none()) {
        return without_owner(&seen.fate);
    }
    if let Some(Unsent { grade, text, .. }) = &listener.error {
        return (*grade, text.clone());
    }
    if listener.due.is_empty() {
        return (Grade::Warning, "no tier carries what comes here: it is lost".to_owned());
    }
    if listener.seen.is_empty() {
        let text = "lost: it was sent again and again, and never seen; is this listener read?";
        return (Grade::Critical, text.to_owned());
    }
    let strange = listener.seen.iter().filter_map(|seen| {
        let (tier, target) = (seen.tier.as_deref()?, seen.target.as_deref()?);
        let is_due = listener
            .due
            .iter()
            .any(|(due, targets)| due == tier && targets.iter().any(|owner| owner == target));
        (!is_due).then(|| format!("{tier}: it went to {target}, which is not its owner"))
    });
    let mut wrong: Vec<String> = strange.collect();
    let mut right = Vec::new();
    for (tier, targets) in &listener.due {
        for target in targets {
            match bad_fate(listener.fate(tier, target)) {
                None => right.push(format!("{tier} → {target}")),
                Some(why) => wrong.push(format!("{tier}: {target} {why}")),
            }
        }
    }
    if wrong.is_empty() {
        return (Grade::Ok, format!("sent to {}", right.join(", ")));
    }
    (Grade::Critical, wrong.join("; "))
}

/// What a fate means, unless it is good.
fn bad_fate(fate: Option<&str>) -> Option<String> {
    let why = match fate {
        Some("sent") => return None,
        Some("held") => "does not take it, and it is held: is the target down?",
        Some("on_disk") => "does not take it, and it went to disk: the target is down",
        Some("shed") => "was to get it, and it was given up: see /ledger for the reason",
        Some(other) => return Some(format!("has it as `{other}`, which is not known here")),
        None => "never got it",
    };
    Some(why.to_owned())
}

fn without_owner(fate: &str) -> (Grade, String) {
    match fate {
        "filtered" => (Grade::Unknown, format!("the filter takes out {NAME}: let it pass")),
        "unroutable" => (Grade::Warning, "no tier carries what comes here: it is lost".to_owned()),
        other => (Grade::Critical, format!("it was taken as {other}")),
    }
}

/// What decides where a sample goes must be alike in all routers.
pub(super) fn rings(all: &[(&str, &Asked)]) -> Vec<Row> {
    let mut rows = Rows::new(Question::Query, None);
    let known: Vec<(&str, &Value)> =
        all.iter().filter_map(|(url, tiers)| Some((short(url), tiers.as_ref().ok()?))).collect();
    if all.len() < 2 {
        rows.not_asked("rings agree", "there is one router: name more of them to compare");
        return rows.rows;
    }
    if known.len() < all.len() {
        let why = format!("only {} of {} routers told their tiers", known.len(), all.len());
        rows.say("rings agree", Grade::Unknown, why);
    }
    // Tier by tier: each placement, and who has it.
    let mut tiers: BTreeMap<&str, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    for tier in known.iter().flat_map(|(_, tiers)| names(tiers)) {
        let of_tier = tiers.entry(tier).or_default();
        if of_tier.is_empty() {
            for (url, tiers) in &known {
                of_tier.entry(placement(tiers, tier)).or_default().push(url);
            }
        }
    }
    if tiers.is_empty() && known.len() == all.len() {
        rows.say("rings agree", Grade::Unknown, "no router has told of a tier");
    }
    let mut agree = Vec::new();
    for (tier, placements) in tiers.iter().filter(|(_, placements)| placements.len() == 1) {
        if placements.keys().any(|what| what.starts_with(NO_RING)) {
            let text = format!("tier {tier} has no ring at any router: nothing to compare");
            rows.say("rings agree", Grade::Unknown, text);
            continue;
        }
        match elsewhere(&known, tier) {
            None => agree.push(*tier),
            Some(text) => rows.say("rings agree", Grade::Critical, text),
        }
    }
    for (tier, placements) in tiers.iter().filter(|(_, placements)| placements.len() > 1) {
        let who = placements.iter().map(|(what, urls)| format!("{what} at {}", urls.join(", ")));
        let who = who.collect::<Vec<_>>().join("; ");
        let text = format!("tier {tier} differs: {who}; the same series goes to different targets");
        rows.say("rings agree", Grade::Critical, text);
    }
    if !agree.is_empty() && agree.len() == tiers.len() && known.len() > 1 {
        let text = format!("{} routers place alike in {}", known.len(), agree.join(", "));
        rows.say("rings agree", Grade::Ok, text);
    }
    rows.rows
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
    use crate::verify::canary::Seen;

    fn seen(tier: Option<&str>, target: Option<&str>, fate: &str) -> Seen {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Seen { tier: text(tier), target: text(target), fate: fate.to_owned() }
    }

    #[test]
    fn a_fate_has_a_grade_and_a_word() {
        let due = vec![("t".to_owned(), vec!["a".to_owned(), "b".to_owned()])];
        let ok = |target| seen(Some("t"), Some(target), "sent");
        for (found, grade, said) in [
            (vec![ok("a"), ok("b")], Grade::Ok, "sent to t → a, t → b"),
            (vec![], Grade::Critical, "lost: "),
            (vec![ok("a")], Grade::Critical, "t: b never got it"),
            (
                vec![ok("a"), seen(Some("t"), Some("b"), "held")],
                Grade::Critical,
                "t: b does not take",
            ),
            (
                vec![ok("a"), seen(Some("t"), Some("b"), "on_disk")],
                Grade::Critical,
                "the target is down",
            ),
            (vec![ok("a"), seen(Some("t"), Some("b"), "shed")], Grade::Critical, "given up"),
            (vec![ok("a"), ok("b"), ok("c")], Grade::Critical, "t: it went to c, which is not"),
            (vec![seen(None, None, "filtered")], Grade::Unknown, "the filter takes out"),
            (vec![seen(None, None, "unroutable")], Grade::Warning, "no tier carries"),
            (vec![seen(None, None, "malformed")], Grade::Critical, "it was taken as malformed"),
        ] {
            let one = Listener { due: due.clone(), seen: found, ..Listener::default() };
            let (came, text) = judge(&one);
            assert!(came == grade && text.contains(said), "{one:?}: {came} {text}");
        }
        let refused =
            Unsent { grade: Grade::Critical, text: "refused".to_owned(), is_final: false };
        let closed = Listener { error: Some(refused), due, ..Listener::default() };
        assert_eq!(judge(&closed), (Grade::Critical, "refused".to_owned()));
    }

    #[test]
    fn routers_that_place_otherwise_are_named() {
        let tier =
            |name: &str, digest: &str| json!({"name": name, "digest": digest, "names": "sorted"});
        let one = Ok(json!([tier("a", "1"), tier("b", "2")]));
        let other = Ok(json!([tier("a", "1"), tier("b", "3")]));
        let third = Ok(json!([tier("a", "1")]));
        let said = |all: &[(&str, &Asked)]| {
            let rows = rings(all).into_iter().map(|row| (row.grade, row.text));
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
