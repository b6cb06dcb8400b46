//! `/tiers` and `/blacklisted`: series by name, in the shapes of Coco 1.x.

use std::collections::{BTreeMap, HashMap};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use coco_router::{
    SeriesSeen, TierView,
    plan::{KeyRule, TargetProtocol},
};
use serde_json::{Map, Value, json};

use super::{Api, json as answer};
use crate::{explain::names_text, rows::escape};

/// `{HOST: {SERIES: unix time last seen}}`; a Graphite name is a host without further parts.
type Hosts = BTreeMap<String, BTreeMap<String, u64>>;

/// Series that `/tiers` lists at most; `/series` has all that are known.
const LISTED_MAX: usize = 10_000;

/// `[{"name", "targets", "shadows", "routes", "virtual_replicas", "connections", …}]`.
pub(super) async fn tiers(State(api): State<Api>) -> Response {
    let series = api.handle.series(0, LISTED_MAX);
    let mut routes: HashMap<(&str, &str), Hosts> = HashMap::new();
    for seen in &series {
        for (tier, target) in &seen.owners {
            insert(routes.entry((tier, target)).or_default(), seen);
        }
    }
    let (views, epoch) = (api.handle.tiers(), api.handle.epoch());
    let table = api.handle.routes();
    let ringless = table.ringless().map(|(name, protocol)| ringless(name, protocol, epoch));
    answer(&views.iter().map(|view| tier(view, epoch, &routes)).chain(ringless).collect())
}

/// A tier without targets: the same shape, and nothing in it.
fn ringless(name: &str, speaks: TargetProtocol, epoch: u64) -> Value {
    json!({
        "name": name,
        "targets": [],
        "shadows": {},
        "routes": {},
        "virtual_replicas": 0,
        "connections": {},
        "protocol": protocol(speaks),
        "proto": transport(speaks),
        "hash": null,
        "replicas": 0,
        "ids": [],
        "digest": null,
        "epoch": epoch,
    })
}

fn tier(view: &TierView, epoch: u64, routes: &HashMap<(&str, &str), Hosts>) -> Value {
    let labels = || view.labels.iter();
    let shadows = view.ring.shadows().unwrap_or_default().into_iter().zip(labels());
    let shadows: Map<_, _> = shadows.map(|(char, label)| (char, label.clone().into())).collect();
    let states = labels().zip(&view.states);
    let states: Map<_, _> = states.map(|(label, state)| (label.clone(), (*state).into())).collect();
    let own: BTreeMap<_, _> = labels()
        .filter_map(|l| Some((l, routes.get(&(view.name.as_str(), l.as_str()))?)))
        .collect();
    let ids: Vec<&str> = view.ring.members().iter().map(|member| member.id.as_str()).collect();
    json!({
        "name": view.name,
        "targets": view.labels,
        "shadows": shadows,
        "routes": own,
        "virtual_replicas": view.ring.virtual_replicas(),
        "connections": states,
        "protocol": protocol(view.protocol),
        "proto": transport(view.protocol),
        "hash": view.ring.algorithm().as_str(),
        "replicas": view.ring.replicas(),
        "ids": ids,
        "digest": view.digest,
        "key": key_name(view.key),
        "names": names_text(&view.names),
        "epoch": epoch,
    })
}

/// The key rule as the configuration writes it.
pub(crate) fn key_name(key: KeyRule) -> &'static str {
    match key {
        KeyRule::Host => "host",
        KeyRule::Series => "series",
    }
}

/// What is spoken to its targets over: [`protocol`] alone does not tell TCP from UDP.
pub(crate) fn transport(protocol: TargetProtocol) -> &'static str {
    match protocol {
        TargetProtocol::LineTcp | TargetProtocol::Pickle => "tcp",
        TargetProtocol::LineUdp | TargetProtocol::Collectd => "udp",
        TargetProtocol::Embedded => "none",
    }
}

/// The protocol as the configuration writes it.
pub(crate) fn protocol(protocol: TargetProtocol) -> &'static str {
    match protocol {
        TargetProtocol::Collectd => "collectd",
        TargetProtocol::LineTcp | TargetProtocol::LineUdp => "graphite",
        TargetProtocol::Pickle => "graphite-pickle",
        TargetProtocol::Embedded => "embedded",
    }
}

/// The series known by name, one a line: `graphite`, tab, name; or `collectd`, tab, host, tab,
/// identifier `host/plugin[-instance]/type[-instance]`. A Graphite series whose tags come in several orders is there once.
/// Backslash, tab, LF and CR in them are written `\\`, `\t`, `\n` and
/// `\r`. The first line tells how many of how many they are.
pub(super) async fn series(State(api): State<Api>) -> Response {
    let (mut rows, mut known) = (Vec::new(), 0);
    loop {
        let series = api.handle.series(known, SLICE);
        if series.is_empty() {
            break;
        }
        known += series.len();
        series.iter().for_each(|seen| series_row(seen, &mut rows));
        // Others ask as well.
        tokio::task::yield_now().await;
    }
    let total = api.handle.series_count().max(u64::try_from(known).unwrap_or(0));
    let mut out = format!("#series {known} of {total}\n").into_bytes();
    out.append(&mut rows);
    ([(header::CONTENT_TYPE, "text/plain")], out).into_response()
}

fn series_row(SeriesSeen { host, identifier, .. }: &SeriesSeen, out: &mut Vec<u8>) {
    if identifier.is_empty() {
        out.extend_from_slice(b"graphite\t");
        out.extend_from_slice(&escape(host));
    } else {
        out.extend_from_slice(b"collectd\t");
        out.extend_from_slice(&escape(host));
        out.push(b'\t');
        out.extend_from_slice(&escape(identifier));
    }
    out.push(b'\n');
}

/// Series taken from the census at once: new ones wait meanwhile.
const SLICE: usize = 4_096;

/// `{HOST: {"plugin/instance/type/type_instance": unix_time_last_seen}}`.
pub(super) async fn blacklisted(State(api): State<Api>) -> Response {
    let mut hosts = Hosts::new();
    for seen in &api.handle.blacklisted() {
        insert(&mut hosts, seen);
    }
    answer(&json!(hosts))
}

fn insert(hosts: &mut Hosts, seen: &SeriesSeen) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    hosts.entry(text(&seen.host)).or_default().insert(text(&seen.rest), seen.last_seen);
}
