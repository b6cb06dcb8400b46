//! Series of numbers, whatever they were read from.

mod graphite;
pub(crate) mod history;
mod table;
#[cfg(test)]
mod tests;
mod vars;
mod visage;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use coco_checks::rates::{Rates, Reading, given, rates};
use serde_json::Value;

use super::args::{Ks, Options, Origin, What};
use crate::{ask, client::ApiUrl};

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// The URL or file.
    pub(crate) from: String,
    /// Seconds between two readings.
    pub(crate) interval: f64,
    /// Unix time of the newest reading; the window ends there.
    pub(crate) newest: f64,
    /// Unix time of the source when it was asked, if what it says should be fresh.
    pub(crate) now: Option<f64>,
    /// Seconds that the source keeps: no window can be longer.
    pub(crate) kept: Option<f64>,
    /// Unix time at which the process started, if that is told.
    pub(crate) started: Option<f64>,
    /// What is to be judged.
    pub(crate) series: Vec<Series>,
    /// Targets beside what is judged, which must not be silent either.
    pub(crate) targets: Vec<Series>,
    /// Names of series that were there, and are not any more: nothing is to be judged of them.
    pub(crate) gone: Vec<String>,
    /// Names of all targets, for whoever has asked for another.
    pub(crate) known: Vec<String>,
    /// Series that the source had no place for, whatever they are.
    pub(crate) left_out: u64,
    /// What the ledger cannot explain, reading by reading.
    pub(crate) residual: Vec<Option<f64>>,
    /// There are too few readings by nature: only levels can be judged.
    pub(crate) levels_only: bool,
}

impl Data {
    /// Puts what another process counted before in front: its rates, as counts do not go on. What
    /// only the other one had is gone.
    pub(crate) fn join(&mut self, before: &Self) {
        for series in &mut self.series {
            let Some(old) = before.series.iter().find(|old| old.name == series.name) else {
                continue;
            };
            let first = series.rates.rates.first().map_or(f64::INFINITY, |rate| rate.time);
            let earlier = |rates: &Rates| {
                let rates = rates.rates.iter().copied().filter(|rate| rate.time < first);
                rates.collect::<Vec<_>>()
            };
            series.rates.rates.splice(0..0, earlier(&old.rates));
            if let (Some(due), Some(old)) = (&mut series.due, &old.due) {
                due.rates.splice(0..0, earlier(old));
            }
        }
        let is_known = |name: &&String| {
            self.gone.contains(name) || self.series.iter().any(|series| series.name == **name)
        };
        let gone = before.series.iter().map(|old| &old.name).filter(|name| !is_known(name));
        let gone: Vec<String> = gone.cloned().collect();
        self.gone.extend(gone);
    }
}

/// One series.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Series {
    /// Name to show.
    pub(crate) name: String,
    /// How fast it grew.
    pub(crate) rates: Rates,
    /// For what is sent: how fast it grew with all canaries, also those that were given up.
    pub(crate) all: Option<Rates>,
    /// For what is sent: how fast that grew which is due, if that is told.
    pub(crate) due: Option<Rates>,
    /// For a target: since when its state is one in which nothing is sent, if it is now.
    pub(crate) closed_since: Option<f64>,
}

/// Readings under a name, not yet rates.
#[derive(Debug, Clone, PartialEq)]
struct Raw {
    name: String,
    readings: Vec<Reading>,
    are_rates: bool,
}

/// Asks, or reads the file.
pub(super) fn read(args: &Ks) -> anyhow::Result<Data> {
    let Ks { what, options } = args;
    refuse_rates(options.rates && matches!(options.origin(), Origin::History | Origin::Vars))?;
    match options.origin() {
        Origin::History => history::read(*what, options),
        Origin::Vars => vars::read(*what, options),
        Origin::Visage => {
            let url = visage::url(*what, options, unix_now())?;
            let json = ask::json(&url)?;
            fresh(from_raw(visage::series(&json, options.window.0, unix_now())?, url)?)
        }
        Origin::Graphite => {
            let Some(url) = options.url.clone() else { bail!("--source graphite needs --url") };
            refuse_target(options, "say in the URL which series are meant")?;
            let json = ask::json(&url)?;
            fresh(from_raw(graphite::series(&json, options.rates)?, url)?)
        }
        Origin::File => {
            let Some(path) = &options.file else { bail!("--source file needs --file") };
            of_file(&ask::file(path)?, path.display().to_string(), args)
        }
    }
}

