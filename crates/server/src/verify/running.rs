//! Question 1: is it running?

use coco_checks::Grade;
use serde_json::Value;

use super::{
    args::Verify,
    configured,
    facts::Facts,
    log::{START_WITHIN, began},
    moment::{CLOCK_OFF_MAX, shown},
    row::{Question, Row, Rows},
};
use crate::{config::Config, ks::span};

/// Looks at the process, its probes, its listeners, and the configuration that it runs with.
pub(super) fn rows(
    args: &Verify,
    facts: &Facts,
    moment: Option<f64>,
    wanted: Option<&Result<Config, String>>,
) -> Vec<Row> {
    let mut rows = Rows::new(Question::Running, Some(&facts.url));
    process(args, facts, &mut rows);
    anew(facts, moment, &mut rows);
    for (check, answer) in [("livez", &facts.livez), ("readyz", &facts.readyz)] {
        probe(check, answer, &mut rows);
    }
    clock(facts, &mut rows);
    listeners(facts, &mut rows);
    drops(args, facts, moment, &mut rows);
    match wanted {
        None => {}
        Some(Err(why)) => rows.say("config", Grade::Unknown, why),
        Some(Ok(config)) => configured::say(facts, config, &mut rows),
    }
    rows.rows
}

fn process(args: &Verify, facts: &Facts, rows: &mut Rows<'_>) {
    let process = match &facts.vars {
        Ok(vars) => &vars["process"],
        Err(why) => return rows.say("process", Grade::Unknown, why),
    };
    let Some(version) = process["version"].as_str() else {
        let why = "/debug/vars has no `process`: is it a Coco, and as new as this one?";
        return rows.say("process", Grade::Unknown, why);
    };
    let number = |key: &str| process[key].as_u64().unwrap_or_default();
    let uptime = span(process["uptime"].as_f64().unwrap_or_default().floor());
    let upgraded = match number("upgrades") {
        0 => String::new(),
        count => format!(", upgraded {count} times"),
    };
    let text = format!("Coco {version}, process {}, up {uptime}{upgraded}", number("pid"));
    rows.say("process", Grade::Ok, text);
    match &args.expect_version {
        None => {}
        Some(wanted) if wanted == version => rows.say("version", Grade::Ok, version),
        Some(wanted) => {
            let text = format!(
                "another version: {version} runs, and not {wanted}; see which one was to be started"
            );
            rows.say("version", Grade::Critical, text);
        }
    }
}

/// Whether it began after the moment, and too late for the deploy itself: then nobody has asked for it.
fn anew(facts: &Facts, moment: Option<f64>, rows: &mut Rows<'_>) {
    let (Ok(vars), Ok(log), Some(moment)) = (&facts.vars, &facts.log, moment) else { return };
    let (Some(began), process) = (began(log), &vars["process"]) else { return };
    // One that took over from a process that leaves no log cannot tell.
    let is_first = process["upgrades"] == 0 || Some(began) < process["start_time"].as_f64();
    if is_first && began > moment + START_WITHIN {
        let text = format!(
            "it began anew at {}, {} after --since, and no upgrade did it; has it failed?",
            shown(began),
            span(began - moment)
        );
        rows.say("start", Grade::Warning, text);
    }
}

fn probe(check: &str, answer: &Result<(bool, Value), String>, rows: &mut Rows<'_>) {
    let (is_good, body) = match answer {
        Ok(answer) => answer,
        Err(why) => return rows.say(check, Grade::Unknown, why),
    };
    let reasons: Vec<_> = texts(&body["reasons"]).collect();
    match (is_good, body["ok"].as_bool()) {
        (true, Some(true)) => rows.say(check, Grade::Ok, "yes"),
        (true, _) => rows.say(check, Grade::Unknown, format!("200, but with no `ok`: {body}")),
        (false, _) if reasons.contains(&"draining") => {
            rows.say(
                check,
                Grade::Critical,
                "draining: it is about to stop, and takes nothing new",
            );
        }
        (false, _) => rows.say(check, Grade::Critical, format!("no: {}", reasons.join("; "))),
    }
}

/// Times are compared between machines.
fn clock(facts: &Facts, rows: &mut Rows<'_>) {
    let Some(now) = facts.log.as_ref().ok().and_then(|log| log["now"].as_f64()) else { return };
    let off = now - facts.asked_at;
    if off.abs() > CLOCK_OFF_MAX {
        let side = if off > 0.0 { "ahead of" } else { "behind" };
        let text =
            format!("{} {side} the clock here; see to both, times are compared", span(off.abs()));
        rows.say("clock", Grade::Warning, text);
    }
}

