//! Graphite's `/render?format=json`: `[{"target": NAME, "datapoints": [[number or null, time], …]}, …]`.

use anyhow::bail;
use coco_checks::rates::Reading;
use serde_json::Value;

use super::Raw;

/// A function of Graphite that makes rates of counters.
const RATES: &str = "perSecond(";

/// Every series of the answer; counters, unless the name or the caller says otherwise.
pub(super) fn series(json: &Value, are_rates: bool) -> anyhow::Result<Vec<Raw>> {
    let Some(all) = json.as_array() else {
        bail!("no list of series: is format=json in the URL?");
    };
    let found: Vec<_> = all.iter().filter_map(|series| raw(series, are_rates)).collect();
    if found.is_empty() {
        bail!("no series with `target` and `datapoints` in it");
    }
    Ok(found)
}

fn raw(series: &Value, are_rates: bool) -> Option<Raw> {
    let name = series["target"].as_str()?.to_owned();
    let reading = |pair: &Value| {
        Some(Reading { time: pair[1].as_f64()?, value: pair[0].as_f64(), incarnation: 0 })
    };
    let readings = series["datapoints"].as_array()?.iter().filter_map(reading).collect();
    Some(Raw { are_rates: are_rates || name.contains(RATES), name, readings })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn series_are_counters_unless_they_say_otherwise() {
        let json = json!([
            {"target": "coco.send.a", "datapoints": [[1, 10], [null, 20], [3.5, 30]]},
            {"target": "perSecond(coco.send.b)", "datapoints": []},
            {"no": "series"},
        ]);
        let found = series(&json, false).unwrap();
        let told: Vec<_> = found.iter().map(|raw| (raw.name.as_str(), raw.are_rates)).collect();
        assert_eq!(told, [("coco.send.a", false), ("perSecond(coco.send.b)", true)]);
        let readings: Vec<_> = found[0].readings.iter().map(|r| (r.time, r.value)).collect();
        assert_eq!(readings, [(10.0, Some(1.0)), (20.0, None), (30.0, Some(3.5))]);
        assert!(series(&json, true).unwrap()[0].are_rates);
        assert!(series(&json!({}), false).unwrap_err().to_string().contains("format=json"));
    }
}