/// Recognises what the file holds.
fn of_file(bytes: &[u8], from: String, args: &Ks) -> anyhow::Result<Data> {
    let Ks { what, options } = args;
    const ALL: &str = "all that this file has is judged";
    if !matches!(bytes.trim_ascii_start(), [b'{' | b'[' | b'<', ..]) {
        refuse_target(options, ALL)?;
        return from_raw(table::series(bytes, options.rates)?, from);
    }
    let json = ask::parse(bytes)?;
    match &json {
        Value::Object(map) if map.contains_key("times") => {
            refuse_rates(options.rates)?;
            let data = history::data(&json, *what, options)?;
            Ok(Data { from, now: None, ..data })
        }
        Value::Object(map) if map.contains_key("coco") => {
            bail!("{from}: one reading of /debug/vars has no rates")
        }
        Value::Array(_) => {
            refuse_target(options, ALL)?;
            from_raw(graphite::series(&json, options.rates)?, from)
        }
        _ => {
            refuse_target(options, ALL)?;
            from_raw(visage::series(&json, options.window.0, unix_now())?, from)
        }
    }
}

/// What would be passed over in silence is refused.
fn refuse_target(options: &Options, why: &str) -> anyhow::Result<()> {
    match &options.target {
        Some(_) => bail!("--target cannot be used here: {why}"),
        None => Ok(()),
    }
}

fn refuse_rates(is_given: bool) -> anyhow::Result<()> {
    if is_given {
        bail!("--rates cannot be used here: a Coco tells counters");
    }
    Ok(())
}

/// The data of a source that knows nothing of processes.
fn from_raw(raw: Vec<Raw>, from: String) -> anyhow::Result<Data> {
    let times = |raw: &Raw| {
        let known = raw.readings.iter().filter(|reading| reading.value.is_some());
        known.map(|reading| reading.time).collect::<Vec<_>>()
    };
    let newest = raw.iter().flat_map(times).fold(f64::NEG_INFINITY, f64::max);
    if !newest.is_finite() {
        bail!("{from}: there are no values");
    }
    let distances = raw.iter().flat_map(|raw| distances(&raw.readings));
    let interval = middle(distances.collect());
    let series = raw.into_iter().map(|raw| Series {
        name: raw.name,
        rates: if raw.are_rates { given(&raw.readings) } else { rates(&raw.readings, interval) },
        ..Series::default()
    });
    Ok(Data { from, interval, newest, series: series.collect(), ..Data::default() })
}

/// The same, but the newest reading should be of now.
fn fresh(data: Data) -> anyhow::Result<Data> {
    Ok(Data { now: Some(unix_now()), ..data })
}

fn distances(readings: &[Reading]) -> Vec<f64> {
    let distance = |pair: &[Reading]| match pair {
        [a, b] => b.time - a.time,
        _ => 0.0,
    };
    readings.windows(2).map(distance).filter(|distance| *distance > 0.0).collect()
}

/// The usual distance of two readings; 0 if there are no two.
fn middle(mut distances: Vec<f64>) -> f64 {
    distances.sort_unstable_by(f64::total_cmp);
    distances.get(distances.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The address of the router's API.
pub(crate) fn router(host: &str) -> anyhow::Result<String> {
    Ok(host.parse::<ApiUrl>()?.to_string())
}

/// Errors that have two names: one is enough.
const ALIASES: [&str; 2] = ["listen.receive", "send.dial"];

/// The name to show of a series under `coco` if it is one to judge: errors by kind, or targets.
fn shown(what: What, options: &Options, name: &str) -> Option<String> {
    let target = |name: &str| {
        let asked = options.target.as_deref();
        asked.is_none_or(|asked| asked == name || name.strip_prefix(asked).is_some_and(is_rest))
    };
    match (what, &options.target) {
        (What::Errors, None) => {
            let kind = name.strip_prefix("errors.")?;
            (!ALIASES.contains(&kind)).then(|| kind.to_owned())
        }
        (What::Errors, Some(_)) => {
            let name = name.strip_prefix("target.")?.strip_suffix(".refused")?;
            target(name).then(|| name.to_owned())
        }
        // What is shed of a target stands in many places; its name is that of what it is sent.
        (What::Send | What::Shed, _) => {
            let name = name.strip_prefix("send.")?;
            (name != "total" && target(name)).then(|| name.to_owned())
        }
    }
}

/// What an address goes on with: its port, or carbon's instance, or both. A colon within brackets is in neither.
fn is_rest(rest: &str) -> bool {
    rest.starts_with(':') && !rest.contains(']')
}
