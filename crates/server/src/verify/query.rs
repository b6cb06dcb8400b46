//! Question 2: does a simple query work?

use super::{
    canary::{Listener, NAME},
    facts::Facts,
    rings,
    row::{Question, Row, Rows},
    send::Unsent,
    standing,
};
use coco_checks::Grade;

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
    let names: Vec<&str> = rings::names(tiers).collect();
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

#[cfg(test)]
mod tests {
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
}
