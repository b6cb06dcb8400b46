//! Histories in a file, for the time after a restart: a process that nobody hands over to begins its own anew.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::{
    facts::Facts,
    moment::{is_ahead, shown},
};
use crate::ask;

/// Histories of routers by their URLs, from one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Saved {
    /// Unix time.
    pub(super) at: f64,
    routers: BTreeMap<String, Value>,
}

impl Saved {
    /// Reads what [`save`] wrote, or a history as the only one of these routers.
    pub(super) fn read(path: &Path, urls: &[String], now: f64) -> anyhow::Result<Self> {
        let read = || {
            let saved = Self::of(&ask::parse(&ask::file(path)?)?, urls)?;
            match is_ahead(saved.at, now) {
                true => bail!("it is of {}, which is ahead of the clock here", shown(saved.at)),
                false => Ok(saved),
            }
        };
        read().with_context(|| path.display().to_string())
    }

    fn of(json: &Value, urls: &[String]) -> anyhow::Result<Self> {
        if json["times"].is_array() {
            let ([only], Some(at)) = (urls, json["now"].as_f64()) else {
                bail!("it is the history of one router, and {} are asked", urls.len());
            };
            return Ok(Self { at, routers: [(only.clone(), json.clone())].into() });
        }
        match (json["saved_at"].as_f64(), json["routers"].as_object()) {
            (Some(at), Some(routers)) => {
                let routers = routers.iter().map(|(url, history)| (url.clone(), history.clone()));
                Ok(Self { at, routers: routers.collect() })
            }
            _ => bail!("it is neither what --save writes nor a history"),
        }
    }

    /// What this router had counted.
    pub(super) fn of_router(&self, url: &str) -> Option<&Value> {
        self.routers.get(url)
    }
}

/// Writes the histories that were read, and says whose is missing.
pub(super) fn save(path: &Path, all: &[Result<Facts, String>], now: f64) -> anyhow::Result<usize> {
    let known = all.iter().filter_map(|facts| {
        let facts = facts.as_ref().ok()?;
        Some((facts.url.clone(), facts.history.as_ref().ok()?.clone()))
    });
    let routers: Map<String, Value> = known.collect();
    if routers.len() < all.len() {
        bail!("only {} of {} routers gave their history", routers.len(), all.len());
    }
    let text = json!({ "saved_at": now, "routers": routers }).to_string();
    fs::write(path, text).with_context(|| path.display().to_string())?;
    Ok(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_history_is_that_of_the_only_router() {
        let urls = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        let history = json!({"now": 5.0, "times": [], "series": {}});
        let saved = Saved::of(&history, &urls(&["http://a:1"])).unwrap();
        assert_eq!((saved.at, saved.of_router("http://a:1")), (5.0, Some(&history)));
        assert!(Saved::of(&history, &urls(&["http://a:1", "http://b:1"])).is_err());
        let both = json!({"saved_at": 7.0, "routers": {"http://b:1": history}});
        let saved = Saved::of(&both, &urls(&["http://a:1", "http://b:1"])).unwrap();
        assert_eq!(
            (saved.of_router("http://a:1"), saved.of_router("http://b:1")),
            (None, Some(&history))
        );
        assert!(Saved::of(&json!({}), &[]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, both.to_string()).unwrap();
        assert!(Saved::read(&path, &[], 3.0).is_ok());
        let why = Saved::read(&path, &[], 1.0).unwrap_err();
        assert!(format!("{why:#}").contains("1970-01-01T00:00:07Z, which is ahead"), "{why:#}");
    }
}
