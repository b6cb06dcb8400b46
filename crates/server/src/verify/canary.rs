//! Canary samples: one through each listener, until its fate is known.
//!
//! Invariant: it ends after [`PATIENCE`] and a few requests; a canary is sent only where the router
//! surely is, as `send` says. It may be sent many times: it is one sample that says nothing.

use std::{
    collections::BTreeMap,
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    ask::{Asked, Router},
    send::{SEND_MAX, Unsent, send_to},
};

/// Its Graphite name.
pub(super) const NAME: &str = "coco.canary.verify";

/// Its host in collectd's protocol.
pub(super) const HOST: &str = "coco-canary";

/// Its plugin there.
pub(super) const PLUGIN: &str = "coco";

/// Its type there.
pub(super) const TYPE: &str = "gauge";

/// How long a canary may take to its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks at it, and two canaries.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why a listener was not tried.
const NO_TIME: &str = "not tried: the listeners before it took all the time";

/// Its identifier in collectd's protocol.
pub(super) fn identifier() -> String {
    format!("{HOST}/{PLUGIN}/{TYPE}")
}

/// What became of the canaries.
#[derive(Debug, Default)]
pub(super) struct Canary {
    pub(super) listeners: Vec<Listener>,
}

/// A listener, and what became of the canaries that were sent to it.
#[derive(Debug, Default, Clone)]
pub(super) struct Listener {
    pub(super) protocol: String,
    pub(super) address: String,
    /// Why nothing could be sent to it.
    pub(super) error: Option<Unsent>,
    pub(super) seen: Vec<Seen>,
    /// Each tier that can carry what comes here, with the owners that `/lookup` names.
    pub(super) due: Vec<(String, Vec<String>)>,
}

/// The fate of a canary.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) tier: Option<String>,
    pub(super) target: Option<String>,
    pub(super) fate: String,
}

impl Listener {
    /// Nothing more is to be learned: it is with each owner, or can be with none.
    fn is_done(&self) -> bool {
        let without_owner = self.seen.iter().any(|seen| seen.tier.is_none());
        let is_there = |(tier, targets): &(String, Vec<String>)| {
            let sent = targets.iter().filter(|target| self.fate(tier, target) == Some("sent"));
            sent.count() == targets.len()
        };
        without_owner || (!self.due.is_empty() && self.due.iter().all(is_there))
    }

    /// Another canary may tell more.
    fn is_open(&self) -> bool {
        !self.is_done() && !self.error.as_ref().is_some_and(|error| error.is_final)
    }

    /// What became of the canary for this target.
    pub(super) fn fate(&self, tier: &str, target: &str) -> Option<&str> {
        let is_it = |seen: &&Seen| {
            seen.tier.as_deref() == Some(tier) && seen.target.as_deref() == Some(target)
        };
        self.seen.iter().find(is_it).map(|seen| seen.fate.as_str())
    }
}

/// Arms the router, sends through each of its listeners, and looks until all have arrived.
pub(super) fn send(
    router: &mut Router,
    ledger: &Asked,
    tiers: &Asked,
    owners: &BTreeMap<String, Asked>,
) -> Result<Canary, String> {
    let (ledger, tiers) = match (ledger, tiers) {
        (Ok(ledger), Ok(tiers)) => (ledger, tiers),
        (Err(why), _) | (_, Err(why)) => return Err(why.clone()),
    };
    let mut listeners = listeners(ledger);
    if listeners.is_empty() {
        return Err("there is no listener to send it to".to_owned());
    }
    for listener in &mut listeners {
        listener.due = due(tiers, owners, &listener.protocol)?;
    }
    router.allow(PATIENCE + SEND_MAX + LOOK_EVERY);
    router.post("/debug/canary")?;
    let (started, host) = (Instant::now(), router.place().to_owned());
    loop {
        offer(
            &mut listeners,
            || started.elapsed() > PATIENCE,
            |protocol, address| send_to(&host, protocol, address),
        );
        pause();
        let answer = router.get("/debug/canary")?;
        take(&answer, &mut listeners);
        if !listeners.iter().any(Listener::is_open) || started.elapsed() > PATIENCE {
            return Ok(Canary { listeners });
        }
    }
}

/// Sends to each listener that is open to it, as long as there is time.
fn offer(
    listeners: &mut [Listener],
    is_late: impl Fn() -> bool,
    send: impl Fn(&str, &str) -> Result<(), Unsent>,
) {
    for listener in listeners.iter_mut().filter(|listener| listener.is_open()) {
        if is_late() {
            break;
        }
        listener.error = send(&listener.protocol, &listener.address).err();
    }
}

