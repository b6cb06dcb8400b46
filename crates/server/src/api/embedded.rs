//! `/embedded?name=`: what the embedded targets hold, so that the first five minutes end with a value.

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};
use coco_router::{Point, Series};
use serde_json::{Value, json};

use super::{Api, json as answer, name_parameter, problem};

/// Series shown for a host.
const SERIES_MAX: usize = 1000;

/// `[{"tier", "target", "series": [{"name", "points": [[time, value], …]}]}]`.
pub(super) async fn embedded(State(api): State<Api>, uri: Uri) -> Response {
    let name = match name_parameter(&uri) {
        Ok(name) => name,
        Err(problem) => return problem,
    };
    let found = api.handle.embedded(&name, SERIES_MAX);
    if found.is_empty() {
        let name = String::from_utf8_lossy(&name);
        let message = format!("no embedded target holds a series or host named {name}");
        return problem(StatusCode::NOT_FOUND, &message);
    }
    let held = |(tier, target, held): &(String, String, Vec<Series>)| {
        let series: Vec<_> = held.iter().map(series).collect();
        json!({ "tier": tier, "target": target, "series": series })
    };
    answer(&Value::Array(found.iter().map(held).collect()))
}

fn series(series: &Series) -> Value {
    let points: Vec<_> = series.points.iter().map(point).collect();
    json!({ "name": series.name, "points": points })
}

fn point(point: &Point) -> Value {
    match point.values.as_slice() {
        [value] => json!([point.time, value]),
        values => json!([point.time, values]),
    }
}
