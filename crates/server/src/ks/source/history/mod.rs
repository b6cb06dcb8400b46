//! The router's own history: `GET /debug/history`.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt::Display, time::Duration};

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
    let get = |path: &str| ask::json(&format!("{router}{path}"));
    let path_asked = path(asked, names(what, options));
    let json = ask_each_age(&path_asked, get).map_err(|error| {
        let is_older = error.chain().any(|cause| cause.to_string().contains("answered 404"));
        if is_older { error.context("no history; for a Coco 1.x say --source") } else { error }
    })?;
    let mut data = Data { from: format!("{router}{path_asked}"), ..data(&json, what, options)? };
    if options.target.is_some() && data.series.is_empty() && data.gone.is_empty() {
        let all = ask_each_age(&path(asked, vec!["coco.send.*".to_owned()]), get)?;
        data.known = Readings::read(&all)?.targets();
    }
    Ok(data)
}

/// Has what stands still told once. An older Coco refuses this.
const STILL: &str = "&still=once";

/// Gets what [`path`] asks for, from an older Coco too.
pub(crate) fn ask_each_age<E: Display>(
    path: &str,
    get: impl Fn(&str) -> Result<Value, E>,
) -> Result<Value, E> {
    match get(path) {
        Err(why) if format!("{why:#}").contains("unknown parameter `still`") => {
            get(&path.replacen(STILL, "", 1))
        }
        answer => answer,
    }
}

/// What to ask a router for.
pub(crate) fn path(window: Duration, names: Vec<String>) -> String {
    let mut path = format!("/debug/history?window={}ms{STILL}", window.as_millis());
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
    if what != What::Shed {
        names.extend(UNFIT.map(|fate| format!("coco.ledger.*.{targets}.{fate}")));
    }
    match (what, target) {
        (What::Send, _) => {}
        (What::Shed, _) => names.push(format!("coco.ledger.*.{targets}.shed_*")),
        (What::Errors, Some(_)) => names.push(format!("coco.target.{targets}.refused")),
        (What::Errors, None) => names.push("coco.errors.*".to_owned()),
    }
    names
}

/// The fates of what no target could ever be sent.
const UNFIT: [&str; 2] = ["shed_bad_name", "shed_oversize"];

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
        let unfit = self.by_target(|fate| UNFIT.contains(&fate));
        // What falls to a target; all that was accepted if it is not told of any.
        let due = |name: &str| match offered.is_empty() {
            true => self.columns.get("filter.accepted"),
            false => offered.get(name),
        };
        let series = self.shown(of, options).0.into_iter().filter_map(|(name, values)| {
            let canaries = self.columns.get(&format!("canaries.{name}"));
            // They are asked for, and no traffic.
            let without = |values: &Column| self.less(values, canaries);
            let fit = |due: &Column| self.less(&without(due), unfit.get(name.as_str()));
            let (values, due, all) = match of {
                What::Errors => (values.clone(), None, None),
                What::Send => (without(values), due(&name).map(fit), Some(self.rates(values))),
                // A Coco of an older version does not tell what it sheds of a target.
                What::Shed => (shed.get(name.as_str())?.clone(), due(&name).map(without), None),
            };
            let closed_since = self.closed_since(&name);
            let (rates, due) = (self.rates(&values), due.map(|due| self.rates(&due)));
            Some(Series { name, rates, all, due, closed_since })
        });
        series.collect()
    }

    /// Since when the state of a target is one in which nothing is sent to it, if it is now.
    fn closed_since(&self, target: &str) -> Option<f64> {
        /// Connecting and down. One that is suspect for its probe is sent to.
        const CLOSED: [f64; 2] = [0.0, 4.0];
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

    /// What a target was given or sent but for some of it. What is sent was counted before, so what is left
    /// never goes back.
    fn less(&self, values: &Column, some: Option<&Column>) -> Column {
        let Some(some) = some else { return values.clone() };
        let mut last = None;
        let left = |((&time, value), some): ((&f64, &Option<f64>), &Option<f64>)| {
            let (value, life) = ((*value)?, self.life(time));
            let went_on = last.filter(|(had, before, _)| *had == life && *before <= value);
            let least = went_on.map_or(0.0, |(_, _, left)| left);
            let left = (value - some.unwrap_or_default()).max(least);
            last = Some((life, value, left));
            Some(left)
        };
        self.times.iter().zip(values).zip(some).map(left).collect()
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
