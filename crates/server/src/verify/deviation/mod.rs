//! Question 4: do the metrics deviate?
//!
//! Rates are compared as `coco ks` does it, around a moment or by halves; rules on levels stand beside it,
//! as a comparison forgets.

mod judged;

use std::collections::BTreeSet;

use coco_checks::Grade;
use serde_json::Value;

use self::judged::{Judged, Times};
use super::{
    args::Verify,
    facts::Facts,
    row::{Question, Row, Rows},
    saved::Saved,
};
use crate::ks::{Data, Findings, Scope, What, history};

/// What is compared.
const LOOKED_AT: [What; 3] = [What::Send, What::Errors, What::Shed];

/// The numbers of one router.
#[derive(Debug)]
pub(super) struct Numbers {
    url: String,
    /// For each of [`LOOKED_AT`].
    data: Result<Vec<Data>, String>,
    /// What the ledger does not explain, before the canary and after it.
    residuals: Result<[i64; 2], String>,
    before: Before,
}

/// What `--before` gave for a router.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Before {
    NotGiven,
    /// Others only.
    Lacking,
    /// It is in front of what is judged.
    Joined,
}

impl Numbers {
    /// Reads them, with what was saved in front.
    pub(super) fn read(args: &Verify, facts: &Facts, saved: Option<&Saved>) -> Self {
        let old = saved.and_then(|saved| saved.of_router(&facts.url));
        let before = match (saved, old) {
            (None, _) => Before::NotGiven,
            (Some(_), None) => Before::Lacking,
            (Some(_), Some(_)) => Before::Joined,
        };
        let read = |json: &Value| {
            let data = |what: What| {
                history::data(json, what, &args.ks(what).options).map_err(|e| format!("{e:#}"))
            };
            LOOKED_AT.into_iter().map(data).collect::<Result<Vec<_>, String>>()
        };
        let data = facts.history.as_ref().map_err(Clone::clone).and_then(read);
        let old = old.map(read).transpose();
        let data = match (data, old) {
            (Ok(mut data), Ok(Some(old))) => {
                data.iter_mut().zip(&old).for_each(|(new, old)| new.join(old));
                Ok(data)
            }
            (Ok(_), Err(why)) => Err(format!("--before: {why}")),
            (data, _) => data,
        };
        let residual = |ledger: &Result<Value, String>| {
            let ledger = ledger.as_ref().map_err(Clone::clone)?;
            ledger["residual"].as_i64().ok_or_else(|| "/ledger has no `residual`".to_owned())
        };
        let [first, second] = &facts.ledgers;
        let residuals = residual(first).and_then(|first| Ok([first, residual(second)?]));
        Self { url: facts.url.clone(), data, residuals, before }
    }

    /// How many series are tested.
    pub(super) fn tested(&self) -> usize {
        self.data.iter().flatten().map(|data| data.series.len()).sum()
    }

    /// Judges them.
    pub(super) fn rows(self, args: &Verify, scope: Scope) -> Vec<Row> {
        let mut rows = Rows::new(Question::Deviation, Some(&self.url));
        ledger(&self.residuals, &mut rows);
        if self.before == Before::Lacking {
            let why = "--before has no numbers of this router: was it saved by the same URL?";
            rows.say("before", Grade::Unknown, why);
        }
        let all = match self.data {
            Ok(all) => all,
            Err(why) => {
                rows.say("history", Grade::Unknown, why);
                return rows.rows;
            }
        };
        let window = args.window.0.as_secs_f64();
        let judged = LOOKED_AT.into_iter().zip(all).map(|(what, data)| {
            let window = window.min(data.kept.unwrap_or(window));
            let times = Times { interval: data.interval, window };
            // The ledger itself was asked, and again.
            let data = Data { residual: Vec::new(), ..data };
            let findings = Findings::within(&args.ks(what), data, scope);
            Judged { what, scope, times, before: self.before, findings }
        });
        let judged: Vec<Judged> = judged.collect();
        judged.iter().for_each(|judged| judged.say(&mut rows));
        too_short(&judged, &mut rows);
        // A silent target is found beside each kind of series.
        let mut said = BTreeSet::new();
        rows.rows.retain(|row| said.insert(row.text.clone()));
        rows.rows
    }
}

