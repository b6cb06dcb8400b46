//! `/debug/canary`: what became of samples that somebody sends to prove that each listener reaches its owners.

use axum::{extract::State, response::Response};
use coco_router::canary::{ARMED_FOR, CanarySeen, HOST, NAME};
use serde_json::{Value, json};

use super::{Api, json as answer};

/// `POST`: canaries are looked for from now on, for some seconds.
pub(super) async fn arm(State(api): State<Api>) -> Response {
    api.handle.arm_canaries();
    answer(&json!({ "seconds": ARMED_FOR.as_secs(), "name": NAME, "host": HOST }))
}

/// `GET`: those that were seen since.
pub(super) async fn canary(State(api): State<Api>) -> Response {
    let (armed, seen) = api.handle.canaries();
    answer(&json!({ "armed": armed, "seen": seen.iter().map(as_json).collect::<Vec<_>>() }))
}

fn as_json(seen: &CanarySeen) -> Value {
    let CanarySeen { protocol, address, owner, fate } = seen;
    let (tier, target, id) = match owner {
        Some((tier, target, id)) => (Some(tier), Some(target), Some(id)),
        None => (None, None, None),
    };
    let fate = fate.as_str();
    json!({
        "protocol": protocol, "address": address, "tier": tier, "target": target, "id": id, "fate": fate,
    })
}
