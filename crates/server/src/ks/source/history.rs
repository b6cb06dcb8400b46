//! The router's own history: `GET /debug/history`.

use std::{collections::BTreeMap, time::Duration};

use anyhow::bail;
use coco_checks::{
    levels,
    rates::{Rates, Reading, rates},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Data, Series, router, shown};
use crate::{
    ask,
    history::{SPAN, span_kept},
    ks::{
        args::{Options, What},
        span,
    },
};

/// Asks for a window and somewhat more: for the reading before it, and for the windows that confirm.
pub(super) fn read(what: What, options: &Options) -> anyhow::Result<Data> {
    let window = options.window.0;
    if window > SPAN {
        let (window, span) = (span(window.as_secs_f64()), span(SPAN.as_secs_f64()));
        bail!("--window {window} is more than the {span} that a router keeps");
    }
    let levels = Duration::from_secs_f64(levels::SPAN);
    let asked = window.saturating_mul(3).div_f64(2.0).max(levels).min(SPAN);
    let router = router(&options.host)?;
    let url = format!("{router}{}", path(asked, names(what, options)));
    let json = ask::json(&url).map_err(|error| {
        let is_older = error.chain().any(|cause| cause.to_string().contains("answered 404"));
        if is_older { error.context("no history; for a Coco 1.x say --source") } else { error }
    })?;
    let mut data = Data { from: url, ..data(&json, what, options)? };
    if options.target.is_some() && data.series.is_empty() && data.gone.is_empty() {
        let all = ask::json(&format!("{router}{}", path(asked, vec!["coco.send.*".to_owned()])))?;
        data.known = Readings::read(&all)?.targets();
    }
    Ok(data)
}

/// What to ask a router for.
pub(crate) fn path(window: Duration, names: Vec<String>) -> String {
    let mut path = format!("/debug/history?window={}ms&still=once", window.as_millis());
    for name in names {
        path.push_str(&format!("&name={}", utf8_percent_encode(&name, PLAIN)));
    }
    path
}

/// What of a name needs no encoding.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'*').remove(b':');

/// The series that tell about this, and those that they are judged with.
pub(crate) fn names(what: What, options: &Options) -> Vec<String> {
    let target = options.target.as_deref();
    let targets = target.map_or_else(|| "*".to_owned(), |target| format!("{target}*"));
    let mut names = vec![
        "coco.ledger.residual".to_owned(),
        "coco.filter.accepted".to_owned(),
        // With what ends alike, to tell apart what the ledger has of them.
        format!("coco.send.{}{targets}", if target.is_some() { "*" } else { "" }),
        format!("coco.ledger.*.{targets}.offered"),
        format!("coco.canaries.{targets}"),
        format!("coco.target.{targets}.state"),
    ];
    match (what, target) {
        (What::Send, _) => {}
        (What::Shed, _) => names.push(format!("coco.ledger.*.{targets}.shed_*")),
        (What::Errors, Some(_)) => names.push(format!("coco.target.{targets}.refused")),
        (What::Errors, None) => names.push("coco.errors.*".to_owned()),
    }
    names
}

/// Reads the answer.
pub(crate) fn data(json: &Value, what: What, options: &Options) -> anyhow::Result<Data> {
    let readings = Readings::read(json)?;
    let (_, gone) = readings.shown(what, options);
    let is_of_targets = what != What::Errors;
    Ok(Data {
        interval: readings.interval,
        newest: readings.newest,
        now: json["now"].as_f64(),
        kept: Some(span_kept(readings.interval)),
        started: json["start_time"].as_f64(),
        series: readings.series(what, options),
        targets: if is_of_targets { Vec::new() } else { readings.series(What::Send, options) },
        gone: gone.into_iter().map(|(name, _)| name).collect(),
        known: readings.targets(),
        left_out: json["left_out"].as_u64().unwrap_or_default(),
        residual: readings.columns.get("ledger.residual").cloned().unwrap_or_default(),
        ..Data::default()
    })
}

/// What a series was at each of the times.
type Column = Vec<Option<f64>>;

/// All that a router has read of itself.
struct Readings {
    times: Vec<f64>,
    /// The last of them.
    newest: f64,
    /// Seconds between two of them.
    interval: f64,
    /// When the process began anew.
    resets: Vec<f64>,
    /// By name, each as long as `times`.
    columns: BTreeMap<String, Column>,
}

