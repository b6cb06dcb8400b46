//! `/lookup?name=`: who owns a name, asked of the routes that route now.

use axum::{extract::State, http::Uri, response::Response};
use coco_router::{Routes, TierOwners};
use serde_json::{Map, Value};

use super::{Api, json, name_parameter};

/// `{"TIER": "TARGET"}`; several owners are joined by commas.
pub(super) async fn lookup(State(api): State<Api>, uri: Uri) -> Response {
    let name = match name_parameter(&uri) {
        Ok(name) => name,
        Err(problem) => return problem,
    };
    api.handle.count_lookup();
    json(&owners(&api.handle.routes(), &name))
}

fn owners(routes: &Routes, name: &[u8]) -> Value {
    as_object(&routes.owners(name))
}

/// The owners as the API and `coco lookup --json` show them.
pub(crate) fn as_object(owners: &[TierOwners<'_>]) -> Value {
    let pair = |tier: &TierOwners<'_>| (tier.tier.to_owned(), Value::from(tier.targets.join(",")));
    Value::Object(owners.iter().map(pair).collect::<Map<_, _>>())
}
