//! `/debug/log`: the newest lines of the log, and how often each kind came.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use percent_encoding::percent_decode;
use serde_json::{Value, json};

use super::{Api, history::seconds, json as answer, problem};
use crate::log::{self, Asked, Found, Level};

/// `?level=LEVEL&since=UNIX_SECONDS`; both may be left out. Lines of the processes that have handed over come only by
/// a time.
pub(super) async fn log(State(api): State<Api>, uri: Uri) -> Response {
    match read(&uri) {
        Ok(asked) => answer(&as_json(&api, log::ring().find(asked))),
        Err(why) => problem(StatusCode::BAD_REQUEST, &why),
    }
}

fn read(uri: &Uri) -> Result<Asked, String> {
    let mut asked = Asked { level: Level::Warn, since: None };
    let mut seen = BTreeSet::new();
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    for (key, value) in pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
        let decoded = percent_decode(value.as_bytes()).decode_utf8();
        let value = decoded.map_err(|_| format!("`{key}` is not UTF-8"))?;
        match key {
            "level" | "since" if !seen.insert(key) => {
                return Err(format!("`{key}` is given twice"));
            }
            "level" => asked.level = read_level(&value)?,
            "since" => asked.since = Some(read_since(&value)?),
            _ => return Err(format!("unknown parameter `{key}`; known: level, since")),
        }
    }
    Ok(asked)
}

fn read_level(text: &str) -> Result<Level, String> {
    let level = Level::ALL.into_iter().find(|level| level.as_str() == text);
    level.ok_or_else(|| format!("`level`: {text:?} is none of info, warn, error"))
}

/// Milliseconds since the Unix epoch.
fn read_since(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let milliseconds = seconds.and_then(|since| u64::try_from(since.as_millis()).ok());
    milliseconds
        .ok_or_else(|| format!("`since`: {text:?} is no Unix time in seconds, as in 1764000000.5"))
}

fn as_json(api: &Api, found: Found) -> Value {
    let Found { began, kept, oldest, overwritten, kinds, lines } = found;
    let kinds = kinds.into_iter().map(|(level, kind)| {
        json!({
            "kind": &*kind.name,
            "level": level.as_str(),
            "count": kind.count,
            "first": seconds(kind.first),
            "last": seconds(kind.last),
        })
    });
    let lines = lines.into_iter().map(|line| {
        json!({
            "time": seconds(line.time),
            "level": line.level.as_str(),
            "kind": &*line.kind,
            "text": &*line.text,
        })
    });
    json!({
        "now": seconds(log::unix_ms()),
        "process": { "pid": std::process::id(), "start_time": api.started_unix },
        // The first of those that have handed over.
        "began": began.map_or_else(|| json!(api.started_unix), |began| json!(seconds(began))),
        "kept": kept,
        "oldest": oldest.map(seconds),
        "overwritten": overwritten,
        "kinds": kinds.collect::<Vec<_>>(),
        "lines": lines.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str) -> Result<Asked, String> {
        read(&format!("/debug/log{query}").parse().unwrap())
    }

    #[test]
    fn a_level_and_a_time_are_asked_for() {
        let asked = |level, since| Ok(Asked { level, since });
        assert_eq!(ask(""), asked(Level::Warn, None));
        assert_eq!(ask("?level=info"), asked(Level::Info, None));
        assert_eq!(
            ask("?since=1764000000.25&level=error"),
            asked(Level::Error, Some(1_764_000_000_250))
        );
    }

    #[test]
    fn bad_parameters_are_told() {
        for (query, why) in [
            ("?level=debug", "`level`: \"debug\" is none of info, warn, error"),
            ("?level=", "`level`: \"\" is none of info, warn, error"),
            ("?level", "`level`: \"\" is none of info, warn, error"),
            ("?level=%ff", "`level` is not UTF-8"),
            ("?since=-1", "`since`: \"-1\" is no Unix time in seconds, as in 1764000000.5"),
            ("?since=5m", "`since`: \"5m\" is no Unix time in seconds, as in 1764000000.5"),
            ("?since=nan", "`since`: \"nan\" is no Unix time in seconds, as in 1764000000.5"),
            ("?since=1e300", "`since`: \"1e300\" is no Unix time in seconds, as in 1764000000.5"),
            ("?since=1&since=2", "`since` is given twice"),
            ("?window=5m", "unknown parameter `window`; known: level, since"),
        ] {
            assert_eq!(ask(query).unwrap_err(), why, "{query}");
        }
    }
}
