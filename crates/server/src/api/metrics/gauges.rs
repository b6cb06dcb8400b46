//! The gauges of `/metrics`: for each its name, its help, and where its numbers stand.

use std::sync::Arc;

use coco_router::{Bounds, Handle, Ledger, SpoolFacts, TargetFates, TierView};

use super::{Labels, count};
use crate::{
    VERSION,
    api::{Api, health, vars},
    log,
};

/// Name, help, and what it shows.
pub(super) type Gauge = (&'static str, &'static str, fn(&Seen<'_>) -> Rows);

/// The values of a gauge by labels.
pub(super) type Rows = Vec<(Labels, u64)>;

/// All of them, in the order in which they are told.
pub(super) const GAUGES: [Gauge; 29] = [
    ("coco_target_queued", "Samples waiting for the target.", |now| now.targets(|t| t.queued)),
    ("coco_target_queued_bytes", "Bytes waiting for the target.", |now| {
        now.targets(|target| count(target.queued_bytes))
    }),
    ("coco_target_in_flight", "Samples taken from the queue and not yet sent.", |now| {
        now.targets(|target| target.in_flight)
    }),
    ("coco_target_state_seconds", "For how long the target has been in this state.", |now| {
        now.states()
    }),
    (
        "coco_tier_suspect_self",
        "1 while most of the tier, which went down at once, is down: the fault is probably on this side.",
        |now| now.tiers(|tier| (of_tier(tier), tier.suspect_self.into())),
    ),
    (
        "coco_target_in_doubt",
        "Samples sent that are kept to be sent again if the connection breaks.",
        |now| now.targets(|target| target.in_doubt),
    ),
    ("coco_spool_depth", "Samples on disk for the target.", |now| {
        now.spools(|target, _| Some(target.spooled))
    }),
    ("coco_spool_bytes", "Bytes on disk for the target.", |now| {
        now.spools(|_, spool| Some(spool.bytes))
    }),
    ("coco_spool_oldest_age_seconds", "How long ago its oldest sample was spooled.", |now| {
        now.spools(|_, spool| Some(spool.age()))
    }),
    (
        "coco_spool_eta_seconds",
        "Seconds until nothing waits for it; absent while nobody can tell.",
        |now| now.spools(|_, spool| spool.eta),
    ),
    ("coco_hash_keys", "Distinct keys (collectd hosts, Graphite names) of the target.", |now| {
        now.distinct(|tier| &tier.keys)
    }),
    ("coco_hash_series", "Distinct series of the target.", |now| now.distinct(|tier| &tier.series)),
    ("coco_ring_info", "1; the labels tell the ring of the tier.", |now| {
        now.tiers(|tier| (of_ring(tier), 1))
    }),
    ("coco_ring_epoch", "Number of the set of members in force.", |now| one(now.handle().epoch())),
    ("coco_hash_estimated", "1 when the two above are estimates.", |now| {
        one(now.handle().is_estimated().into())
    }),
    (
        "coco_ledger_residual",
        "Samples the ledger cannot explain; 0 when Coco has not lost count.",
        |now| one(now.ledger.residual()),
    ),
    (
        "coco_queues_bytes",
        "Bytes that all queues together hold; bounded by limits.memory.",
        |now| one(count(now.handle().memory())),
    ),
    ("coco_connections", "Open client connections.", |now| one(count(now.handle().connections()))),
    (
        "coco_log_dropped",
        "Lines of the log that were not written because standard error took none.",
        |_| one(log::dropped()),
    ),
    ("coco_process_start_time_seconds", "Unix time of the start.", |now| one(now.api.started_unix)),
    ("coco_last_reload_time_seconds", "Unix time of the last good reload; 0 before it.", |now| {
        one(now.api.status.last().unwrap_or_default())
    }),
    // How much there may be of what is above, for alerts that say "nearly full".
    ("coco_target_queue_bytes_max", "Bytes that may wait for the target.", |now| {
        now.queue_bounds()
    }),
    ("coco_queues_bytes_max", "Bytes that all queues together may hold: limits.memory.", |now| {
        one(count(now.bounds.memory_bytes))
    }),
    ("coco_connections_max", "Client connections that may be open: limits.connections.", |now| {
        one(count(now.bounds.connections))
    }),
    ("coco_spool_bytes_max", "Bytes that may be on disk: spool.size.", |now| {
        now.bounds.spool_bytes.map_or_else(Rows::new, |(all, _)| one(all))
    }),
    (
        "coco_spool_target_bytes_max",
        "Bytes that may be on disk for one target: spool.per_target.",
        |now| now.bounds.spool_bytes.map_or_else(Rows::new, |(_, each)| one(each)),
    ),
    ("coco_ready", "1 while /readyz says 200: new traffic is welcome.", |now| {
        one(health::is_ready(now.api).into())
    }),
    ("coco_process_resident_bytes", "Resident memory of the process.", |_| {
        one(vars::resident_bytes())
    }),
    ("coco_build_info", "1; the label tells the version.", |_| {
        vec![(vec![("version", VERSION.to_owned())], 1)]
    }),
];

/// What all gauges read, taken once.
pub(super) struct Seen<'a> {
    api: &'a Api,
    ledger: Arc<Ledger>,
    tiers: Vec<TierView>,
    bounds: Bounds,
}

impl<'a> Seen<'a> {
    pub(super) fn now(api: &'a Api) -> Self {
        let handle = &api.handle;
        Self { api, ledger: handle.ledger(), tiers: handle.tiers(), bounds: handle.bounds() }
    }

    fn handle(&self) -> &Handle {
        &self.api.handle
    }

    /// A row for each target.
    fn targets(&self, value: fn(&TargetFates) -> u64) -> Rows {
        self.fates().map(|(labels, target)| (labels, value(target))).collect()
    }

    /// A row for each target that has a place on disk and this value.
    fn spools(&self, value: fn(&TargetFates, SpoolFacts) -> Option<u64>) -> Rows {
        let row =
            |(labels, target): (_, &TargetFates)| Some((labels, value(target, target.spool?)?));
        self.fates().filter_map(row).collect()
    }

    fn states(&self) -> Rows {
        let states = self.fates().map(|(mut labels, target)| {
            labels.push(("state", target.state.to_owned()));
            (labels, target.state_seconds)
        });
        states.collect()
    }

    fn fates(&self) -> impl Iterator<Item = (Labels, &TargetFates)> {
        let tiers = self.ledger.tiers.iter();
        tiers.flat_map(|tier| {
            tier.targets.iter().map(|target| (of_target(&tier.name, &target.label), target))
        })
    }

    fn tiers(&self, row: fn(&TierView) -> (Labels, u64)) -> Rows {
        self.tiers.iter().map(row).collect()
    }

    /// A row for each target that a tier counts something of.
    fn distinct(&self, counts: fn(&TierView) -> &Vec<u64>) -> Rows {
        let rows = self.tiers.iter().flat_map(|tier| {
            let counts = tier.labels.iter().zip(counts(tier));
            counts.map(|(target, count)| (of_target(&tier.name, target), *count))
        });
        rows.collect()
    }

    fn queue_bounds(&self) -> Rows {
        let queues = self.bounds.queues.iter();
        queues.map(|(tier, target, most)| (of_target(tier, target), count(*most))).collect()
    }
}

/// The one value of a gauge without labels.
fn one(value: u64) -> Rows {
    vec![(Labels::new(), value)]
}

fn of_tier(tier: &TierView) -> Labels {
    vec![("tier", tier.name.clone())]
}

fn of_ring(tier: &TierView) -> Labels {
    let hash = tier.ring.algorithm().to_string();
    vec![("tier", tier.name.clone()), ("hash", hash), ("digest", tier.digest.clone())]
}

fn of_target(tier: &str, target: &str) -> Labels {
    vec![("tier", tier.to_owned()), ("target", target.to_owned())]
}
