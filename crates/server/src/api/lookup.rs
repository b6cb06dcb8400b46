//! `/lookup`: who owns a name, asked of the routes that route now.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use coco_router::{Routes, TierOwners};
use serde_json::{Map, Value};

use super::{Api, BODY_BYTES_MAX, health::no_ring, json, name_parameter, problem};
use crate::lookup::{without_cr, write_rows};

/// `{"TIER": "TARGET"}`; several owners are joined by commas. 503 while some tier has no ring.
pub(super) async fn lookup(State(api): State<Api>, uri: Uri) -> Response {
    let name = match name_parameter(&uri) {
        Ok(name) => name,
        Err(problem) => return problem,
    };
    let routes = api.handle.routes();
    if let Some(problem) = without_ring(&routes) {
        return problem;
    }
    api.handle.count_lookups(1);
    json(&as_object(&routes.owners(&name)))
}

/// 503 that names the tiers without a ring, for which nobody can answer.
fn without_ring(routes: &Routes) -> Option<Response> {
    let tiers: Vec<_> = routes.ringless().map(|(tier, _)| no_ring(tier)).collect();
    let problem = || problem(StatusCode::SERVICE_UNAVAILABLE, &tiers.join("; "));
    (!tiers.is_empty()).then(problem)
}

/// Longest answer to many names.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Names looked up at one go.
const YIELD_EVERY: u64 = 256;

/// A name a line in; out as `coco lookup` answers: name, tier and targets by tabs, a line for each tier.
pub(super) async fn lookup_many(
    State(api): State<Api>,
    names: Result<Bytes, BytesRejection>,
) -> Response {
    let names = match names {
        Ok(names) if names.is_empty() => {
            let message = "the body is empty; send one name a line";
            return problem(StatusCode::BAD_REQUEST, message);
        }
        Ok(names) => names,
        Err(why) => {
            let message = format!("{}; send at most {BODY_BYTES_MAX} bytes", why.body_text());
            return problem(why.status(), &message);
        }
    };
    let names = names.strip_suffix(b"\n").unwrap_or(&names);
    let routes = api.handle.routes();
    if let Some(problem) = without_ring(&routes) {
        return problem;
    }
    let (mut out, mut count) = (Vec::new(), 0_u64);
    for name in names.split(|byte| *byte == b'\n').map(without_cr) {
        write_rows(name, &routes.owners(name), &mut out);
        count += 1;
        if out.len() > ANSWER_BYTES_MAX {
            let message = format!(
                "the answer to the first {count} names alone has more than {ANSWER_BYTES_MAX} bytes; \
                 send fewer at a time"
            );
            return problem(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
        if count.is_multiple_of(YIELD_EVERY) {
            // Others ask as well.
            tokio::task::yield_now().await;
        }
    }
    api.handle.count_lookups(count);
    ([(header::CONTENT_TYPE, "text/plain")], out).into_response()
}

/// The owners as the API and `coco lookup --json` show them.
pub(crate) fn as_object(owners: &[TierOwners<'_>]) -> Value {
    let pair = |tier: &TierOwners<'_>| (tier.tier.to_owned(), Value::from(tier.targets.join(",")));
    Value::Object(owners.iter().map(pair).collect::<Map<_, _>>())
}
