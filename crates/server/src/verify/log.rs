//! Question 3: are there bad log messages?

use coco_checks::Grade;
use serde_json::Value;

use super::{
    args::Verify,
    facts::Facts,
    moment,
    row::{Question, Row, Rows},
};
use crate::ks::span;

/// Messages that come with a start, an upgrade or a reload, and tell nothing about the new version.
const EXPECTED: &[&str] = &[
    "the kernel grants a smaller receive buffer; raise net.core.rmem_max",
    "worth knowing about the configuration",
    "this listener is not here any more: its clients are closed",
    "handing over first, which takes some seconds; once more ends at once",
    "SIGUSR2 is ignored: an upgrade is under way",
];

/// A process may begin so many seconds after the moment of the deploy that began it.
pub(super) const START_WITHIN: f64 = 120.0;

/// Kinds that get a row of their own.
const KINDS_MAX: usize = 20;

/// Looks at what one router has logged since the moment, or since its start.
pub(super) fn rows(args: &Verify, facts: &Facts, moment: Option<f64>) -> Vec<Row> {
    let mut rows = Rows::new(Question::Log, Some(&facts.url));
    match &facts.log {
        Ok(log) => {
            judge(log, &args.expect, moment, &mut rows);
            absent(log, &args.expect, &mut rows);
        }
        Err(why) if why.contains("answered 404") => {
            let text = format!("it does not show its log, so it is an older Coco ({why})");
            rows.say("log", Grade::Unknown, text);
        }
        Err(why) => rows.say("log", Grade::Unknown, why),
    }
    rows.rows
}

fn judge(log: &Value, expected: &[String], moment: Option<f64>, rows: &mut Rows<'_>) {
    let (Some(kinds), Some(now)) = (log["kinds"].as_array(), log["now"].as_f64()) else {
        let why = "/debug/log has no list `kinds` and no `now`: that is no log of a Coco";
        return rows.say("log", Grade::Unknown, why);
    };
    let since = match (moment, began(log)) {
        (Some(moment), Some(began)) if began <= moment => moment::shown(moment),
        (Some(moment), Some(began)) => format!(
            "its start, {} after --since; what the process before it logged is not seen",
            span(began - moment)
        ),
        _ => "its start".to_owned(),
    };
    if let Some(gap) = gap(log, moment) {
        rows.say("log", Grade::Unknown, gap);
    }
    if kinds.is_empty() {
        return rows.say("log", Grade::Ok, format!("no warnings and no errors since {since}"));
    }
    let mut kinds: Vec<&Value> = kinds.iter().collect();
    // Errors first, and then by their number.
    let count = |kind: &Value| kind["count"].as_u64().unwrap_or_default();
    kinds.sort_by_key(|kind| (kind["level"] != "error", u64::MAX - count(kind)));
    for kind in kinds.iter().take(KINDS_MAX) {
        let name = kind["kind"].as_str().unwrap_or_default();
        let (level, times) = (kind["level"].as_str().unwrap_or_default(), count(kind));
        let ago = kind["last"].as_f64().map_or_else(String::new, |last| {
            format!(", last {} ago", span((now - last).max(0.0).floor()))
        });
        let is_expected = EXPECTED.contains(&name) || expected.iter().any(|kind| kind == name);
        let (grade, note) = match (is_expected, level) {
            (true, _) => (Grade::Ok, "; it is expected"),
            (false, "warn") => (Grade::Warning, ""),
            (false, _) => (Grade::Critical, ""),
        };
        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        let newest = newest(log, name).map(|line| format!(": {line}")).unwrap_or_default();
        rows.say(level, grade, format!("`{name}` {times}{ago}{note}{newest}"));
    }
    if let Some(rest) = kinds.get(KINDS_MAX..).filter(|rest| !rest.is_empty()) {
        let has_errors = rest.iter().any(|kind| kind["level"] == "error");
        let grade = if has_errors { Grade::Critical } else { Grade::Warning };
        rows.say("log", grade, format!("{} more kinds of messages; see /debug/log", rest.len()));
    }
}

/// The fields of the newest line of a kind.
fn newest(log: &Value, kind: &str) -> Option<String> {
    let lines = log["lines"].as_array()?;
    let line = lines.iter().rev().find(|line| line["kind"] == kind)?["text"].as_str()?;
    let fields = line.strip_prefix(kind).unwrap_or(line).trim();
    let short: String = fields.chars().take(LINE_CHARS_MAX).collect();
    (!short.is_empty()).then_some(short)
}

const LINE_CHARS_MAX: usize = 160;

/// Says what was expected and did not come: it may be misspelt, or not happen any more.
fn absent(log: &Value, expected: &[String], rows: &mut Rows<'_>) {
    let Some(kinds) = log["kinds"].as_array() else { return };
    let is_absent = |kind: &&String| !kinds.iter().any(|known| known["kind"] == **kind);
    for kind in expected.iter().filter(is_absent) {
        rows.say("log", Grade::Ok, format!("`{kind}` is expected, and did not come"));
    }
}

/// When the process began, or the first of those that have handed over: each leaves to the next what it logged.
pub(super) fn began(log: &Value) -> Option<f64> {
    log["began"].as_f64().or(log["process"]["start_time"].as_f64())
}

