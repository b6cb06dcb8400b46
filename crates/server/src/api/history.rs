//! `/debug/history`: the last hour of the numbers of `/debug/vars`.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode;
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::{Api, problem, vars};
use crate::{
    config::duration,
    history::{Column, Pattern, SPAN, Selection},
    log::unix_ms,
};

/// Window of an answer unless it is asked for another.
const WINDOW: Duration = Duration::from_secs(600);

/// Values in one answer, some megabytes of text; answers are made one after the other.
const VALUES_MAX: usize = 2_000_000;

/// Patterns in one question.
const PATTERNS_MAX: usize = 16;

/// Takes a snapshot each interval, for as long as the runtime lasts.
pub(crate) async fn keep_history(api: Api) {
    let mut ticks = tokio::time::interval(api.history.interval());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        api.history.record(unix_ms(), &vars::counters(&api));
    }
}

/// What is answered. All times are Unix seconds.
#[derive(Serialize)]
struct Answer {
    /// Seconds between two snapshots.
    interval: f64,
    /// Which life of the process these are of.
    incarnation: u64,
    start_time: u64,
    /// When this was asked.
    now: f64,
    times: Vec<f64>,
    /// When counters began anew, within the window: with each process.
    resets: Vec<f64>,
    /// Series for which there is no place.
    left_out: usize,
    /// A value for each time, or null.
    #[serde(serialize_with = "as_map")]
    series: Vec<(String, Column)>,
    /// The value of each other series, if that is asked for.
    #[serde(serialize_with = "as_map", skip_serializing_if = "Vec::is_empty")]
    still: Vec<(String, u64)>,
}

/// `?name=PATTERN&window=DURATION&still=once`; a name may be given several times. With `still=once`, a series
/// that does not change in the window is in `still`, with one value.
pub(super) async fn history(State(api): State<Api>, uri: Uri) -> Response {
    match Question::of(&uri) {
        Ok(question) => answer(&api, &question),
        Err(why) => problem(StatusCode::BAD_REQUEST, &why),
    }
}

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Question {
    patterns: Vec<Pattern>,
    window: Duration,
    /// Series that do not change are told apart.
    still: bool,
}

impl Question {
    fn of(uri: &Uri) -> Result<Self, String> {
        let (mut patterns, mut window, mut still) = (Vec::new(), WINDOW, false);
        let mut seen = BTreeSet::new();
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for (key, value) in pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            let value = value.replace('+', " ");
            let decoded = percent_decode(value.as_bytes()).decode_utf8();
            let value = decoded.map_err(|_| format!("`{key}` is not UTF-8"))?;
            match key {
                "name" => {
                    let pattern = value.parse().map_err(|why| format!("`name`: {why}"))?;
                    patterns.push(pattern);
                }
                "window" if seen.insert(key) => window = read_window(&value)?,
                "window" => return Err("`window` is given twice".to_owned()),
                "still" if value == "once" => still = true,
                "still" => return Err(format!("`still`: {value:?} is not `once`")),
                _ => return Err(format!("unknown parameter `{key}`; known: name, window, still")),
            }
        }
        match patterns.len() {
            0 => {
                Err(format!("the parameter `name` is missing; try {}?name=coco.send.*", uri.path()))
            }
            count if count > PATTERNS_MAX => {
                Err(format!("{count} names; give at most {PATTERNS_MAX}"))
            }
            _ => Ok(Self { patterns, window, still }),
        }
    }
}

fn read_window(text: &str) -> Result<Duration, String> {
    let window =
        duration(text).map_err(|why| format!("`window`: {text:?} is no duration: {why}"))?;
    match window {
        Duration::ZERO => Err("`window` must be more than zero".to_owned()),
        window if window > SPAN => Err(format!("`window`: {text} is more than 1h, which is kept")),
        window => Ok(window),
    }
}

fn answer(api: &Api, question: &Question) -> Response {
    let now = unix_ms();
    let window = u64::try_from(question.window.as_millis()).unwrap_or(u64::MAX);
    let from = now.saturating_sub(window);
    let Question { patterns, still, .. } = question;
    let selected = api.history.select(from, patterns, *still, VALUES_MAX);
    let Selection { times, series, still, left_out } = match selected {
        Ok(selection) => selection,
        Err(values) => {
            let message = format!(
                "that is {values} values, and {VALUES_MAX} are given at once; \
                 ask for fewer names, a shorter window or with still=once"
            );
            return problem(StatusCode::BAD_REQUEST, &message);
        }
    };
    let began = api.started_unix;
    let answer = Answer {
        interval: api.history.interval().as_secs_f64(),
        incarnation: began,
        start_time: began,
        now: seconds(now),
        times: times.into_iter().map(seconds).collect(),
        resets: api.history.resets(from).into_iter().map(seconds).collect(),
        left_out,
        series,
        still,
    };
    match serde_json::to_string(&answer) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "application/json")], format!("{text}\n")).into_response()
        }
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Unix times in milliseconds are far below 2^53.
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn as_map<V: Serialize, S: serde::Serializer>(
    series: &[(String, V)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(series.iter().map(|(name, values)| (name, values)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str) -> Result<Question, String> {
        Question::of(&format!("/debug/history?{query}").parse().unwrap())
    }

    #[test]
    fn names_and_a_window_are_asked_for() {
        let patterns = |names: &[&str]| -> Vec<Pattern> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        let found = ask("name=coco.send.*&name=coco.ledger.residual&window=5m").unwrap();
        assert_eq!(found.patterns, patterns(&["coco.send.*", "coco.ledger.residual"]));
        assert_eq!(found.window, Duration::from_secs(300));
        assert!(!found.still);
        let found = ask("name=coco.send.%5b%3a%3a1%5D:1&still=once").unwrap();
        assert!(found.still);
        assert_eq!(found.patterns, patterns(&["coco.send.[::1]:1"]));
        assert_eq!(found.window, Duration::from_secs(600));
    }

    #[test]
    fn bad_parameters_are_told() {
        for (query, why) in [
            ("", "the parameter `name` is missing; try /debug/history?name=coco.send.*"),
            ("window=5m", "the parameter `name` is missing; try /debug/history?name=coco.send.*"),
            ("name=", "`name`: it is empty"),
            ("name", "`name`: it is empty"),
            ("name=%ff", "`name` is not UTF-8"),
            (
                "name=a&window=5",
                "`window`: \"5\" is no duration: 5 has no unit (ns, us, ms, s, m or h)",
            ),
            ("name=a&window=-5m", "`window`: \"-5m\" is no duration: it is negative"),
            ("name=a&window=0", "`window` must be more than zero"),
            ("name=a&window=61m", "`window`: 61m is more than 1h, which is kept"),
            ("name=a&window=5m&window=6m", "`window` is given twice"),
            ("name=a&since=5", "unknown parameter `since`; known: name, window, still"),
            ("name=a&still=twice", "`still`: \"twice\" is not `once`"),
        ] {
            assert_eq!(ask(query).unwrap_err(), why, "{query}");
        }
        assert!(ask(&"name=a&".repeat(17)).unwrap_err().starts_with("17 names"));
    }
}
