//! Visage, in front of collectd's RRD files: `GET /data/HOST/PLUGIN/INSTANCE?start=UNIX`.
//!
//! It answers `{HOST: {PLUGIN: {INSTANCE: {SOURCE: {"start", "finish", "data": [number or null, …]}}}}}`, and
//! noodle adds a `_meta`. The numbers are rates: collectd stored the counters as such.

use std::time::Duration;

use anyhow::bail;
use coco_checks::rates::Reading;
use serde_json::Value;

use super::Raw;
use crate::ks::args::{Options, What};

/// collectd's instance of the curl_json plugin for Coco, in the configuration that Coco 1.x shipped.
const PLUGIN: &str = "curl_json-coco";

/// Port of a target that is given without one.
const PORT: &str = ":25826";

/// What Coco 1.x's checks asked for.
pub(super) fn url(what: What, options: &Options, now: f64) -> anyhow::Result<String> {
    let Some(endpoint) = &options.endpoint else { bail!("--source visage needs --endpoint") };
    let base = match endpoint.contains("://") {
        true => endpoint.clone(),
        false => format!("http://{endpoint}"),
    };
    let instance = match (what, &options.target) {
        (What::Errors, None) => "operations-errors-send-write".to_owned(),
        (What::Errors, Some(_)) => {
            bail!(
                "--target cannot be used here: Visage has one series for the errors of all targets"
            )
        }
        (What::Send, Some(target)) if target.contains(':') => format!("operations-send-{target}"),
        (What::Send, Some(target)) => format!("operations-send-{target}{PORT}"),
        (What::Shed, _) => bail!("Visage does not know what is shed"),
        (What::Send, None) => {
            bail!("Visage has a series for each target: say which, with --target")
        }
    };
    let start = now - options.window.0.as_secs_f64() * 1.5;
    let (base, host) = (base.trim_end_matches('/'), &options.host);
    Ok(format!("{base}/data/{host}/{PLUGIN}/{instance}?start={start:.0}"))
}

/// Each list of numbers in the answer, by its place there.
pub(super) fn series(json: &Value, window: Duration, now: f64) -> anyhow::Result<Vec<Raw>> {
    let mut found = Vec::new();
    walk(json, "", 0, &mut |name, map| {
        let Some(data) = map["data"].as_array() else { return };
        let finish = map["finish"].as_f64().unwrap_or(now);
        let start = map["start"].as_f64().unwrap_or(finish - window.as_secs_f64());
        found.push(raw(name, data, start, finish));
    });
    if found.is_empty() {
        bail!("no series in it: nowhere a list `data`");
    }
    Ok(found)
}

fn raw(name: &str, data: &[Value], start: f64, finish: f64) -> Raw {
    let step = (finish - start) / u32::try_from(data.len().max(1)).map_or(f64::MAX, f64::from);
    let mut time = start;
    let reading = |value: &Value| {
        time += step;
        Reading { time, value: value.as_f64(), incarnation: 0 }
    };
    let readings = data.iter().map(reading).collect();
    Raw { name: name.to_owned(), readings, are_rates: true }
}

/// Deepest place of a list.
const DEPTH_MAX: usize = 6;

fn walk(json: &Value, name: &str, depth: usize, visit: &mut impl FnMut(&str, &Value)) {
    let Some(map) = json.as_object() else { return };
    visit(name, json);
    for (key, value) in map.iter().filter(|(key, _)| depth < DEPTH_MAX && *key != "_meta") {
        let name = if name.is_empty() { key.clone() } else { format!("{name}/{key}") };
        walk(value, &name, depth + 1, visit);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::ks::args::Old;

    #[test]
    fn it_asks_as_coco_1x_did() {
        let url = |what, line: &str| {
            let options = Old::try_parse_from(format!("x {line}").split(' ')).unwrap().options;
            url(what, &options, 1_000_000.0)
        };
        assert_eq!(
            url(What::Send, "--host h --target 10.0.0.1 --endpoint v:9292 --window 10m").unwrap(),
            "http://v:9292/data/h/curl_json-coco/operations-send-10.0.0.1:25826?start=999100"
        );
        assert_eq!(
            url(What::Errors, "--host h --endpoint http://v/ --window 10m").unwrap(),
            "http://v/data/h/curl_json-coco/operations-errors-send-write?start=999100"
        );
        let error = url(What::Send, "--host h --endpoint v").unwrap_err().to_string();
        assert!(error.contains("--target"), "{error}");
        let error = url(What::Errors, "--host h --target a --endpoint v").unwrap_err().to_string();
        assert!(error.contains("--target cannot be used here"), "{error}");
    }

    #[test]
    fn its_numbers_are_rates() {
        let json = json!({
            "h": {"curl_json-coco": {"operations-send-a": {"value": {
                "start": 100, "finish": 140, "data": [1.5, null, 2.5, "NaN"],
            }}}},
            "_meta": {"host": "h", "data": []},
        });
        let found = series(&json, Duration::from_secs(600), 0.0).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "h/curl_json-coco/operations-send-a/value");
        let readings: Vec<_> = found[0].readings.iter().map(|r| (r.time, r.value)).collect();
        assert_eq!(
            readings,
            [(110.0, Some(1.5)), (120.0, None), (130.0, Some(2.5)), (140.0, None)]
        );
        let untimed = json!({"a": {"data": [1, 2]}});
        let found = series(&untimed, Duration::from_secs(20), 100.0).unwrap();
        assert_eq!(found[0].readings[0].time, 90.0);
    }
}
