//! `/tiers` and `/blacklisted`: series by name, in the shapes of Coco 1.x.

use std::collections::{BTreeMap, HashMap};

use axum::{extract::State, response::Response};
use coco_router::{SeriesSeen, TierView, plan::TargetProtocol};
use serde_json::{Map, Value, json};

use super::{Api, json as answer};

/// `{HOST: {SERIES: unix time last seen}}`; a Graphite name is a host without further parts.
type Hosts = BTreeMap<String, BTreeMap<String, u64>>;

/// `[{"name", "targets", "shadows", "routes", "virtual_replicas", "connections", …}]`.
pub(super) async fn tiers(State(api): State<Api>) -> Response {
    let series = api.handle.series();
    let mut routes: HashMap<(&str, &str), Hosts> = HashMap::new();
    for seen in &series {
        for (tier, target) in &seen.owners {
            insert(routes.entry((tier, target)).or_default(), seen);
        }
    }
    let views = api.handle.tiers();
    answer(&Value::Array(views.iter().map(|view| tier(view, &routes)).collect()))
}

fn tier(view: &TierView, routes: &HashMap<(&str, &str), Hosts>) -> Value {
    let labels = || view.labels.iter();
    let shadows = view.ring.shadows().unwrap_or_default().into_iter().zip(labels());
    let shadows: Map<_, _> = shadows.map(|(char, label)| (char, label.clone().into())).collect();
    let states = labels().zip(&view.states);
    let states: Map<_, _> = states.map(|(label, state)| (label.clone(), (*state).into())).collect();
    let own: BTreeMap<_, _> = labels()
        .filter_map(|l| Some((l, routes.get(&(view.name.as_str(), l.as_str()))?)))
        .collect();
    json!({
        "name": view.name,
        "targets": view.labels,
        "shadows": shadows,
        "routes": own,
        "virtual_replicas": view.ring.virtual_replicas(),
        "connections": states,
        "protocol": protocol(view.protocol),
        "hash": view.ring.algorithm().as_str(),
        "replicas": view.ring.replicas(),
    })
}

/// The protocol as the configuration writes it.
fn protocol(protocol: TargetProtocol) -> &'static str {
    match protocol {
        TargetProtocol::Collectd => "collectd",
        TargetProtocol::LineTcp | TargetProtocol::LineUdp => "graphite",
        TargetProtocol::Pickle => "graphite-pickle",
        TargetProtocol::Embedded => "embedded",
    }
}

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
