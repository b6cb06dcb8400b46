//! `/debug/vars`: the counters in the shape and with the names of Coco 1.x, and the new ones beside.
//!
//! Every value under `coco` is a number. Nothing but targets and `total` may stand in `send`: sites
//! read it by wildcard.

use axum::{extract::State, response::Response};
use coco_router::{Handle, Ledger, Shed, TargetFates, TierView, telemetry};
use serde_json::{Map, Value, json};

use super::{Api, json as answer};
use crate::{VERSION, log};

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
        "start_time": api.started_unix,
        "uptime": api.started.elapsed().as_secs_f64(),
        "draining": api.is_draining(),
        "upgrades": api.handle.registry().counter(telemetry::UPGRADES, &[]).get(),
    })
}

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
            ("hash.metrics_per_host", object(tiers.iter().map(|t| (t.name.clone(), per_host(t))))),
            ("hash.estimated", u64::from(api.handle.is_estimated()).into()),
        ] {
            all.insert(name.to_owned(), value);
        }
    }
    all
}

/// All but the numbers of distinct keys, for which every host has to be looked at.
pub(super) fn counters(api: &Api) -> Value {
    let (handle, started_unix) = (&api.handle, api.started_unix);
    let ledger = handle.ledger();
    let targets = || ledger.tiers.iter().flat_map(|tier| &tier.targets);
    // A target that was taken out of one tier may be in force in another: that one counts.
    let (present, past): (Vec<_>, Vec<_>) = targets().partition(|t| t.state != "removed");
    let sum = |count: fn(&TargetFates) -> u64| targets().map(count).sum::<u64>();
    let listeners = || ledger.listeners.iter();
    let kernel_dropped: u64 = listeners().map(|l| l.kernel_dropped).sum();
    let receive_errors: u64 = listeners().map(|l| l.errors).sum();
    let dial_errors = sum(|t| t.dial_errors);
    let samples = &ledger.samples;
    let no_ring = ledger.tiers.iter().map(|tier| tier.no_ring).sum::<u64>();
    json!({
        "listen": {
            "raw": listeners().map(|l| l.raw).sum::<u64>(),
            "decoded": listeners().map(|l| l.decoded).sum::<u64>(),
            "kernel_dropped": kernel_dropped,
            "probes": listeners().map(|l| l.probes).sum::<u64>(),
        },
        "listen.rejected": rejected(&ledger),
        "filter": {
            "accepted": samples.decoded - samples.filtered,
            "rejected": samples.filtered,
        },
        "send": send(&ledger),
        "queues": { "raw": 0, "filtered": sum(|t| t.queued + t.in_flight) },
        "lookup": object(handle.lookups().into_iter().map(|(tier, count)| (tier, count.into()))),
        "errors": {
            "fetch.receive": receive_errors,
            "listen.receive": receive_errors,
            "filter.unhandled": 0,
            "lookup.hash.get": no_ring,
            "buildtiers.dial": dial_errors,
            "send.dial": dial_errors,
            "send.write": sum(|t| t.write_errors),
            "send.disconnected": sum(|t| t.disconnects),
        },
        "shed": object(
            Shed::ALL
                .into_iter()
                .map(|why| (why.as_str().to_owned(), shed(&ledger, why)))
                .chain([("no_ring".to_owned(), no_ring.into())]),
        ),
        "samples": {
            "decoded": samples.decoded,
            "notifications": samples.notifications,
            "malformed": samples.malformed,
            "filtered": samples.filtered,
            "unroutable": samples.unroutable,
            "routed": samples.routed(),
        },
        "ledger": object(ledger.tiers.iter().map(|tier| {
            let targets = tier.targets.iter().map(|t| (t.label.clone(), fates(t)));
            (tier.name.clone(), object(targets))
        })),
        "ledger.residual": ledger.residual(),
        "ledger.faults": handle.registry().counter(telemetry::LEDGER_FAULTS, &[]).get(),
        "queues.bytes": handle.memory(),
        "spool": spools(targets()),
        "connections": handle.connections(),
        "target": object(past.into_iter().chain(present).map(|t| (t.label.clone(), target(t)))),
        "tier": object(handle.doubts().into_iter().map(|(tier, is_doubtful)| {
            (tier, json!({ "suspect_self": u64::from(is_doubtful) }))
        })),
        "log": object(log::ring().counts().into_iter().map(|(level, count)| {
            (level.as_str().to_owned(), count.into())
        })),
        "process": {
            "start_time": started_unix,
            "incarnation": started_unix,
            "heartbeat_age": handle.silence().as_secs_f64(),
            "reloads": handle.registry().counter(telemetry::RELOADS, &[]).get(),
            "reload_failures": handle.registry().counter(telemetry::RELOAD_FAILURES, &[]).get(),
            "upgrades": handle.registry().counter(telemetry::UPGRADES, &[]).get(),
            "upgrade_failures": handle.registry().counter(telemetry::UPGRADE_FAILURES, &[]).get(),
            "last_reload": api.status.last().unwrap_or_default(),
            "epoch": handle.epoch(),
            "log_dropped": log::dropped(),
        },
    })
}

fn object(pairs: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Object(pairs.collect())
}

/// Copies handed to the kernel by target; a target that stands in two tiers has one counter, as in
/// 1.x.
fn send(ledger: &Ledger) -> Value {
    let mut send = Map::new();
    let mut total = 0;
    for target in ledger.tiers.iter().flat_map(|tier| &tier.targets) {
        let before = send.get(&target.label).and_then(Value::as_u64).unwrap_or_default();
        send.insert(target.label.clone(), (before + target.sent).into());
        total += target.sent;
    }
    send.insert("total".to_owned(), total.into());
    Value::Object(send)
}