/// The listeners in force.
fn listeners(ledger: &Value) -> Vec<Listener> {
    let rows = ledger["listeners"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.filter(|row| row["removed"] != true)
        .map(|row| Listener {
            protocol: text(&row["protocol"]),
            address: text(&row["address"]),
            error: Some(Unsent { is_final: false, ..Unsent::untried(NO_TIME.to_owned()) }),
            ..Listener::default()
        })
        .collect()
}

/// The tiers that can carry what comes by this protocol, and the owners there of its canary.
fn due(
    tiers: &Value,
    owners: &BTreeMap<String, Asked>,
    protocol: &str,
) -> Result<Vec<(String, Vec<String>)>, String> {
    let is_collectd = protocol == "collectd";
    let carries = |tier: &&Value| match tier["protocol"].as_str() {
        Some("collectd") => is_collectd,
        Some("embedded") => true,
        _ => !is_collectd,
    };
    let tiers = tiers.as_array().into_iter().flatten().filter(carries);
    let of_tier = |tier: &Value| {
        let name = tier["name"].as_str().unwrap_or_default();
        let key = match (is_collectd, tier["key"].as_str()) {
            (false, _) => NAME.to_owned(),
            (true, Some("series")) => identifier(),
            (true, _) => HOST.to_owned(),
        };
        let owners = owners.get(&key).ok_or("nobody asked for its owners")?.as_ref()?;
        let targets = owners[name].as_str().unwrap_or_default().split(',');
        let targets = targets.filter(|target| !target.is_empty()).map(str::to_owned);
        Ok((name.to_owned(), targets.collect()))
    };
    tiers.map(of_tier).collect()
}

/// Reads `GET /debug/canary`: the newest fate of each, but `sent` once is enough.
fn take(answer: &Value, listeners: &mut [Listener]) {
    for row in answer["seen"].as_array().into_iter().flatten() {
        let is_it = |listener: &&mut Listener| {
            row["protocol"] == *listener.protocol && row["address"] == *listener.address
        };
        let Some(listener) = listeners.iter_mut().find(is_it) else { continue };
        let text = |key: &str| row[key].as_str().map(str::to_owned);
        let fate = text("fate").unwrap_or_default();
        let new = Seen { tier: text("tier"), target: text("target"), fate };
        let mut known = listener.seen.iter_mut();
        match known.find(|old| (&old.tier, &old.target) == (&new.tier, &new.target)) {
            Some(old) if old.fate == "sent" => {}
            Some(old) => *old = new,
            None => listener.seen.push(new),
        }
    }
}

/// Lets some time pass: nobody has the other end.
pub(super) fn pause() {
    let (_kept, nothing) = mpsc::channel::<()>();
    let _timeout: Result<(), mpsc::RecvTimeoutError> = nothing.recv_timeout(LOOK_EVERY);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_canary_is_done_when_each_owner_was_sent_it() {
        let ledger = json!({"listeners": [
            {"protocol": "line-tcp", "address": "127.0.0.1:1", "removed": false},
            {"protocol": "line-tcp", "address": "127.0.0.1:2", "removed": true},
        ]});
        let mut listeners = listeners(&ledger);
        assert_eq!(listeners.len(), 1);
        let tiers = json!([
            {"name": "a", "protocol": "graphite", "key": "series"},
            {"name": "b", "protocol": "collectd", "key": "host"},
            {"name": "c", "protocol": "embedded", "key": "series"},
        ]);
        let owners = |target: &str| Ok(json!({"a": "x", "b": target, "c": target}));
        let owners: BTreeMap<_, _> = [
            (NAME.to_owned(), owners("y,z")),
            (HOST.to_owned(), owners("h")),
            (identifier(), owners("i")),
        ]
        .into();
        let due = |protocol: &str| due(&tiers, &owners, protocol).unwrap();
        let row = |tier: &str, targets: &[&str]| {
            (tier.to_owned(), targets.iter().map(|target| (*target).to_owned()).collect())
        };
        assert_eq!(due("collectd"), [row("b", &["h"]), row("c", &["i"])]);
        listeners[0].due = due("line-tcp");
        assert_eq!(listeners[0].due, [row("a", &["x"]), row("c", &["y", "z"])]);
        let seen = |tier: Option<&str>, target: &str, fate: &str| {
            json!({"seen": [{"protocol": "line-tcp", "address": "127.0.0.1:1", "tier": tier,
                "target": target, "id": target, "fate": fate}]})
        };
        for (tier, target, fate, is_done) in [
            ("a", "x", "held", false),
            ("a", "x", "sent", false),
            ("c", "y", "sent", false),
            ("c", "y", "held", false),
            ("c", "z", "on_disk", false),
            ("c", "z", "sent", true),
        ] {
            take(&seen(Some(tier), target, fate), &mut listeners);
            assert_eq!(listeners[0].is_done(), is_done, "{tier} {target} {fate}");
        }
        listeners[0].seen.clear();
        take(&seen(None, "", "filtered"), &mut listeners);
        assert!(listeners[0].is_done());
    }

    #[test]
    fn a_listener_that_takes_no_connection_is_tried_once() {
        let row = |port: u32| json!({"protocol": "line-tcp", "address": format!("a:{port}")});
        let ledger = json!({"listeners": [row(1), row(2), row(3)]});
        let mut listeners = listeners(&ledger);
        let sent = std::cell::RefCell::new(Vec::new());
        let send = |_: &str, address: &str| {
            sent.borrow_mut().push(address.to_owned());
            match address {
                "a:1" => Err(Unsent::untried("timed out".to_owned())),
                _ => Ok(()),
            }
        };
        offer(&mut listeners, || sent.borrow().len() == 2, send);
        offer(&mut listeners, || sent.borrow().len() == 3, send);
        assert_eq!(*sent.borrow(), ["a:1", "a:2", "a:2"]);
        let errors = listeners.iter().map(|listener| listener.error.as_ref().map(|e| &*e.text));
        assert_eq!(errors.collect::<Vec<_>>(), [Some("timed out"), None, Some(NO_TIME)]);
    }
}