impl Readings {
    fn read(json: &Value) -> anyhow::Result<Self> {
        let (Some(times), Some(interval), Some(all)) =
            (json["times"].as_array(), json["interval"].as_f64(), json["series"].as_object())
        else {
            bail!("no list `times`, `interval` and `series`: that is no history");
        };
        let times: Vec<f64> = times.iter().filter_map(Value::as_f64).collect();
        let Some(&newest) = times.last() else { bail!("the history is empty") };
        let resets = json["resets"].as_array().into_iter().flatten().filter_map(Value::as_f64);
        let columns = all.iter().filter_map(|(name, values)| {
            let values = values.as_array()?.iter().map(Value::as_f64).collect();
            Some((name.strip_prefix("coco.")?.to_owned(), values))
        });
        // What stands still may be given once.
        let still = json["still"].as_object().into_iter().flatten().filter_map(|(name, value)| {
            Some((name.strip_prefix("coco.")?.to_owned(), vec![value.as_f64(); times.len()]))
        });
        let columns: BTreeMap<String, Column> = columns.chain(still).collect();
        if let Some((name, values)) = columns.iter().find(|(_, values)| values.len() != times.len())
        {
            bail!("{name} has {} values at {} times", values.len(), times.len());
        }
        Ok(Self { times, newest, interval, resets: resets.collect(), columns })
    }

    /// The rates of what is there, with what is due to each.
    fn series(&self, of: What, options: &Options) -> Vec<Series> {
        let offered = self.by_target(|fate| fate == "offered");
        let shed = self.by_target(|fate| fate.starts_with("shed_"));
        // What falls to a target; all that was accepted if it is not told of any.
        let due = |name: &str| match offered.is_empty() {
            true => self.columns.get("filter.accepted"),
            false => offered.get(name),
        };
        let series = self.shown(of, options).0.into_iter().filter_map(|(name, values)| {
            let without = |values: &Column| self.without_canaries(&name, values);
            let (values, due) = match of {
                What::Errors => (values.clone(), None),
                What::Send => (without(values), due(&name).map(without)),
                // A Coco of an older version does not tell what it sheds of a target.
                What::Shed => (shed.get(name.as_str())?.clone(), due(&name).map(without)),
            };
            let closed_since = self.closed_since(&name);
            let (rates, due) = (self.rates(&values), due.map(|due| self.rates(&due)));
            Some(Series { name, rates, due, closed_since })
        });
        series.collect()
    }

    /// Since when the state of a target is one in which nothing is sent to it, if it is now.
    fn closed_since(&self, target: &str) -> Option<f64> {
        /// Connecting, down and suspect.
        const CLOSED: [f64; 3] = [0.0, 4.0, 5.0];
        let states = self.columns.get(&format!("target.{target}.state"))?;
        let newest = self.times.iter().zip(states).rev();
        let closed = newest.take_while(|(_, state)| state.is_some_and(|s| CLOSED.contains(&s)));
        closed.last().map(|(&time, _)| time)
    }

    /// All targets that are there, and those that were.
    fn targets(&self) -> Vec<String> {
        let names = self.columns.keys().filter_map(|name| name.strip_prefix("send."));
        names.filter(|name| *name != "total").map(str::to_owned).collect()
    }

    /// The series that tell about this by what is shown of their names: those that are there, and those
    /// that are gone.
    fn shown(&self, of: What, options: &Options) -> (Vec<Named<'_>>, Vec<Named<'_>>) {
        let all = self.columns.iter();
        all.filter_map(|(name, values)| Some((shown(of, options, name)?, values)))
            .partition(|(name, values)| !self.is_gone(name, values))
    }

    /// What a target was given or sent but for canaries: these are asked for, and no traffic. One that
    /// waits is counted before it is sent, so what is left never goes back.
    fn without_canaries(&self, target: &str, values: &Column) -> Column {
        let Some(canaries) = self.columns.get(&format!("canaries.{target}")) else {
            return values.clone();
        };
        let mut last = None;
        let left = |((&time, value), canaries): ((&f64, &Option<f64>), &Option<f64>)| {
            let (value, life) = ((*value)?, self.life(time));
            let went_on = last.filter(|(had, before, _)| *had == life && *before <= value);
            let least = went_on.map_or(0.0, |(_, _, left)| left);
            let left = (value - canaries.unwrap_or_default()).max(least);
            last = Some((life, value, left));
            Some(left)
        };
        self.times.iter().zip(values).zip(canaries).map(left).collect()
    }

    fn rates(&self, values: &[Option<f64>]) -> Rates {
        let reading = |(&time, &value)| Reading { time, value, incarnation: self.life(time) };
        rates(&self.times.iter().zip(values).map(reading).collect::<Vec<_>>(), self.interval)
    }

