//! How the targets of a router stand: the canary meets only one in each tier.

use coco_checks::Grade;
use serde_json::Value;

use super::{
    facts::Facts,
    row::{Rows, counted},
};
use crate::ks::span;

/// A target that is not connected for so many seconds does not just begin.
const CONNECTING_MAX: f64 = 3.0;

/// Targets that get a row of their own.
const TARGETS_MAX: usize = 10;

/// Says which targets do not take what falls to them.
pub(super) fn say(facts: &Facts, rows: &mut Rows<'_>) {
    let [first, later] = &facts.ledgers;
    let ledger = match later.as_ref().or(first.as_ref()) {
        Ok(ledger) => ledger,
        Err(why) => return rows.say("targets", Grade::Unknown, why),
    };
    let Some(tiers) = ledger["tiers"].as_array() else {
        let why = "/ledger has no list `tiers`: that is no ledger of a Coco";
        return rows.say("targets", Grade::Unknown, why);
    };
    let tiers = tiers.iter().filter(|tier| tier["removed"] != true);
    let all: Vec<(&Value, &Value)> = tiers
        .flat_map(|tier| {
            tier["targets"].as_array().into_iter().flatten().map(|target| (&tier["name"], target))
        })
        .filter(|(_, target)| target["state"] != "removed")
        .collect();
    if all.is_empty() {
        let why = "no tier has a target: nothing can be delivered";
        return rows.say("targets", Grade::Critical, why);
    }
    let bad: Vec<_> = all.iter().filter_map(|(tier, target)| trouble(tier, target)).collect();
    for (grade, text) in bad.iter().take(TARGETS_MAX) {
        rows.say("target", *grade, text);
    }
    if bad.len() > TARGETS_MAX {
        let text = format!("{} more of {} are in trouble", bad.len() - TARGETS_MAX, all.len());
        rows.say("target", Grade::Critical, text);
    }
    if bad.is_empty() {
        let text = format!("{} in all tiers: none is down", counted(all.len(), "target"));
        rows.say("targets", Grade::Ok, text);
    }
}

fn trouble(tier: &Value, target: &Value) -> Option<(Grade, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let since = target["state_since"].as_f64().unwrap_or_default();
    let (grade, what) = match target["state"].as_str() {
        Some("up" | "unknown") => return None,
        Some("down") => (Grade::Critical, "is down; what falls to it is held"),
        Some("loop") => (Grade::Critical, "is this router: what it is sent comes back"),
        Some("connecting") if since >= CONNECTING_MAX => {
            (Grade::Critical, "takes no connection; what falls to it is held")
        }
        Some("connecting") => (Grade::Warning, "is not connected yet; ask again"),
        Some("suspect") => (Grade::Warning, "has refused or missed a probe; ask again"),
        _ => (Grade::Unknown, "has a state that is not known here"),
    };
    let (tier, target) = (text(tier), text(&target["target"]));
    Some((grade, format!("{tier}: {target} {what} (for {})", span(since))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::row::Question;

    #[test]
    fn who_does_not_take_samples_is_named() {
        let said = |targets: Value| {
            let tiers = json!([
                {"name": "t", "removed": false, "targets": targets},
                {"name": "old", "removed": true, "targets": [{"target": "z", "state": "down"}]},
            ]);
            let ledger = || Ok(json!({ "tiers": tiers }));
            let facts = Facts { ledgers: [ledger(), ledger()], ..Facts::none("http://a:1") };
            let mut rows = Rows::new(Question::Query, None);
            say(&facts, &mut rows);
            rows.rows.into_iter().map(|row| (row.grade.unwrap(), row.text)).collect::<Vec<_>>()
        };
        let target = |state: &str, since: u32| json!({"target": "a:1", "state": state, "state_since": since});
        for (state, since, grade, text) in [
            ("up", 0, Grade::Ok, "1 target in all tiers"),
            ("unknown", 0, Grade::Ok, "1 target in all tiers"),
            ("removed", 0, Grade::Critical, "no tier has a target: nothing"),
            ("connecting", 2, Grade::Warning, "t: a:1 is not connected yet"),
            ("connecting", 75, Grade::Critical, "t: a:1 takes no connection"),
            ("suspect", 0, Grade::Warning, "t: a:1 has refused"),
            ("down", 0, Grade::Critical, "t: a:1 is down"),
            ("loop", 0, Grade::Critical, "t: a:1 is this router"),
            ("odd", 0, Grade::Unknown, "t: a:1 has a state"),
        ] {
            let rows = said(json!([target(state, since)]));
            assert!(
                rows.len() == 1 && rows[0].0 == grade && rows[0].1.starts_with(text),
                "{rows:?}"
            );
        }
        let many: Vec<_> = (0..12).map(|_| target("down", 3)).collect();
        let rows = said(json!(many));
        assert!(rows.len() == 11 && rows[10].1 == "2 more of 12 are in trouble", "{rows:?}");
    }
}
