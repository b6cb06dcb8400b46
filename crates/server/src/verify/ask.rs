//! Asking one router everything, within a time for all of it.
//!
//! Invariant: it ends in time whatever the other side does; each answer is one of its own, and what went
//! wrong with one is said where it is missed.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::Value;
use ureq::Agent;

use crate::{
    ask::{Answer, send},
    client::agent,
};

/// Longest time until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time for all answers but the canary's.
const ALL_TIMEOUT: Duration = Duration::from_secs(8);

/// What was answered, or why it was not.
pub(super) type Asked = Result<Value, String>;

/// A router that is asked.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) url: String,
    agent: Agent,
    deadline: Instant,
}

impl Router {
    pub(super) fn new(url: &str) -> Self {
        let deadline = Instant::now() + ALL_TIMEOUT;
        Self { url: url.to_owned(), agent: agent(CONNECT_TIMEOUT, ANSWER_TIMEOUT), deadline }
    }

    /// Host and port.
    pub(super) fn place(&self) -> &str {
        super::row::short(&self.url)
    }

    /// The time for what follows begins again.
    pub(super) fn allow(&mut self, more: Duration) {
        self.deadline = self.deadline.max(Instant::now() + more);
    }

    /// The JSON of `GET path`; anything but status 200 is an error.
    pub(super) fn get(&self, path: &str) -> Asked {
        self.ask("GET", path, |answer| answer.json())
    }

    /// The JSON of `POST path`.
    pub(super) fn post(&self, path: &str) -> Asked {
        self.ask("POST", path, |answer| answer.json())
    }

    /// Whether `GET path` answers 200, and its JSON whatever the status.
    pub(super) fn probe(&self, path: &str) -> Result<(bool, Value), String> {
        self.ask("GET", path, |answer| {
            Ok((answer.status.as_u16() == 200, crate::ask::parse(&answer.body)?))
        })
    }

    fn ask<T>(
        &self,
        method: &str,
        path: &str,
        read: impl FnOnce(&Answer) -> anyhow::Result<T>,
    ) -> Result<T, String> {
        let url = format!("{}{path}", self.url);
        let shown = path.split_once('?').map_or(path, |(place, _)| place);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let answer = if left.is_zero() {
            Err(anyhow!("not asked any more: it answers too slowly"))
        } else {
            let within = Some(left.min(ANSWER_TIMEOUT));
            send(&url, || match method {
                "POST" => {
                    self.agent.post(&url).config().timeout_global(within).build().send_empty()
                }
                _ => self.agent.get(&url).config().timeout_global(within).build().call(),
            })
        };
        let read = answer.and_then(|answer| read(&answer));
        read.with_context(|| format!("{method} {shown}")).map_err(|error| format!("{error:#}"))
    }
}
