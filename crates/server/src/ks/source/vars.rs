//! `GET /debug/vars`, also that of Coco 1.x: read a few times, for the rules on levels.

use std::{sync::mpsc, time::Duration};

use coco_checks::{
    levels::SILENT_FOR,
    rates::{Reading, rates},
};
use serde_json::{Map, Value};

use super::{Data, Series, router, shown, unix_now};
use crate::{
    ask,
    ks::args::{Options, What},
};

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads as often as a target has to be silent to be called so, and once before.
pub(super) fn read(what: What, options: &Options) -> anyhow::Result<Data> {
    let url = format!("{}/debug/vars", router(&options.host)?);
    let mut readings = Vec::new();
    for round in 0..=SILENT_FOR {
        if round > 0 {
            pause();
        }
        readings.push((unix_now(), ask::json(&url)?));
    }
    data(&readings, what, options, url)
}

/// Lets the interval pass: nobody has the other end.
fn pause() {
    let (_kept, nothing) = mpsc::channel::<()>();
    let _timeout: Result<(), mpsc::RecvTimeoutError> = nothing.recv_timeout(INTERVAL);
}

fn data(
    readings: &[(f64, Value)],
    what: What,
    options: &Options,
    from: String,
) -> anyhow::Result<Data> {
    let Some((newest, last)) = readings.last() else { anyhow::bail!("nothing was read") };
    let Some(coco) = last["coco"].as_object() else {
        anyhow::bail!("{from}: no object `coco` in it");
    };
    let interval = INTERVAL.as_secs_f64();
    let series = numbers(coco).into_iter().filter_map(|(section, key)| {
        let name = shown(what, options, &format!("{section}.{key}"))?;
        let reading = |(time, vars): &(f64, Value)| Reading {
            time: *time,
            value: vars["coco"][&section][&key].as_f64(),
            incarnation: vars["coco"]["process"]["incarnation"].as_u64().unwrap_or_default(),
        };
        let readings: Vec<_> = readings.iter().map(reading).collect();
        Some(Series { name, rates: rates(&readings, interval), ..Series::default() })
    });
    let residual = readings.iter().map(|(_, vars)| vars["coco"]["ledger.residual"].as_f64());
    Ok(Data {
        interval,
        newest: *newest,
        started: last["coco"]["process"]["start_time"].as_f64(),
        series: series.collect(),
        residual: residual.collect(),
        levels_only: true,
        from,
        ..Data::default()
    })
}

/// Section and key of each number that stands right in a section.
fn numbers(coco: &Map<String, Value>) -> Vec<(String, String)> {
    let sections = coco.iter().filter_map(|(section, value)| Some((section, value.as_object()?)));
    sections
        .flat_map(|(section, values)| {
            let numbers = values.iter().filter(|(_, value)| value.is_number());
            numbers.map(|(key, _)| (section.clone(), key.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::ks::args::Old;

    #[test]
    fn counters_of_coco_1x_are_read() {
        let vars = |errors: u32| json!({"coco": {"errors": {"send.write": errors}, "send": {"a:1": 7, "total": 7}}});
        let readings: Vec<_> = (0..4_u32).map(|k| (f64::from(k) + 1000.0, vars(k * 5))).collect();
        let options = Old::try_parse_from(["x"]).unwrap().options;
        let found = data(&readings, What::Errors, &options, "u".to_owned()).unwrap();
        assert_eq!(found.series.len(), 1);
        assert_eq!(found.series[0].rates.rates.len(), 3);
        assert!(found.levels_only);
        let found = data(&readings, What::Send, &options, "u".to_owned()).unwrap();
        assert_eq!(found.series[0].name, "a:1");
        let none = data(&[(0.0, json!({}))], What::Send, &options, "u".to_owned());
        assert!(none.unwrap_err().to_string().contains("no object `coco`"));
    }
}
