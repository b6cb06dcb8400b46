//! The HTTP API: what a running Coco says about itself. Everything is answered from memory.
//!
//! It runs apart from the data path, on its own thread. Only `POST /reload` changes anything; `POST /debug/canary`
//! has the data path look closer for a while.

mod agent;
mod canary;
mod embedded;
mod explain;
mod health;
mod history;
mod ledger;
mod log;
mod lookup;
mod metrics;
mod reload;
mod series;
mod serve;
mod vars;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use coco_router::Handle;
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use tower::ServiceBuilder;
use tower_http::{set_header::SetResponseHeaderLayer, timeout::TimeoutLayer};

pub(crate) use agent::serve_agent;
pub(crate) use history::keep_history;
pub(crate) use ledger::as_json as ledger_as_json;
pub(crate) use lookup::as_object as owners_as_object;
pub(crate) use series::{key_name, protocol as protocol_name, transport};
pub(crate) use serve::serve;

use crate::{
    history::History,
    log::unix_ms,
    reload::{Reloads, Status},
};

/// Longest time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest request body: names for `POST /lookup`, some 100,000 of them.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the handlers see.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    handle: Handle,
    draining: Arc<AtomicBool>,
    started_unix: u64,
    started: Instant,
    reloads: Reloads,
    status: Arc<Status>,
    history: Arc<History>,
}

impl Api {
    /// The API of a router that started at this Unix second; its numbers are recorded each `interval`.
    pub(crate) fn new(
        handle: Handle,
        started_unix: u64,
        reloads: Reloads,
        status: Arc<Status>,
        interval: Duration,
    ) -> Self {
        let history = Arc::new(History::new(interval, started_unix * 1000));
        let started = Instant::now();
        Self { handle, draining: Arc::default(), started_unix, started, reloads, status, history }
    }

    /// Goes on with the history of the process before this one.
    pub(crate) fn inherit_history(&self, bytes: &[u8]) {
        self.history.inherit(bytes, unix_ms());
    }

    /// The history, for the process that takes over.
    pub(crate) fn history(&self) -> Vec<u8> {
        self.history.to_bytes()
    }

    /// The newest lines of the log, for the process that takes over.
    pub(crate) fn log(&self) -> Vec<u8> {
        crate::log::ring().to_bytes(self.started_unix.saturating_mul(1_000))
    }

    /// From now on `/readyz` says that this process takes nothing new.
    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// All endpoints with their limits.
pub(crate) fn router(api: Api) -> Router {
    let no_store = HeaderValue::from_static("no-store");
    let no_sniff = HeaderValue::from_static("nosniff");
    let layers = ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, no_store))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, no_sniff))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_TIMEOUT))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .route("/", get(index))
        .route("/lookup", get(lookup::lookup).post(lookup::lookup_many))
        .route("/explain", get(explain::explain))
        .route("/tiers", get(series::tiers))
        .route("/series", get(series::series))
        .route("/blacklisted", get(series::blacklisted))
        .route("/embedded", get(embedded::embedded))
        .route("/ledger", get(ledger::ledger))
        .route("/debug/vars", get(vars::vars))
        .route("/debug/history", get(history::history))
        .route("/debug/log", get(log::log))
        .route("/debug/canary", get(canary::canary).post(canary::arm))
        .route("/metrics", get(metrics::metrics))
        .route("/reload", post(reload::reload))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz/targets", get(health::targets))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(layers)
        .with_state(api)
}

const INDEX: &str = concat!(
    "Coco ",
    env!("COCO_VERSION"),
    "

/lookup?name=NAME    the owner of a host or Graphite name, in each tier; POST takes a name a line
/explain?name=NAME   all that decides about a name; format=json for programs
/embedded?name=NAME  what embedded targets hold of a host or series
/ledger              where every sample went; residual is 0 unless Coco lost count
/tiers               tiers, targets, ring digests, and the series that fell to them
/series              the series known by name, one a line
/blacklisted         series that the filter took out, and when they were last seen
/debug/vars          counters as expvar JSON
/debug/history?name=coco.send.*&window=10m    the same counters over the last hour
/debug/log?level=warn&since=UNIX_TIME    the newest lines of the log, and the count of each kind
/debug/canary        POST: looks for canaries for 10 s; GET: what became of them
/metrics             counters for Prometheus
/reload              POST, from this machine only: reads the configuration file again
/livez               200 while the data path is alive
/readyz              200 while new traffic is welcome; ?drain=404 says 404 and not 503 while it stops
/healthz/targets     200, 429 or 503 by what the targets take; for people and monitoring, never for balancers
"
);

async fn index(State(api): State<Api>) -> String {
    let reloaded = match api.status.last() {
        Some(second) => format!("reloaded at {second}"),
        None => "not reloaded since".to_owned(),
    };
    let (started, epoch) = (api.started_unix, api.handle.epoch());
    format!("{INDEX}\nStarted at {started} (Unix time), {reloaded}; epoch {epoch}.\n")
}

async fn not_found(uri: Uri) -> Response {
    problem(StatusCode::NOT_FOUND, &format!("no {} here; / lists what there is", uri.path()))
}

async fn not_allowed(method: Method, uri: Uri) -> Response {
    let message = format!("{} does not take {method}; / lists what there is", uri.path());
    problem(StatusCode::METHOD_NOT_ALLOWED, &message)
}

/// The one shape of an error: `{"error": "…"}`.
fn problem(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({ "error": message }))).into_response()
}

/// JSON with a line end, as a person at a terminal expects.
fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

/// The bytes of a query parameter, percent-decoded; they need not be UTF-8.
fn parameter(uri: &Uri, name: &str) -> Option<Vec<u8>> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(percent_decode(value.replace('+', " ").as_bytes()).collect())
}

/// The parameter `name`, which must be there; an empty host is a key like any other.
#[expect(clippy::result_large_err, reason = "an answer to send, made once per bad request")]
fn name_parameter(uri: &Uri) -> Result<Vec<u8>, Response> {
    let missing = || {
        let path = uri.path();
        let message = format!("the parameter `name` is missing; try {path}?name=web01.load");
        problem(StatusCode::BAD_REQUEST, &message)
    };
    parameter(uri, "name").ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_bytes() {
        let uri: Uri = "/lookup?x=1&name=a%00%ff+b%2B".parse().unwrap();
        assert_eq!(parameter(&uri, "name").unwrap(), b"a\x00\xff b+");
        assert_eq!(parameter(&uri, "x").unwrap(), b"1");
        assert_eq!(parameter(&uri, "y"), None);
    }
}
