//! `/metrics`: the registry and the gauges in Prometheus' text format 0.0.4.

use std::fmt::Write as _;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use coco_router::{Handle, telemetry};

use super::Api;
use crate::{VERSION, log};

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let text = render(&api);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// One gauge: name, help, and its values by labels.
type Gauge = (&'static str, &'static str, Vec<(Vec<(&'static str, String)>, f64)>);

fn render(api: &Api) -> String {
    let handle = &api.handle;
    let mut out = String::new();
    let readings = handle.registry().counters();
    for metric in telemetry::ALL {
        let mut rows = readings.iter().filter(|reading| reading.name == metric.name).peekable();
        if rows.peek().is_some() {
            head(&mut out, &format!("{}_total", metric.name), metric.help, "counter");
        }
        for row in rows {
            let labels: Vec<_> = row.labels.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
            sample(&mut out, &format!("{}_total", metric.name), &labels, &row.value.to_string());
        }
    }
    head(&mut out, "coco_log_lines_total", "Lines of the log, by level.", "counter");
    for (level, count) in log::ring().counts() {
        let labels = [("level", level.as_str().to_owned())];
        sample(&mut out, "coco_log_lines_total", &labels, &count.to_string());
    }
    let gauges = gauges(handle, api.started_unix, api.status.last());
    for (name, help, rows) in gauges.into_iter().chain(bounds(handle)).chain(process(api)) {
        head(&mut out, name, help, "gauge");
        for (labels, value) in rows {
            sample(&mut out, name, &labels, &value.to_string());
        }
    }
    out
}

fn gauges(handle: &Handle, started_unix: u64, reloaded_unix: Option<u64>) -> Vec<Gauge> {
    let ledger = handle.ledger();
    let mut queued = Vec::new();
    let mut bytes = Vec::new();
    let mut in_flight = Vec::new();
    let mut states = Vec::new();
    let mut in_doubt = Vec::new();
    let mut spool = [(); 4].map(|()| Vec::new());
    for tier in &ledger.tiers {
        for target in &tier.targets {
            let labels = vec![("tier", tier.name.clone()), ("target", target.label.clone())];
            queued.push((labels.clone(), float(target.queued)));
            let queued_bytes = u64::try_from(target.queued_bytes).unwrap_or(u64::MAX);
            bytes.push((labels.clone(), float(queued_bytes)));
            in_flight.push((labels.clone(), float(target.in_flight)));
            in_doubt.push((labels.clone(), float(target.in_doubt)));
            if let Some(facts) = target.spool {
                let values =
                    [Some(target.spooled), Some(facts.bytes), Some(facts.age()), facts.eta];
                for (rows, value) in spool.iter_mut().zip(values) {
                    rows.extend(value.map(|value| (labels.clone(), float(value))));
                }
            }
            let labels = [labels, vec![("state", target.state.to_owned())]].concat();
            states.push((labels, float(target.state_seconds)));
        }
    }
    let [depth, on_disk, oldest, eta] = spool;
    let (mut keys, mut series, mut rings) = (Vec::new(), Vec::new(), Vec::new());
    let mut doubts = Vec::new();
    for tier in handle.tiers() {
        let doubt = u64::from(tier.suspect_self);
        doubts.push((vec![("tier", tier.name.clone())], float(doubt)));
        let (hash, digest) = (tier.ring.algorithm().to_string(), tier.digest.clone());
        rings.push((vec![("tier", tier.name.clone()), ("hash", hash), ("digest", digest)], 1.0));
        let counts = tier.labels.iter().zip(&tier.keys).zip(&tier.series);
        for ((target, key_count), series_count) in counts {
            let labels = vec![("tier", tier.name.clone()), ("target", target.clone())];
            keys.push((labels.clone(), float(*key_count)));
            series.push((labels, float(*series_count)));
        }
    }
    let one = |value: u64| vec![(Vec::new(), float(value))];
    let connections = u64::try_from(handle.connections()).unwrap_or(u64::MAX);
    vec![
        ("coco_target_queued", "Samples waiting for the target.", queued),
        ("coco_target_queued_bytes", "Bytes waiting for the target.", bytes),
        ("coco_target_in_flight", "Samples taken from the queue and not yet sent.", in_flight),
        ("coco_target_state_seconds", "For how long the target has been in this state.", states),
        (
            "coco_tier_suspect_self",
            "1 while most of the tier, which went down at once, is down: the fault is probably on this side.",
            doubts,
        ),
        (
            "coco_target_in_doubt",
            "Samples sent that are kept to be sent again if the connection breaks.",
            in_doubt,
        ),
        ("coco_spool_depth", "Samples on disk for the target.", depth),
        ("coco_spool_bytes", "Bytes on disk for the target.", on_disk),
        ("coco_spool_oldest_age_seconds", "How long ago its oldest sample was spooled.", oldest),
        (
            "coco_spool_eta_seconds",
            "Seconds until nothing waits for it; absent while nobody can tell.",
            eta,
        ),
        ("coco_hash_keys", "Distinct keys (collectd hosts, Graphite names) of the target.", keys),
        ("coco_hash_series", "Distinct series of the target.", series),
        ("coco_ring_info", "1; the labels tell the ring of the tier.", rings),
        ("coco_ring_epoch", "Number of the set of members in force.", one(handle.epoch())),
        (
            "coco_hash_estimated",
            "1 when the two above are estimates.",
            one(handle.is_estimated().into()),
        ),
        (
            "coco_ledger_residual",
            "Samples the ledger cannot explain; 0 when Coco has not lost count.",
            one(ledger.residual()),
        ),
        (
            "coco_queues_bytes",
            "Bytes that all queues together hold; bounded by limits.memory.",
            one(u64::try_from(handle.memory()).unwrap_or(u64::MAX)),
        ),
        ("coco_connections", "Open client connections.", one(connections)),
        (
            "coco_log_dropped",
            "Lines of the log that were not written because standard error took none.",
            one(log::dropped()),
        ),
        ("coco_process_start_time_seconds", "Unix time of the start.", one(started_unix)),
        (
            "coco_last_reload_time_seconds",
            "Unix time of the last good reload; 0 before it.",
            one(reloaded_unix.unwrap_or_default()),
        ),
    ]
}

/// How much there may be of what the gauges show, for alerts that say "nearly full".
fn bounds(handle: &Handle) -> Vec<Gauge> {
    let bounds = handle.bounds();
    let bytes = |count: usize| float(u64::try_from(count).unwrap_or(u64::MAX));
    let queues = bounds
        .queues
        .into_iter()
        .map(|(tier, target, most)| (vec![("tier", tier), ("target", target)], bytes(most)));
    let (all, each) = bounds.spool_bytes.unzip();
    let spool =
        |most: Option<u64>| most.map(|most| (Vec::new(), float(most))).into_iter().collect();
    vec![
        ("coco_target_queue_bytes_max", "Bytes that may wait for the target.", queues.collect()),
        (
            "coco_queues_bytes_max",
            "Bytes that all queues together may hold: limits.memory.",
            vec![(Vec::new(), bytes(bounds.memory_bytes))],
        ),
        (
            "coco_connections_max",
            "Client connections that may be open: limits.connections.",
            vec![(Vec::new(), bytes(bounds.connections))],
        ),
        ("coco_spool_bytes_max", "Bytes that may be on disk: spool.size.", spool(all)),
        (
            "coco_spool_target_bytes_max",
            "Bytes that may be on disk for one target: spool.per_target.",
            spool(each),
        ),
    ]
}

/// What the process says of itself.
fn process(api: &Api) -> Vec<Gauge> {
    let version = VERSION.to_owned();
    vec![
        (
            "coco_ready",
            "1 while /readyz says 200: new traffic is welcome.",
            vec![(Vec::new(), f64::from(u8::from(super::health::is_ready(api))))],
        ),
        (
            "coco_process_resident_bytes",
            "Resident memory of the process.",
            vec![(Vec::new(), float(super::vars::resident_bytes()))],
        ),
        (
            "coco_build_info",
            "1; the label tells the version.",
            vec![(vec![("version", version)], 1.0)],
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only")]
fn float(value: u64) -> f64 {
    value as f64
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a string does not fail.
    let _written: std::fmt::Result = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &[(&str, String)], value: &str) {
    out.push_str(name);
    for (at, (label, text)) in labels.iter().enumerate() {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let open = if at == 0 { '{' } else { ',' };
        let _written: std::fmt::Result = write!(out, "{open}{label}=\"{escaped}\"");
    }
    let close = if labels.is_empty() { " " } else { "} " };
    let _written: std::fmt::Result = writeln!(out, "{close}{value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_escaped() {
        let mut out = String::new();
        sample(&mut out, "a_total", &[("x", "q\"\\\n".to_owned()), ("y", "z".to_owned())], "7");
        sample(&mut out, "b", &[], "1.5");
        assert_eq!(out, "a_total{x=\"q\\\"\\\\\\n\",y=\"z\"} 7\nb 1.5\n");
    }
}