fn listeners(facts: &Facts, rows: &mut Rows<'_>) {
    let [Ok(before), later] = &facts.ledgers else {
        let why = facts.ledgers[0].as_ref().err().cloned().unwrap_or_default();
        return rows.say("listeners", Grade::Unknown, why);
    };
    if !before["listeners"].is_array() {
        let why = "/ledger has no list `listeners`: that is no ledger of a Coco";
        return rows.say("listeners", Grade::Unknown, why);
    }
    let in_force = in_force(before);
    if in_force.is_empty() {
        return rows.say("listeners", Grade::Critical, "none is bound: nothing can be received");
    }
    for listener in in_force {
        let name = name(listener);
        let count = |row: &Value, key: &str| row[key].as_u64().unwrap_or_default();
        let newer = later.as_ref().ok().and_then(|later| {
            let rows = later["listeners"].as_array()?;
            rows.iter().find(|row| row["removed"] != true && self::name(row) == name)
        });
        let newer = newer.unwrap_or(listener);
        let more = |key: &str| count(newer, key).saturating_sub(count(listener, key));
        let text = format!(
            "{} is bound, {} read",
            listener["address"].as_str().unwrap_or_default(),
            count(newer, "raw")
        );
        let protocol = listener["protocol"].as_str().unwrap_or_default();
        match more("kernel_dropped") {
            0 => rows.say(protocol, Grade::Ok, text),
            dropped => {
                let text =
                    format!("{text}; the kernel drops datagrams: {dropped} just now; {ADVICE}");
                rows.say(protocol, Grade::Warning, text);
            }
        }
    }
}

const ADVICE: &str = "raise receive_buffer, or net.core.rmem_max";

/// What the kernel has dropped since the moment, or in the window.
fn drops(args: &Verify, facts: &Facts, moment: Option<f64>, rows: &mut Rows<'_>) {
    let Ok(history) = &facts.history else { return };
    let numbers = |value: &Value| {
        value.as_array().into_iter().flatten().map(Value::as_f64).collect::<Vec<_>>()
    };
    let (times, resets) = (numbers(&history["times"]), numbers(&history["resets"]));
    let counts = numbers(&history["series"]["coco.listen.kernel_dropped"]);
    let window = args.window.0.as_secs_f64();
    let begin = times.last().copied().flatten().map_or(f64::NEG_INFINITY, |newest| newest - window);
    let from = moment.unwrap_or(begin);
    let (mut dropped, mut last) = (0.0, None);
    for (time, count) in times.iter().zip(&counts) {
        let (Some(time), Some(count)) = (*time, *count) else { continue };
        let (before, had) = last.unwrap_or((f64::NEG_INFINITY, count));
        // Each process counts from 0.
        let is_anew = resets.iter().flatten().any(|&reset| before < reset && reset <= time);
        if from < time {
            dropped += (count - if is_anew { 0.0 } else { had }).max(0.0);
        }
        last = Some((time, count));
    }
    if last.is_none() {
        rows.not_asked("kernel", "its history does not tell what the kernel drops");
    }
    if dropped > 0.0 {
        let since =
            moment.map_or_else(|| "in the window".to_owned(), |m| format!("since {}", shown(m)));
        let text = format!("{dropped:.0} datagrams were dropped {since}; {ADVICE}");
        rows.say("kernel", Grade::Warning, text);
    }
}

/// The listeners that are read.
pub(super) fn in_force(ledger: &Value) -> Vec<&Value> {
    let rows = ledger["listeners"].as_array().into_iter().flatten();
    rows.filter(|row| row["removed"] != true).collect()
}

