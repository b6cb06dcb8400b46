//! `/metrics`: the registry and the gauges in Prometheus' text format 0.0.4.

mod gauges;

use std::fmt::Write as _;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use coco_router::telemetry;

use self::gauges::{GAUGES, Seen};
use super::Api;
use crate::log;

pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let text = render(&api);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Names and texts of the labels of a sample.
type Labels = Vec<(&'static str, String)>;

fn render(api: &Api) -> String {
    let mut out = String::new();
    let readings = api.handle.registry().counters();
    for metric in telemetry::ALL {
        let mut rows = readings.iter().filter(|reading| reading.name == metric.name).peekable();
        if rows.peek().is_some() {
            head(&mut out, &format!("{}_total", metric.name), metric.help, "counter");
        }
        for row in rows {
            let labels: Vec<_> = row.labels.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
            sample(&mut out, &format!("{}_total", metric.name), &labels, row.value);
        }
    }
    head(&mut out, "coco_log_lines_total", "Lines of the log, by level.", "counter");
    for (level, count) in log::ring().counts() {
        let labels = [("level", level.as_str().to_owned())];
        sample(&mut out, "coco_log_lines_total", &labels, count);
    }
    let seen = Seen::now(api);
    for (name, help, rows) in GAUGES {
        head(&mut out, name, help, "gauge");
        for (labels, value) in rows(&seen) {
            sample(&mut out, name, &labels, value);
        }
    }
    out
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a string does not fail.
    let _written: std::fmt::Result = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &[(&str, String)], value: u64) {
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
        sample(&mut out, "a_total", &[("x", "q\"\\\n".to_owned()), ("y", "z".to_owned())], 7);
        sample(&mut out, "b", &[], 1);
        assert_eq!(out, "a_total{x=\"q\\\"\\\\\\n\",y=\"z\"} 7\nb 1\n");
    }
}