    /// Which life of the process counted: so many have begun before.
    fn life(&self, time: f64) -> u64 {
        self.resets.iter().map(|&reset| u64::from(reset <= time)).sum()
    }

    /// A reload took it out, or the process of now never had it: that nothing comes is meant.
    fn is_gone(&self, name: &str, values: &[Option<f64>]) -> bool {
        const REMOVED: f64 = 3.0;
        let state = self.columns.get(&format!("target.{name}.state"));
        let is_removed = state.and_then(|values| *values.last()?) == Some(REMOVED);
        let begin = self.resets.last().copied().unwrap_or(f64::NEG_INFINITY);
        let newest = values.get(self.times.partition_point(|&time| time < begin)..);
        let newest = newest.unwrap_or_default();
        is_removed || (!newest.is_empty() && newest.iter().all(Option::is_none))
    }

    /// The sums of these fates in the ledger, over all tiers, by target.
    fn by_target(&self, is_meant: impl Fn(&str) -> bool) -> BTreeMap<&str, Column> {
        let mut sums: BTreeMap<&str, Column> = BTreeMap::new();
        for (name, values) in &self.columns {
            let Some((whose, fate)) = name.strip_prefix("ledger.").and_then(|n| n.rsplit_once('.'))
            else {
                continue;
            };
            let Some(target) = self.target_of(whose).filter(|_| is_meant(fate)) else { continue };
            let sum = sums.entry(target).or_insert_with(|| vec![None; values.len()]);
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum = match (*sum, *value) {
                    (Some(a), Some(b)) => Some(a + b),
                    (a, b) => a.or(b),
                };
            }
        }
        sums
    }

    /// The target in `TIER.TARGET`. Both may have dots: it is the longest one that is known.
    fn target_of<'a>(&self, whose: &'a str) -> Option<&'a str> {
        let mut ends = whose.match_indices('.').filter_map(|(at, _)| whose.get(at + 1..));
        ends.find(|target| self.columns.contains_key(&format!("send.{target}")))
    }
}