/// Protocol and address.
pub(super) fn name(row: &Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    format!("{} {}", text("protocol"), text("address"))
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};

    pub(in crate::verify) fn args(line: &str) -> Verify {
        match Cli::try_parse_from(format!("coco verify {line}").trim().split(' ')).unwrap().command
        {
            Some(Command::Verify(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    pub(in crate::verify) fn ledger(address: &str, dropped: u32) -> Value {
        json!({"listeners": [{
            "protocol": "line-udp", "address": address, "removed": false, "raw": 7,
            "kernel_dropped": dropped,
        }]})
    }

    pub(in crate::verify) fn facts() -> Facts {
        let process = json!({"version": "2.0.0", "pid": 7, "uptime": 61.5, "upgrades": 0});
        let good = || Ok((true, json!({"ok": true, "reasons": []})));
        Facts {
            vars: Ok(json!({"process": process})),
            livez: good(),
            readyz: good(),
            ledgers: [Ok(ledger("127.0.0.1:2003", 1)), Ok(ledger("127.0.0.1:2003", 1))],
            ..Facts::none("http://a:1")
        }
    }

    pub(in crate::verify) fn said(
        line: &str,
        facts: &Facts,
        wanted: Option<&str>,
    ) -> Vec<(Grade, String)> {
        let wanted = wanted.map(|text| Config::parse(text, "f").map_err(|error| error.to_string()));
        let rows = rows(&args(line), facts, Some(50.0), wanted.as_ref()).into_iter();
        rows.map(|row| (row.grade.unwrap(), format!("{}: {}", row.check, row.text))).collect()
    }

    pub(in crate::verify) fn worst(rows: &[(Grade, String)]) -> &(Grade, String) {
        rows.iter().max_by_key(|(grade, _)| *grade).unwrap()
    }

    #[test]
    fn a_good_process_is_good_and_an_old_one_is_not() {
        let rows = said("", &facts(), None);
        assert!(rows.iter().all(|(grade, _)| *grade == Grade::Ok), "{rows:?}");
        assert_eq!(rows[0].1, "process: Coco 2.0.0, process 7, up 1m1s");
        assert_eq!(worst(&said("--expect-version 2.0.0", &facts(), None)).0, Grade::Ok);
        let old = said("--expect-version 2.0.1", &facts(), None);
        let wrong = "another version: 2.0.0 runs, and not 2.0.1";
        assert!(worst(&old).0 == Grade::Critical && worst(&old).1.contains(wrong));
        // After a rollback it is the newer one.
        let new = said("--expect-version 1.9", &facts(), None);
        assert!(worst(&new).1.contains("another version: 2.0.0 runs, and not 1.9"), "{new:?}");
    }

    #[test]
    fn a_process_that_began_anew_without_an_upgrade_is_warned_of() {
        // The moment is 50.
        for (began, start, upgrades, is_warned) in [
            (40.0, 40, 0, false),
            (60.0, 60, 0, false),
            (200.0, 200, 0, true),
            (200.0, 300, 1, true),
            (40.0, 300, 1, false),
            (300.0, 300, 1, false),
        ] {
            let process = json!({"version": "2.0.0", "upgrades": upgrades, "start_time": start});
            let log = json!({"now": 0.0, "began": began, "process": process});
            let vars = Ok(json!({"process": process}));
            let rows = said("", &Facts { vars, log: Ok(log), ..facts() }, None);
            let (grade, text) = worst(&rows);
            assert_eq!(*grade == Grade::Warning, is_warned, "{rows:?}");
            assert_eq!(text.contains("2m30s after --since, and no upgrade"), is_warned, "{text}");
        }
    }

    #[test]
    fn drops_before_the_window_do_not_count() {
        let series = json!({"coco.listen.kernel_dropped": [3, 4, 4]});
        let history = Ok(json!({"times": [40, 50, 60], "series": series}));
        let facts = Facts { history, ..facts() };
        for (line, is_warned) in [("--window 15s", true), ("--window 5s", false)] {
            let rows = rows(&args(line), &facts, None, None);
            assert_eq!(rows.iter().any(|row| row.grade == Some(Grade::Warning)), is_warned);
        }
    }

    #[test]
    fn probes_and_drops_are_judged() {
        let answers = |ok: bool, reason: &str| Ok((ok, json!({"ok": ok, "reasons": [reason]})));
        for (answer, grade, text) in [
            (answers(false, "draining"), Grade::Critical, "readyz: draining: it is about to stop"),
            (
                answers(false, "a shard was last heard 11 s ago"),
                Grade::Critical,
                "readyz: no: a shard",
            ),
            (Ok((true, json!({}))), Grade::Unknown, "readyz: 200, but"),
            (Err("timeout".to_owned()), Grade::Unknown, "readyz: timeout"),
        ] {
            let rows = said("", &Facts { readyz: answer, ..facts() }, None);
            let (came, words) = worst(&rows);
            assert!(*came == grade && words.starts_with(text), "{words}");
        }
        let dropping = [Ok(ledger("127.0.0.1:2003", 1)), Ok(ledger("127.0.0.1:2003", 5))];
        let rows = said("", &Facts { ledgers: dropping, ..facts() }, None);
        assert!(
            worst(&rows).0 == Grade::Warning && worst(&rows).1.contains("4 just now"),
            "{rows:?}"
        );
        for (counts, resets, is_warned) in [
            ([3, 3, 3], json!([]), false),
            ([0, 3, 3], json!([]), false),
            ([3, 3, 4], json!([]), true),
            ([3, 3, 1], json!([55.5]), true),
            ([3, 3, 0], json!([55.5]), false),
            ([3, 1, 1], json!([45.5]), false),
            ([3, 3, 1], json!([]), false),
        ] {
            let series = json!({"coco.listen.kernel_dropped": counts});
            let history = Ok(json!({"times": [40, 50, 60], "resets": resets, "series": series}));
            let rows = said("", &Facts { history, ..facts() }, None);
            let is_said = worst(&rows).1.starts_with("kernel: 1 datagrams were dropped since 1970");
            assert_eq!(is_said, is_warned, "{rows:?}");
        }
        let none = Ok(json!({"listeners": []}));
        let rows = said("", &Facts { ledgers: [none.clone(), none], ..facts() }, None);
        assert_eq!(worst(&rows).0, Grade::Critical);
        let log = Ok(json!({"now": 90.0}));
        let rows = said("", &Facts { log, asked_at: 60.0, ..facts() }, None);
        assert!(worst(&rows).1.starts_with("clock: 30s ahead of"), "{rows:?}");
    }
}
