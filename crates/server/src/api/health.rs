//! `/livez`, `/readyz` and `/healthz/targets`: what probes, balancers and monitoring ask.
//!
//! The first two do not look at targets: a dead store must not take healthy routers out of service.
//! `/healthz/targets` does nothing else, and so no balancer may ask it.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use coco_router::{TargetHealth, TierHealth};
use serde_json::{Map, Value, json};

use super::{Api, parameter};

/// A shard that has not been heard for so long is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Targets that an answer names in each tier; the others are counted.
const NAMED_MAX: usize = 100;

/// 200 while every shard is heard.
pub(super) async fn livez(State(api): State<Api>) -> Response {
    let reasons: Vec<_> = stuck(&api).into_iter().collect();
    answer(if reasons.is_empty() { StatusCode::OK } else { UNAVAILABLE }, &reasons)
}

/// 200 while new traffic is welcome, else 503. With `?drain=404`, 404 while nothing but a stop keeps it away:
/// HAProxy's `disable-on-404` then lets connections go on. Another value of `drain` is taken for none, as a probe
/// would be answered by anything that does not know it.
pub(super) async fn readyz(State(api): State<Api>, uri: Uri) -> Response {
    let mut reasons = unready(&api);
    let (is_draining, is_well) = (api.is_draining(), reasons.is_empty());
    if is_draining {
        reasons.insert(0, "draining".to_owned());
    }
    let wants_404 = || parameter(&uri, "drain").is_some_and(|value| value == b"404");
    let status = match (is_draining, is_well) {
        (false, true) => StatusCode::OK,
        (true, true) if wants_404() => StatusCode::NOT_FOUND,
        (_, _) => UNAVAILABLE,
    };
    answer(status, &reasons)
}

/// Whether `/readyz` says 200.
pub(super) fn is_ready(api: &Api) -> bool {
    !api.is_draining() && unready(api).is_empty()
}

/// Why this process should get no traffic, besides that it stops. Listeners are bound before anything is
/// answered here.
pub(super) fn unready(api: &Api) -> Vec<String> {
    let routes = api.handle.routes();
    let ringless = routes.ringless().map(|(tier, _)| no_ring(tier));
    let (held, max) = (api.handle.memory(), api.handle.memory_max());
    // Up to the bound it is the targets' doing; far beyond it, it is ours.
    let memory = (held > max.saturating_mul(2)).then(|| {
        format!("the queues hold {held} bytes, more than twice `memory` in [limits], {max}")
    });
    stuck(api).into_iter().chain(ringless).chain(memory).collect()
}

/// What is said of a tier without a ring.
pub(super) fn no_ring(tier: &str) -> String {
    format!("tier {tier} has no ring")
}

fn stuck(api: &Api) -> Option<String> {
    let silence = api.handle.silence();
    (silence > SILENCE_MAX).then(|| format!("a shard was last heard {} s ago", silence.as_secs()))
}

const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

fn answer(status: StatusCode, reasons: &[String]) -> Response {
    let body = json!({ "ok": reasons.is_empty(), "reasons": reasons });
    (status, axum::Json(body)).into_response()
}

/// How well a tier can deliver, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// Every target takes samples, as far as can be known.
    Ok,
    /// Some target is down; what falls to it is held or spooled.
    Warn,
    /// Samples are being shed, or will be soon: no target is left, or there is no room to hold what falls to one.
    Fail,
}

impl Grade {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// Consul takes 429 as a warning.
    fn status(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::Warn => StatusCode::TOO_MANY_REQUESTS,
            Self::Fail => UNAVAILABLE,
        }
    }
}

/// 200, 429 or 503 by the worst tier, with what is wrong in each.
pub(super) async fn targets(State(api): State<Api>) -> Response {
    let routes = api.handle.routes();
    let mut tiers: Vec<_> = routes.health().iter().map(tier).collect();
    tiers.extend(routes.ringless().map(|(name, _)| {
        let shown = json!({ "grade": Grade::Fail.as_str(), "reasons": [no_ring(name)] });
        (name.to_owned(), Grade::Fail, shown)
    }));
    let worst = tiers.iter().map(|(_, grade, _)| *grade).max().unwrap_or(Grade::Ok);
    let tiers: Map<_, _> = tiers.into_iter().map(|(name, _, shown)| (name, shown)).collect();
    let body = json!({ "grade": worst.as_str(), "tiers": tiers });
    (worst.status(), axum::Json(body)).into_response()
}

/// Its name, how it stands, and that in words.
fn tier(tier: &TierHealth) -> (String, Grade, Value) {
    let of = |is: fn(&TargetHealth) -> bool| tier.targets.iter().filter(|t| is(t)).count();
    let (all, down, full) = (tier.targets.len(), of(|t| t.is_down), of(|t| t.is_full));
    let grade = match (down, full) {
        (0, 0) => Grade::Ok,
        (down, 0) if down < all => Grade::Warn,
        _ => Grade::Fail,
    };
    let troubled = tier.targets.iter().filter(|t| t.is_down || t.is_full);
    let mut reasons: Vec<_> = troubled.take(NAMED_MAX).map(reason).collect();
    let more = tier.targets.iter().filter(|t| t.is_down || t.is_full).count() - reasons.len();
    if more > 0 {
        reasons.push(format!("{more} more targets"));
    }
    let shown = json!({
        "grade": grade.as_str(),
        "targets": all,
        "down": down,
        "full": full,
        "reasons": reasons,
    });
    (tier.name.clone(), grade, shown)
}

fn reason(target: &TargetHealth) -> String {
    let TargetHealth { label, state, held, spooled, .. } = target;
    let full = if target.is_full { ", its queue is full" } else { "" };
    format!("{label} is {}{full}: {held} samples in memory, {spooled} on disk", state.as_str())
}

#[cfg(test)]
mod tests {
    use coco_router::State;

    use super::*;

    #[test]
    fn a_tier_fails_when_no_target_is_left_or_one_has_no_room() {
        let (up, down, full) = ((false, false), (true, false), (false, true));
        for (targets, wanted) in [
            (&[up, up][..], Grade::Ok),
            (&[up, down], Grade::Warn),
            (&[down, down], Grade::Fail),
            (&[down], Grade::Fail),
            (&[up, full], Grade::Fail),
            (&[up, (true, true), down], Grade::Fail),
        ] {
            let target = |&(is_down, is_full): &(bool, bool)| TargetHealth {
                label: "a:1".to_owned(),
                state: State::Up,
                is_down,
                is_full,
                held: 0,
                spooled: 0,
            };
            let targets = targets.iter().map(target).collect();
            let (_, grade, shown) = tier(&TierHealth { name: "t".to_owned(), targets });
            assert_eq!(grade, wanted, "{shown}");
        }
    }
}