/// A series by what is shown of its name.
type Named<'a> = (String, &'a Column);

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::ks::args::Old;

    fn options(line: &str) -> Options {
        Old::try_parse_from(format!("x {line}").trim().split(' ')).unwrap().options
    }

    #[test]
    fn targets_come_with_what_is_due_to_them() {
        let mut json = json!({
            "interval": 10, "incarnation": 7, "start_time": 7, "now": 21.0, "times": [0, 10, 20],
            "series": {
                "coco.send.a:1": [0, 10, 20],
                "coco.send.b:1": [0, null, 0],
                "coco.send.c:1": [5, 5, 5],
                "coco.send.total": [5, 15, 25],
                "coco.target.c:1.state": [1, 1, 3],
                "coco.ledger.short.a:1.offered": [0, 20, 40],
                "coco.ledger.long.a:1.offered": [0, 10, 20],
                "coco.filter.accepted": [0, 100, 200],
                "coco.ledger.residual": [0, 0, 1],
            },
        });
        let read = |json: &Value| data(json, What::Send, &options("")).unwrap();
        let data = read(&json);
        let names: Vec<_> = data.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["a:1", "b:1"]);
        let value = |rates: &Rates| rates.rates[0].value;
        assert_eq!(value(&data.series[0].rates), 1.0);
        assert_eq!(value(data.series[0].due.as_ref().unwrap()), 3.0);
        // What all accepted does not fall to one of which this is not told, where it is told of others.
        assert_eq!(data.series[1].due, None);
        assert_eq!(data.residual, [Some(0.0), Some(0.0), Some(1.0)]);
        assert_eq!((data.newest, data.now, data.started), (20.0, Some(21.0), Some(7.0)));
        assert_eq!((data.kept, data.left_out), (Some(3600.0), 0));
        let series = json["series"].as_object_mut().unwrap();
        series.retain(|name, _| !name.ends_with(".offered"));
        json["left_out"] = json!(3);
        let data = read(&json);
        assert_eq!(value(data.series[1].due.as_ref().unwrap()), 10.0);
        assert_eq!(data.left_out, 3);
    }

    #[test]
    fn a_target_whose_name_ends_like_another_is_its_own() {
        let json = json!({
            "interval": 10, "now": 11.0, "times": [0, 10],
            "series": {
                "coco.send.a:1": [0, 10], "coco.send.eu.a:1": [0, 10],
                "coco.ledger.t.a:1.offered": [0, 10],
                "coco.ledger.t.eu.a:1.offered": [0, 500],
                "coco.ledger.two.words.a:1.offered": [0, 30],
                "coco.ledger.t.eu.a:1.shed_loop": [0, 70],
            },
        });
        for target in ["", "--target a:1"] {
            let data = data(&json, What::Send, &options(target)).unwrap();
            let first = &data.series[0];
            assert_eq!(
                (first.name.as_str(), first.due.as_ref().unwrap().rates[0].value),
                ("a:1", 4.0)
            );
        }
        let data = data(&json, What::Shed, &options("")).unwrap();
        let first = &data.series[0];
        assert_eq!((data.series.len(), first.name.as_str()), (1, "eu.a:1"));
        assert_eq!(first.rates.rates[0].value, 7.0);
        let asked = names(What::Send, &options("--target a:1"));
        assert!(asked.contains(&"coco.send.*a:1*".to_owned()), "{asked:?}");
    }

    #[test]
    fn canaries_are_no_traffic() {
        let json = json!({
            "interval": 10, "now": 61.0, "times": [0, 10, 20, 30, 40, 50, 60], "resets": [45],
            "series": {
                "coco.send.a:1": [0, 10, 20, 31, 43, 0, 1],
                // The third one waits while it is counted; each process counts anew.
                "coco.canaries.a:1": [null, null, null, 2, 3, null, 1],
                "coco.send.b:1": [0, 0, 1, 1, 2, 0, 0],
                "coco.canaries.b:1": [null, 1, 1, 2, 2, null, null],
                "coco.ledger.t.a:1.offered": [0, 10, 20, 32, 43, 0, 1],
                "coco.ledger.t.b:1.offered": [0, 1, 1, 2, 2, 0, 0],
            },
        });
        let data = data(&json, What::Send, &options("")).unwrap();
        let values = |rates: &Rates| rates.rates.iter().map(|rate| rate.value).collect::<Vec<_>>();
        assert_eq!(values(&data.series[0].rates), [1.0, 1.0, 0.9, 1.1, 0.0]);
        assert_eq!(values(data.series[0].due.as_ref().unwrap()), [1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(values(&data.series[1].rates), [0.0; 5]);
        assert_eq!(values(data.series[1].due.as_ref().unwrap()), [0.0; 5]);
    }

    #[test]
    fn what_only_a_former_process_had_is_gone() {
        let json = json!({
            "interval": 10, "now": 41.0, "times": [0, 10, 20, 30, 40], "resets": [25],
            "series": {
                "coco.send.a:1": [0, 10, 20, 0, 10],
                "coco.send.b:1": [0, 10, 20, null, null],
                "coco.send.c:1": [null, null, null, 0, null],
                "coco.target.b:1.state": [1, 1, 3, null, null],
            },
        });
        let data = data(&json, What::Send, &options("")).unwrap();
        let names: Vec<_> = data.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!((names, data.gone), (vec!["a:1", "c:1"], vec!["b:1".to_owned()]));
    }

    #[test]
    fn a_target_is_closed_for_as_long_as_its_newest_states_say_so() {
        let since = |states: Value| {
            let json = json!({
                "interval": 10, "now": 41.0, "times": [0, 10, 20, 30, 40],
                "series": { "coco.send.a:1": [0, 0, 0, 0, 0], "coco.target.a:1.state": states },
            });
            data(&json, What::Send, &options("")).unwrap().series[0].closed_since
        };
        for (states, closed_since) in [
            (json!([1, 1, 5, 4, 4]), Some(20.0)),
            (json!([0, 0, 0, 0, 0]), Some(0.0)),
            (json!([null, null, null, null, 0]), Some(40.0)),
            (json!([4, 4, 4, 4, 2]), None),
            (json!([4, 2, 2, 2, 0]), Some(40.0)),
            (json!([6, 6, 6, 6, 6]), None),
        ] {
            assert_eq!(since(states.clone()), closed_since, "{states}");
        }
    }

    #[test]
    fn an_empty_or_strange_history_is_an_error() {
        for (json, why) in [
            (json!({}), "no list `times`"),
            (json!([]), "no list `times`"),
            (json!({"interval": 10, "times": [], "series": {}}), "the history is empty"),
            (
                json!({"interval": 10, "times": [1, 2], "series": {"coco.send.a": [1]}}),
                "send.a has 1 values at 2 times",
            ),
        ] {
            let said = data(&json, What::Send, &options("")).unwrap_err().to_string();
            assert!(said.contains(why), "{json}: {said}");
        }
    }
}