fn ledger(residuals: &Result<[i64; 2], String>, rows: &mut Rows<'_>) {
    match residuals {
        Err(why) => rows.say("ledger", Grade::Unknown, why),
        Ok([_, 0]) => rows.say("ledger", Grade::Ok, "residual 0: each sample has its fate"),
        Ok([_, residual]) => {
            let text = format!("residual {residual}: Coco lost count, which is a fault of it");
            rows.say("ledger", Grade::Critical, text);
        }
    }
}

/// Says once how much too little there is, where it is least.
fn too_short(judged: &[Judged], rows: &mut Rows<'_>) {
    let all = || judged.iter().flat_map(|judged| judged.short().map(move |few| (judged, few)));
    if let Some((judged, few)) = all().min_by_key(|(_, few)| few.n1.min(few.n2)) {
        let text = judged.too_short(few, all().count());
        rows.say("history", Grade::Unknown, text);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(line: &str) -> Verify {
        let words = ["coco", "verify"].into_iter().chain(line.split(' ').filter(|w| !w.is_empty()));
        match Cli::try_parse_from(words).unwrap().command {
            Some(Command::Verify(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    /// A history of readings 10 s apart from `start` to 1200 s, all of one incarnation.
    fn history(start: u32, send: fn(u32) -> u32, shed: fn(u32) -> u32) -> Value {
        let times: Vec<u32> = (start / 10..=120).map(|k| k * 10).collect();
        let column = |rate: &dyn Fn(u32) -> u32| {
            let mut sum = 0;
            let sums = times.iter().map(|time| {
                sum += rate(*time);
                sum
            });
            sums.collect::<Vec<_>>()
        };
        let zeros = column(&|_| 0);
        json!({
            "interval": 10, "incarnation": start, "start_time": start, "now": 1201.0, "times": times,
            "series": {
                "coco.send.a:1": column(&send), "coco.ledger.t.a:1.offered": column(&send),
                "coco.ledger.t.a:1.shed_queue_full": column(&shed),
                "coco.ledger.t.a:1.shed_loop": zeros,
                "coco.errors.send.write": zeros, "coco.ledger.residual": zeros,
            },
        })
    }

    fn said(
        line: &str,
        history: Value,
        saved: Option<&Saved>,
        moment: f64,
    ) -> Vec<(Option<Grade>, String)> {
        rows_of(line, history, saved, Some(moment))
    }

    fn rows_of(
        line: &str,
        history: Value,
        saved: Option<&Saved>,
        moment: Option<f64>,
    ) -> Vec<(Option<Grade>, String)> {
        let args = args(line);
        let ledger = || Ok(json!({"residual": 0}));
        let facts = Facts {
            ledgers: [ledger(), ledger()],
            history: Ok(history),
            ..Facts::none("http://a:1")
        };
        let numbers = Numbers::read(&args, &facts, saved);
        let scope = Scope { moment, tested: numbers.tested() };
        let rows = numbers.rows(&args, scope).into_iter().map(|row| (row.grade, row.text));
        rows.collect()
    }

    fn steady(time: u32) -> u32 {
        1_000 + time % 70
    }

    fn halved(time: u32) -> u32 {
        if time > 800 { 500 + time % 70 } else { steady(time) }
    }

    #[test]
    fn a_change_at_the_moment_is_found_and_none_is_good() {
        let rows = said("", history(0, steady, |_| 0), None, 800.0);
        assert!(rows.iter().all(|(grade, _)| *grade == Some(Grade::Ok)), "{rows:?}");
        assert!(rows.len() == 4 && rows[1].1.starts_with("send a:1 steady"), "{rows:?}");
        let rows = said("", history(0, halved, |_| 0), None, 800.0);
        assert!(rows[1].0 == Some(Grade::Critical) && rows[1].1.contains("fell 4"), "{rows:?}");
        let rows = said("", history(0, steady, |time| u32::from(time == 900)), None, 800.0);
        let shed = rows.iter().find(|(_, text)| text.contains("given up")).unwrap();
        assert_eq!(shed.0, Some(Grade::Warning), "{rows:?}");
        let rows = said("", history(0, steady, |_| 10), None, 800.0);
        let shed = rows.iter().find(|(_, text)| text.contains("given up")).unwrap();
        assert_eq!(shed.0, Some(Grade::Critical), "{rows:?}");
        // Before the moment it is the trouble of somebody else.
        let rows = said("", history(0, steady, |time| u32::from(time < 700)), None, 800.0);
        assert!(rows.iter().all(|(grade, _)| *grade == Some(Grade::Ok)), "{rows:?}");
    }

    #[test]
    fn what_went_wrong_before_the_moment_is_not_of_what_came_after() {
        // What is critical 35 s after the moment, where some intervals have errors, or send nothing.
        let said = |errors: &[u32], dead: &[u32], state: u32| {
            let mut history = history(0, steady, |_| 0);
            let (mut failed, mut due, mut sent) = (0, 0, 0);
            let (mut errors_sum, mut due_sum, mut sent_sum) = (vec![], vec![], vec![]);
            for time in (0..=1200).step_by(10) {
                failed += u32::from(errors.contains(&time)) * 30;
                due += 10;
                sent += if dead.contains(&time) { 0 } else { 10 };
                errors_sum.push(failed);
                due_sum.push(due);
                sent_sum.push(sent);
            }
            let states = vec![state; errors_sum.len()];
            for (name, column) in [
                ("coco.errors.send.write", errors_sum),
                ("coco.send.b:1", sent_sum),
                ("coco.ledger.t.b:1.offered", due_sum),
                ("coco.target.b:1.state", states),
            ] {
                history["series"][name] = json!(column);
            }
            let rows = said("", history, None, 1165.0);
            let bad = rows.into_iter().filter(|(grade, _)| *grade == Some(Grade::Critical));
            bad.map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert_eq!(said(&[1140, 1150, 1160], &[1140, 1150, 1160], 1), [""; 0]);
        // Down now, and not since the moment only: what becomes due after it counts.
        let last = "errors send.write last, 3.000/s in the mean of 30s";
        assert_eq!(said(&[1180, 1190, 1200], &[], 1), [last]);
        let silent = "send b:1 is silent: nothing is sent of what is due";
        let dead: Vec<u32> = (1100..=1200).collect();
        assert_eq!(said(&[], &dead, 4), [silent]);
        assert_eq!(said(&[], &dead[..65], 4), [""; 0]);
    }

    #[test]
    fn a_new_process_needs_what_the_old_one_counted() {
        let rows = said("", history(800, steady, |_| 0), None, 800.0);
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(rows[1].0, Some(Grade::Unknown));
        assert!(rows[1].1.contains("0+40 rates") && rows[1].1.contains("--save"), "{rows:?}");
        let old = history(0, steady, |_| 0);
        let file = json!({"saved_at": 795.0, "routers": {"http://a:1": old}}).to_string();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("before.json");
        std::fs::write(&path, file).unwrap();
        let saved = Saved::read(&path, &["http://a:1".to_owned()], 1_200.0).unwrap();
        let rows = said("", history(800, steady, |_| 0), Some(&saved), 800.0);
        assert!(rows.iter().all(|(grade, _)| *grade == Some(Grade::Ok)), "{rows:?}");
        assert!(rows[1].1.contains("n=60+40") && rows[1].1.contains("as saved"), "{rows:?}");
        let rows = said("", history(800, halved, |_| 0), Some(&saved), 800.0);
        assert_eq!(rows[1].0, Some(Grade::Critical), "{rows:?}");
    }

    #[test]
    fn what_was_saved_and_is_not_there_is_named() {
        let mut old = history(0, steady, |_| 0);
        old["series"]["coco.send.gone:1"] = old["series"]["coco.send.a:1"].clone();
        let file = |url: &str| json!({"saved_at": 795.0, "routers": {url: old}}).to_string();
        let folder = tempfile::tempdir().unwrap();
        let saved = |url: &str| {
            let path = folder.path().join("before.json");
            std::fs::write(&path, file(url)).unwrap();
            Saved::read(&path, &["http://a:1".to_owned()], 1_200.0).unwrap()
        };
        let rows = said("", history(800, steady, |_| 0), Some(&saved("http://a:1")), 800.0);
        assert!(rows.contains(&(None, "not there any more: gone:1".to_owned())), "{rows:?}");
        let rows = said("", history(800, steady, |_| 0), Some(&saved("http://b:1")), 800.0);
        let unknown = rows.iter().filter(|(grade, _)| *grade == Some(Grade::Unknown));
        let texts: Vec<_> = unknown.map(|(_, text)| text.as_str()).collect();
        assert!(texts[0].starts_with("--before has no numbers of this router"), "{texts:?}");
        assert!(texts[1].ends_with("--before has none of this router"), "{texts:?}");
    }

    #[test]
    fn what_was_not_there_before_is_not_called_good() {
        let mut history = history(0, steady, |_| 0);
        let new = (0..=120).map(|k| (k > 82).then_some(k * 10_000)).collect::<Vec<_>>();
        history["series"]["coco.send.new:1"] = json!(new);
        let rows = said("", history, None, 800.0);
        let text = "not there before, nothing to compare: new:1".to_owned();
        assert!(rows.contains(&(None, text)), "{rows:?}");
        assert!(rows[1..].iter().all(|(_, text)| !text.contains("2 series")), "{rows:?}");
    }

    #[test]
    fn a_target_that_the_new_process_never_had_does_not_count() {
        let mut history = history(0, steady, |_| 0);
        history["resets"] = json!([0, 785]);
        let old = (0..=120).map(|k| (k < 79).then_some(k * 10_000)).collect::<Vec<_>>();
        for name in ["coco.send.gone:1", "coco.ledger.t.gone:1.shed_loop"] {
            history["series"][name] = json!(old);
        }
        let rows = said("", history, None, 800.0);
        assert!(rows.iter().all(|(grade, _)| grade.is_none_or(|g| g == Grade::Ok)), "{rows:?}");
        let gone = rows.iter().filter(|(_, text)| text == "not there any more: gone:1");
        assert_eq!(gone.map(|(grade, _)| *grade).collect::<Vec<_>>(), [None], "{rows:?}");
    }

    #[test]
    fn what_the_ledger_does_not_explain_in_the_end_is_critical() {
        for (residuals, grade) in
            [([0, 0], Grade::Ok), ([3, 0], Grade::Ok), ([0, 3], Grade::Critical)]
        {
            let mut rows = Rows::new(Question::Deviation, None);
            ledger(&Ok(residuals), &mut rows);
            assert_eq!(rows.rows[0].grade, Some(grade), "{residuals:?}");
        }
    }

    #[test]
    fn too_little_is_unknown_and_says_when_to_ask_again() {
        let rows = said("", history(0, steady, |_| 0), None, 1_100.0);
        assert!(
            rows[1].1.contains("60+10 rates") && rows[1].1.ends_with("ask again in 1m40s"),
            "{rows:?}"
        );
        assert_eq!(rows[1].0, Some(Grade::Unknown));
        // A router that measures often keeps less than the window.
        let mut often = history(1_000, steady, |_| 0);
        let times: Vec<f64> = (0..=20).map(|k| 1_190.0 + f64::from(k) / 2.0).collect();
        often["times"] = json!(times);
        often["interval"] = json!(0.5);
        for window in ["10m", "3m"] {
            let rows = rows_of(&format!("--window {window}"), often.clone(), None, None);
            // Half of the 360 intervals that are kept, and 20 more; 20 rates are there.
            assert!(rows[1].1.contains("0+20 rates"), "{rows:?}");
            assert!(rows[1].1.ends_with("ask again in 1m30s"), "{rows:?}");
        }
        let rows = rows_of("--window 10s", often.clone(), None, None);
        assert!(rows[1].1.ends_with("give a --window of 20s at least"), "{rows:?}");
        often["interval"] = json!(300);
        let rows = rows_of("--window 1h", often, None, None);
        assert!(rows[1].1.contains("a shorter [measure] interval"), "{rows:?}");
        let rows = said("", json!({}), None, 800.0);
        assert!(rows[1].0 == Some(Grade::Unknown) && rows[1].1.contains("no history"), "{rows:?}");
    }
}