fn rejected(ledger: &Ledger) -> Value {
    let mut reasons: Map<String, Value> = Map::new();
    for (reason, count) in ledger.listeners.iter().flat_map(|listener| &listener.rejected) {
        let before = reasons.get(reason).and_then(Value::as_u64).unwrap_or_default();
        reasons.insert(reason.clone(), (before + count).into());
    }
    Value::Object(reasons)
}

fn shed(ledger: &Ledger, why: Shed) -> Value {
    let all = ledger.tiers.iter().flat_map(|tier| &tier.targets).flat_map(|target| &target.shed);
    all.filter(|(reason, _)| *reason == why.as_str()).map(|(_, count)| count).sum::<u64>().into()
}

fn fates(target: &TargetFates) -> Value {
    let numbers = [
        ("offered", target.offered),
        ("sent_live", target.sent - target.replayed),
        ("spooled", target.to_disk),
        ("replayed", target.replayed),
        ("queued", target.queued),
        ("in_flight", target.in_flight),
        ("in_doubt", target.in_doubt),
        ("resent", target.resent),
    ];
    let numbers = numbers.into_iter().map(|(name, count)| (name.to_owned(), count.into()));
    let shed = target.shed.iter().map(|(why, count)| (format!("shed_{why}"), (*count).into()));
    object(numbers.chain(shed))
}

/// What is on disk, by target; one that stands in two tiers has the sums, and the greater of the times.
/// `eta` is not there while nobody can tell.
fn spools<'a>(targets: impl Iterator<Item = &'a TargetFates>) -> Value {
    let mut spools: Map<String, Value> = Map::new();
    for (target, facts) in targets.filter_map(|target| Some((target, target.spool?))) {
        let place = spools.entry(target.label.clone()).or_insert_with(|| json!({}));
        let mut put = |key: &str, value: u64, join: fn(u64, u64) -> u64| {
            let before = place[key].as_u64().unwrap_or_default();
            place[key] = join(before, value).into();
        };
        put("depth", target.spooled, u64::wrapping_add);
        put("bytes", facts.bytes, u64::wrapping_add);
        put("oldest_age", facts.age(), u64::max);
        if let Some(eta) = facts.eta {
            put("eta", eta, u64::max);
        }
    }
    Value::Object(spools)
}

/// The state as a number: 0 connecting, 1 up, 2 unknown (UDP), 3 removed, 4 down, 5 suspect, 6 loop; and
/// for how many seconds it has been so.
fn target(target: &TargetFates) -> Value {
    let state = match target.state {
        "up" => 1,
        "unknown" => 2,
        "removed" => 3,
        "down" => 4,
        "suspect" => 5,
        "loop" => 6,
        _ => 0,
    };
    json!({
        "state": state,
        "since": target.state_seconds,
        "refused": target.write_errors,
        "probe_ok": target.probe_ok,
        "probe_fail": target.probe_failed,
    })
}

/// A count by target; where a target stands in two tiers, the larger one.
fn by_target(tiers: &[TierView], counts: fn(&TierView) -> &Vec<u64>) -> Value {
    let mut by_target = Map::new();
    for tier in tiers {
        for (target, &count) in tier.labels.iter().zip(counts(tier)) {
            let before = by_target.get(target).and_then(Value::as_u64).unwrap_or_default();
            by_target.insert(target.clone(), before.max(count).into());
        }
    }
    Value::Object(by_target)
}

/// `{TARGET|total: {avg, min, max, 95e, length, sum}}` of the number of series per key.
fn per_host(tier: &TierView) -> Value {
    let mut stats = Map::new();
    let mut total = Distribution::default();
    let targets = tier.labels.iter().zip(&tier.series_per_host).zip(&tier.singles);
    for ((target, hosts), &singles) in targets {
        let mut own = Distribution { counts: hosts.clone(), singles };
        total.counts.extend_from_slice(hosts);
        total.singles += singles;
        stats.insert(target.clone(), own.describe());
    }
    stats.insert("total".to_owned(), total.describe());
    Value::Object(stats)
}

/// Numbers of series, and how many further numbers are 1.
#[derive(Debug, Default)]
struct Distribution {
    counts: Vec<u64>,
    singles: u64,
}

impl Distribution {
    fn describe(&mut self) -> Value {
        self.counts.sort_unstable();
        let length = self.singles + u64::try_from(self.counts.len()).unwrap_or_default();
        let sum = self.singles + self.counts.iter().sum::<u64>();
        json!({
            "avg": if length == 0 { 0.0 } else { float(sum) / float(length) },
            "min": self.at(0, length),
            "max": self.at(length.saturating_sub(1), length),
            "95e": self.at(length * 95 / 100, length),
            "length": length,
            "sum": sum,
        })
    }

    /// The number at `rank`, counted from the smallest.
    fn at(&self, rank: u64, length: u64) -> u64 {
        if length == 0 {
            return 0;
        }
        // The singles come first: no count is below 1.
        rank.checked_sub(self.singles)
            .and_then(|rank| self.counts.get(usize::try_from(rank).ok()?).copied())
            .unwrap_or(1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an average for people")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_described_as_in_1_x() {
        let mut all = Distribution { counts: (1..=98).collect(), singles: 2 };
        let text = all.describe().to_string();
        let wanted = r#"{"avg":48.53,"min":1,"max":98,"95e":94,"length":100,"sum":4853}"#;
        assert_eq!(text, wanted);
        let mut none = Distribution::default();
        let zeros = r#"{"avg":0.0,"min":0,"max":0,"95e":0,"length":0,"sum":0}"#;
        assert_eq!(none.describe().to_string(), zeros);
    }
}