/// What is missing of the time that was asked for.
fn gap(log: &Value, moment: Option<f64>) -> Option<String> {
    let began = began(log);
    if let (Some(moment), Some(began)) = (moment, began)
        && began > moment + START_WITHIN
    {
        let (after, when) = (span(began - moment), moment::shown(began));
        return Some(format!(
            "this process began at {when}, {after} after --since: what was logged until then is gone"
        ));
    }
    let overwritten = log["overwritten"].as_u64().unwrap_or_default();
    let oldest = log["oldest"].as_f64()?;
    let from = moment.or(log["process"]["start_time"].as_f64()).unwrap_or(f64::NEG_INFINITY);
    (overwritten > 0 && oldest > from).then(|| {
        let oldest = moment::shown(oldest);
        format!(
            "{overwritten} lines were overwritten: those before {oldest} are gone, see the journal"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(log: &Value, moment: Option<f64>) -> Vec<(Grade, String)> {
        let mut rows = Rows::new(Question::Log, None);
        judge(log, &["known".to_owned()], moment, &mut rows);
        rows.rows.into_iter().map(|row| (row.grade.unwrap(), row.text)).collect()
    }

    fn log(kinds: &Value) -> Value {
        json!({
            "now": 1_000.0, "process": {"pid": 1, "start_time": 900}, "kept": 2, "oldest": 950.0,
            "overwritten": 0, "kinds": kinds,
            "lines": [
                {"time": 1, "level": "warn", "kind": "down", "text": "down tier=a target=\"x\ny\""},
                {"time": 2, "level": "warn", "kind": "down", "text": "down tier=b target=z"},
            ],
        })
    }

    #[test]
    fn errors_are_critical_and_what_is_expected_is_good() {
        let kind = |kind: &str, level: &str| json!({"kind": kind, "level": level, "count": 3, "first": 940.0, "last": 990.0});
        let kinds = json!([
            kind("down", "warn"),
            kind("known", "error"),
            kind("lost", "error"),
            kind(EXPECTED[0], "warn"),
        ]);
        let rows = said(&log(&kinds), None);
        let grades: Vec<_> = rows.iter().map(|(grade, _)| *grade).collect();
        assert_eq!(grades, [Grade::Ok, Grade::Critical, Grade::Warning, Grade::Ok], "{rows:?}");
        assert_eq!(rows[2].1, "`down` 3 times, last 10s ago: tier=b target=z");
        assert_eq!(rows[0].1, "`known` 3 times, last 10s ago; it is expected");
        let many: Vec<_> = (0..25).map(|k| kind(&format!("k{k}"), "warn")).collect();
        let rows = said(&log(&json!(many)), None);
        assert_eq!(rows.len(), 21);
        assert!(rows[20].1.starts_with("5 more kinds"), "{rows:?}");
    }

    #[test]
    fn what_is_expected_and_does_not_come_is_told() {
        let log = log(&json!([{"kind": "known", "level": "warn", "count": 1}]));
        let mut rows = Rows::new(Question::Log, None);
        absent(&log, &["known", "knwon"].map(str::to_owned), &mut rows);
        let said: Vec<_> = rows.rows.iter().map(|row| (row.grade, row.text.as_str())).collect();
        assert_eq!(said, [(Some(Grade::Ok), "`knwon` is expected, and did not come")]);
    }

    #[test]
    fn a_process_that_took_over_has_the_log_of_those_before_it() {
        let mut log = log(&json!([]));
        log["began"] = json!(100.0);
        let rows = said(&log, Some(700.0));
        assert!(rows.len() == 1 && rows[0].0 == Grade::Ok, "{rows:?}");
        assert_eq!(rows[0].1, "no warnings and no errors since 1970-01-01T00:11:40Z");
        // One that began by itself has nothing of what was before.
        log["began"] = json!(900.0);
        let rows = said(&log, Some(890.0));
        assert_eq!(rows[0].0, Grade::Ok);
        assert!(rows[0].1.contains("10s after --since; what the process before it"), "{rows:?}");
        assert_eq!(said(&log, Some(700.0))[0].0, Grade::Unknown);
    }

    #[test]
    fn what_cannot_be_seen_is_unknown() {
        let none = log(&json!([]));
        let good = vec![(Grade::Ok, "no warnings and no errors since its start".to_owned())];
        assert_eq!(said(&none, None), good);
        // The process that a deploy began has the log of that deploy.
        assert_eq!(said(&none, Some(890.0))[0].0, Grade::Ok);
        let gone = said(&none, Some(700.0));
        assert!(gone[0].0 == Grade::Unknown && gone[0].1.contains("3m20s after"), "{gone:?}");
        let mut over = none;
        over["overwritten"] = json!(7);
        for (moment, grade) in
            [(None, Grade::Unknown), (Some(940.0), Grade::Unknown), (Some(960.0), Grade::Ok)]
        {
            let rows = said(&over, moment);
            assert_eq!(rows[0].0, grade, "{rows:?}");
        }
        for strange in [json!({}), json!([]), json!({"kinds": []}), json!({"kinds": 1, "now": 1})] {
            assert_eq!(said(&strange, None)[0].0, Grade::Unknown);
        }
    }
}
