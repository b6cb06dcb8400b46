//! `/livez` and `/readyz`: what probes and balancers ask.
//!
//! Neither looks at targets: a dead store must not take healthy routers out of service.

use std::time::Duration;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Api;

/// A shard that has not been heard for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// 200 while every shard is heard.
pub(super) async fn livez(State(api): State<Api>) -> Response {
    answer(&stuck(&api).into_iter().collect::<Vec<_>>())
}

/// 200 while every shard is heard and the process is not stopping.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    answer(&not_ready(&api))
}

/// Whether `/readyz` says 200.
pub(super) fn is_ready(api: &Api) -> bool {
    not_ready(api).is_empty()
}

fn not_ready(api: &Api) -> Vec<String> {
    let draining = api.is_draining().then(|| "draining".to_owned());
    stuck(api).into_iter().chain(draining).collect()
}

fn stuck(api: &Api) -> Option<String> {
    let silence = api.handle.silence();
    (silence > SILENCE_MAX).then(|| format!("a shard was last heard {} s ago", silence.as_secs()))
}

fn answer(reasons: &[String]) -> Response {
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ok": reasons.is_empty(), "reasons": reasons });
    (status, axum::Json(body)).into_response()
}
