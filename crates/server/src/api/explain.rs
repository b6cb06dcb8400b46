//! `/explain?name=`: all that decides about one name, asked of the routes that route now.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::{Api, json, name_parameter, parameter, problem};
use crate::explain::{self, Origin};

/// Text, or JSON with `format=json` or `Accept: application/json`.
pub(super) async fn explain(State(api): State<Api>, headers: HeaderMap, uri: Uri) -> Response {
    let name = match name_parameter(&uri) {
        Ok(name) => name,
        Err(problem) => return problem,
    };
    let as_json = match parameter(&uri, "format").as_deref() {
        Some(b"json") => true,
        Some(b"text") => false,
        None => accepts_json(&headers),
        Some(other) => {
            let seen = other.escape_ascii();
            let message = format!("format `{seen}` is not known; say text or json");
            return problem(StatusCode::BAD_REQUEST, &message);
        }
    };
    let routes = api.handle.routes();
    let explained = routes.explain(&name);
    if as_json {
        return json(&explain::json(&name, &explained, Origin::Running));
    }
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (plain, explain::text(&name, &explained, Origin::Running)).into_response()
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}
