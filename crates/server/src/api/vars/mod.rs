//! `/debug/vars`: the counters in the shape and with the names of Coco 1.x, and the new ones beside.
//!
//! Every value under `coco` is a number. Nothing but targets and `total` may stand in `send`: sites
//! read it by wildcard.

mod counters;
mod hosts;

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use axum::{extract::State, response::Response};
use coco_router::{Handle, TierView, telemetry};
use serde_json::{Map, Value, json};

pub(super) use self::counters::counters;
use super::{Api, json as answer};
use crate::VERSION;

pub(super) async fn vars(State(api): State<Api>) -> Response {
    let cmdline: Vec<_> =
        std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    answer(&json!({
        "cmdline": cmdline,
        "process": process(&api),
        "memstats": memstats(),
        "coco": coco(&api),
        "noodle": {},
        "rings": rings(&api.handle),
    }))
}

/// Which program this is, and since when it runs. Text, and so beside `coco`.
fn process(api: &Api) -> Value {
    json!({
        "version": VERSION,
        "pid": std::process::id(),
        "instance": *INSTANCE,
        "start_time": api.started_unix,
        "uptime": api.started.elapsed().as_secs_f64(),
        "draining": api.is_draining(),
        "upgrades": api.handle.registry().counter(telemetry::UPGRADES, &[]).get(),
    })
}

/// Tells processes apart that have the number and the second of their start in common, as in containers.
static INSTANCE: LazyLock<String> =
    LazyLock::new(|| format!("{:016x}", RandomState::new().hash_one(std::process::id())));

/// What two routers that agree have in common, by tier. Text, and so beside `coco`.
fn rings(handle: &Handle) -> Value {
    let epoch = handle.epoch();
    let ring = |tier: &TierView| {
        let hash = tier.ring.algorithm().as_str();
        json!({ "hash": hash, "digest": tier.digest, "epoch": epoch })
    };
    object(handle.tiers().iter().map(|tier| (tier.name.clone(), ring(tier))))
}

/// Resident memory under the names that dashboards of a Go process read.
fn memstats() -> Value {
    let resident = resident_bytes();
    json!({ "Alloc": resident, "HeapAlloc": resident, "Sys": resident })
}

/// Memory of this process that is not swapped out; 0 if the kernel does not say.
pub(super) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse().ok());
    pages.unwrap_or(0_u64) * PAGE_BYTES
}

/// Of x86-64 and of AArch64 as Debian builds it.
const PAGE_BYTES: u64 = 4096;

fn coco(api: &Api) -> Value {
    let mut all = counters(api);
    let tiers = api.handle.tiers();
    if let Value::Object(all) = &mut all {
        for (name, value) in [
            ("hash.hosts", by_target(&tiers, |tier| &tier.keys)),
            ("hash.metrics", by_target(&tiers, |tier| &tier.series)),
            (
                "hash.metrics_per_host",
                object(tiers.iter().map(|t| (t.name.clone(), hosts::per_host(t)))),
            ),
            ("hash.estimated", u64::from(api.handle.is_estimated()).into()),
        ] {
            all.insert(name.to_owned(), value);
        }
    }
    all
}

/// A count by target; where a target stands in two tiers, the larger one.
fn by_target(tiers: &[TierView], counts: fn(&TierView) -> &Vec<u64>) -> Value {
    let mut by_target = Map::new();
    for tier in tiers {
        for (target, &count) in tier.labels.iter().zip(counts(tier)) {
            join(&mut by_target, target, count, u64::max);
        }
    }
    Value::Object(by_target)
}

fn object(pairs: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Object(pairs.collect())
}

/// Puts a number in, or what it comes to with the one that is there.
fn join(numbers: &mut Map<String, Value>, name: &str, number: u64, join: fn(u64, u64) -> u64) {
    let before = numbers.get(name).and_then(Value::as_u64).unwrap_or_default();
    numbers.insert(name.to_owned(), join(before, number).into());
}
