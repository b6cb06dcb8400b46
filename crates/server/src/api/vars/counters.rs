//! The counters of `/debug/vars` that cost little; the history reads them too.

use coco_router::{Handle, Ledger, ListenerCounts, Shed, TargetFates, telemetry};
use serde_json::{Map, Value, json};

use super::{join, object};
use crate::{api::Api, log};

/// All but the numbers of distinct keys, for which every host has to be looked at.
pub(in crate::api) fn counters(api: &Api) -> Value {
    let handle = &api.handle;
    let ledger = handle.ledger();
    let samples = &ledger.samples;
    json!({
        "listen": listen(&ledger),
        "listen.rejected": rejected(&ledger),
        "filter": {
            "accepted": samples.decoded - samples.filtered,
            "rejected": samples.filtered,
        },
        "send": send(&ledger),
        "canaries": canaries(&ledger),
        "queues": { "raw": 0, "filtered": sum(&ledger, |t| t.queued + t.in_flight) },
        "lookup": object(handle.lookups().into_iter().map(|(tier, count)| (tier, count.into()))),
        "errors": errors(&ledger),
        "shed": shed(&ledger),
        "samples": {
            "decoded": samples.decoded,
            "notifications": samples.notifications,
            "malformed": samples.malformed,
            "filtered": samples.filtered,
            "unroutable": samples.unroutable,
            "routed": samples.routed(),
        },
        "ledger": fates(&ledger),
        "ledger.residual": ledger.residual(),
        "ledger.faults": handle.registry().counter(telemetry::LEDGER_FAULTS, &[]).get(),
        "queues.bytes": handle.memory(),
        "spool": spools(&ledger),
        "connections": handle.connections(),
        "target": states(&ledger),
        "tier": doubts(handle),
        "log": lines(),
        "process": process(api),
    })
}

fn targets(ledger: &Ledger) -> impl Iterator<Item = &TargetFates> {
    ledger.tiers.iter().flat_map(|tier| &tier.targets)
}

fn sum(ledger: &Ledger, count: fn(&TargetFates) -> u64) -> u64 {
    targets(ledger).map(count).sum()
}

fn no_ring(ledger: &Ledger) -> u64 {
    ledger.tiers.iter().map(|tier| tier.no_ring).sum()
}

fn listen(ledger: &Ledger) -> Value {
    let sum = |count: fn(&ListenerCounts) -> u64| ledger.listeners.iter().map(count).sum::<u64>();
    json!({
        "raw": sum(|l| l.raw),
        "decoded": sum(|l| l.decoded),
        "kernel_dropped": sum(|l| l.kernel_dropped),
        "probes": sum(|l| l.probes),
    })
}

fn rejected(ledger: &Ledger) -> Value {
    let mut reasons = Map::new();
    for (reason, count) in ledger.listeners.iter().flat_map(|listener| &listener.rejected) {
        join(&mut reasons, reason, *count, u64::wrapping_add);
    }
    Value::Object(reasons)
}

/// Copies handed to the kernel by target; a target that stands in two tiers has one counter, as in
/// 1.x.
fn send(ledger: &Ledger) -> Value {
    let mut send = Map::new();
    for target in targets(ledger) {
        join(&mut send, &target.label, target.sent, u64::wrapping_add);
    }
    send.insert("total".to_owned(), sum(ledger, |target| target.sent).into());
    Value::Object(send)
}

/// Of what fell to each target, canaries; only those that had one.
fn canaries(ledger: &Ledger) -> Value {
    let mut canaries = Map::new();
    for target in targets(ledger).filter(|target| target.canaries > 0) {
        join(&mut canaries, &target.label, target.canaries, u64::wrapping_add);
    }
    Value::Object(canaries)
}

/// The names of Coco 1.x, of which some mean the same here.
fn errors(ledger: &Ledger) -> Value {
    let receive: u64 = ledger.listeners.iter().map(|listener| listener.errors).sum();
    let dial = sum(ledger, |target| target.dial_errors);
    json!({
        "fetch.receive": receive,
        "listen.receive": receive,
        "filter.unhandled": 0,
        "lookup.hash.get": no_ring(ledger),
        "buildtiers.dial": dial,
        "send.dial": dial,
        "send.write": sum(ledger, |target| target.write_errors),
        "send.disconnected": sum(ledger, |target| target.disconnects),
    })
}

/// Copies given up, by reason.
fn shed(ledger: &Ledger) -> Value {
    let of = |why: &str| {
        let all = targets(ledger).flat_map(|target| &target.shed);
        all.filter(|(reason, _)| *reason == why).map(|(_, count)| count).sum::<u64>()
    };
    let reasons = Shed::ALL.into_iter().map(Shed::as_str);
    let reasons = reasons.map(|why| (why.to_owned(), of(why).into()));
    object(reasons.chain([("no_ring".to_owned(), no_ring(ledger).into())]))
}

/// Tier by tier what became of the copies of each target.
fn fates(ledger: &Ledger) -> Value {
    object(ledger.tiers.iter().map(|tier| {
        let targets = tier.targets.iter().map(|target| (target.label.clone(), fates_of(target)));
        (tier.name.clone(), object(targets))
    }))
}

fn fates_of(target: &TargetFates) -> Value {
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
fn spools(ledger: &Ledger) -> Value {
    let mut spools = Map::new();
    for (target, facts) in targets(ledger).filter_map(|target| Some((target, target.spool?))) {
        let place = spools.entry(target.label.clone()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(place) = place else { continue };
        join(place, "depth", target.spooled, u64::wrapping_add);
        join(place, "bytes", facts.bytes, u64::wrapping_add);
        join(place, "damaged_bytes", target.damaged_bytes, u64::wrapping_add);
        join(place, "oldest_age", facts.age(), u64::max);
        if let Some(eta) = facts.eta {
            join(place, "eta", eta, u64::max);
        }
    }
    Value::Object(spools)
}

/// Each target; one that was taken out of a tier may be in force in another: that one counts.
fn states(ledger: &Ledger) -> Value {
    let (past, present): (Vec<_>, Vec<_>) = targets(ledger).partition(|t| t.state == "removed");
    object(past.into_iter().chain(present).map(|target| (target.label.clone(), state(target))))
}

/// The state as a number: 0 connecting, 1 up, 2 unknown (UDP), 3 removed, 4 down, 5 suspect, 6 loop; and
/// for how many seconds it has been so.
fn state(target: &TargetFates) -> Value {
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

/// Whether each tier went down as one.
fn doubts(handle: &Handle) -> Value {
    let doubt = |(tier, is_doubtful)| (tier, json!({ "suspect_self": u64::from(is_doubtful) }));
    object(handle.doubts().into_iter().map(doubt))
}

/// Lines of the log by level.
fn lines() -> Value {
    let counts = log::ring().counts().into_iter();
    object(counts.map(|(level, count)| (level.as_str().to_owned(), count.into())))
}

fn process(api: &Api) -> Value {
    let (handle, started_unix) = (&api.handle, api.started_unix);
    let counted = |name| handle.registry().counter(name, &[]).get();
    json!({
        "start_time": started_unix,
        "incarnation": started_unix,
        "heartbeat_age": handle.silence().as_secs_f64(),
        "reloads": counted(telemetry::RELOADS),
        "reload_failures": counted(telemetry::RELOAD_FAILURES),
        "upgrades": counted(telemetry::UPGRADES),
        "upgrade_failures": counted(telemetry::UPGRADE_FAILURES),
        "last_reload": api.status.last().unwrap_or_default(),
        "epoch": handle.epoch(),
        "log_dropped": log::dropped(),
    })
}
