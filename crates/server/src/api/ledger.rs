//! `/ledger`: where every sample went, exact at one moment.

use axum::{extract::State, response::Response};
use coco_router::{Ledger, ListenerCounts, TargetFates, TierFates};
use serde_json::{Map, Value, json};

use super::{Api, json as answer};

pub(super) async fn ledger(State(api): State<Api>) -> Response {
    // Who has seen what came of a sample finds it in here.
    answer(&as_json(&*api.handle.ledger_from_now().await))
}

/// The ledger as the API shows it and the last log line carries it.
pub(crate) fn as_json(ledger: &Ledger) -> Value {
    json!({
        "residual": ledger.residual(),
        "samples": {
            "decoded": ledger.samples.decoded,
            "notifications": ledger.samples.notifications,
            "malformed": ledger.samples.malformed,
            "filtered": ledger.samples.filtered,
            "unroutable": ledger.samples.unroutable,
            "routed": ledger.samples.routed(),
        },
        "listeners": ledger.listeners.iter().map(listener).collect::<Vec<_>>(),
        "tiers": ledger.tiers.iter().map(tier).collect::<Vec<_>>(),
    })
}

fn listener(listener: &ListenerCounts) -> Value {
    let rejected =
        listener.rejected.iter().map(|(reason, count)| (reason.clone(), (*count).into()));
    json!({
        "protocol": listener.protocol,
        "address": listener.address,
        "removed": listener.removed,
        "raw": listener.raw,
        "ok": listener.ok,
        "partial": listener.partial,
        "bad": listener.bad,
        "decoded": listener.decoded,
        "truncated": listener.truncated,
        "probes": listener.probes,
        "kernel_dropped": listener.kernel_dropped,
        "errors": listener.errors,
        "rejected": rejected.collect::<Map<String, Value>>(),
    })
}

fn tier(tier: &TierFates) -> Value {
    json!({
        "name": tier.name,
        "removed": tier.removed,
        "replicas": tier.replicas,
        "routed": tier.routed,
        "no_ring": tier.no_ring,
        "due": tier.due,
        "offered": tier.offered(),
        "targets": tier.targets.iter().map(target).collect::<Vec<_>>(),
        "residual": tier.residual(),
    })
}

/// One target's copies, all but its names.
pub(super) fn target(target: &TargetFates) -> Value {
    let shed = target.shed.iter().map(|(reason, count)| ((*reason).to_owned(), (*count).into()));
    json!({
        "target": target.label,
        "id": target.id,
        "state": target.state,
        "state_since": target.state_seconds,
        "offered": target.offered,
        "sent": target.sent,
        "queued": target.queued,
        "queued_bytes": target.queued_bytes,
        "in_flight": target.in_flight,
        "spooled": target.spooled,
        "recovered": target.recovered,
        "to_disk": target.to_disk,
        "replayed": target.replayed,
        "shed_on_disk": target.shed_on_disk,
        "inherited": target.inherited,
        "taken_over": target.taken_over,
        "rerouted": target.rerouted,
        "spool_eta": target.spool.and_then(|spool| spool.eta),
        "handed_over": target.handed_over,
        "shed": shed.collect::<Map<String, Value>>(),
        "write_errors": target.write_errors,
        "dial_errors": target.dial_errors,
        "disconnects": target.disconnects,
        "probe_ok": target.probe_ok,
        "probe_failed": target.probe_failed,
        "in_doubt": target.in_doubt,
        "resent": target.resent,
    })
}
