//! What the API sees of a running router, and the way to change it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use coco_wire::names::Names;
use tokio::time::{Instant, sleep};

use crate::{
    canary::CanarySeen,
    census::{Census, SlotCount},
    control::Control,
    ledger::Ledger,
    plan::{KeyRule, Plan, TargetProtocol},
    reload::{self, Changes, ReloadError},
    routes::Routes,
    shared::Shared,
    target::{Target, embedded::Series},
    telemetry::Registry,
};

/// What the API sees of a running router. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    control: Arc<Control>,
}

/// A tier as `/tiers` shows it.
#[derive(Debug, Clone)]
pub struct TierView {
    /// Name of the tier.
    pub name: String,
    /// What its targets speak.
    pub protocol: TargetProtocol,
    /// Which bytes of a collectd sample are hashed.
    pub key: KeyRule,
    /// What becomes of Graphite names.
    pub names: Names,
    /// The placement function and its numbers.
    pub ring: coco_ring::Ring,
    /// The digest of the ring.
    pub digest: String,
    /// Address texts of its targets, in the order of the file.
    pub labels: Vec<String>,
    /// State of each target's connection.
    pub states: Vec<&'static str>,
    /// Distinct keys of each target.
    pub keys: Vec<u64>,
    /// Distinct series of each target.
    pub series: Vec<u64>,
    /// For each target: the number of series of each of its hosts.
    pub series_per_host: Vec<Vec<u64>>,
    /// For each target: keys that are one series each.
    pub singles: Vec<u64>,
    /// Most of its targets went down at once: the fault is probably on this side.
    pub suspect_self: bool,
    /// Names looked up in this tier.
    pub lookups: u64,
}

/// How much there may be of what is counted, by the plan in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes that all queues together may hold.
    pub memory_bytes: usize,
    /// Open client connections.
    pub connections: usize,
    /// Bytes on disk: of all targets together, and of one; `None` without a spool.
    pub spool_bytes: Option<(u64, u64)>,
    /// Tier, address text and the bytes that may wait in memory, for each target.
    pub queues: Vec<(String, String, usize)>,
}

/// A series by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesSeen {
    /// collectd: the host. Graphite: the name.
    pub host: Vec<u8>,
    /// collectd: plugin/instance/type/type_instance, empty parts left out. Graphite: empty.
    pub rest: Vec<u8>,
    /// collectd: the identifier, `host/plugin[-instance]/type[-instance]`, in which a slash of the host is
    /// `_`. Graphite: empty.
    pub identifier: Vec<u8>,
    /// Its owners: tier and target.
    pub owners: Vec<(String, String)>,
    /// Unix time of the last sample, to 10 s.
    pub last_seen: u64,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, control: Arc<Control>) -> Self {
        Self { shared, control }
    }

    /// Puts another plan in force. What is the same in both goes on untouched: connections, queues,
    /// clients, counters. A target that is taken out gets what it is due within `retire_within`; what is
    /// left then is shed. One that spools gets it without a deadline, or its heir or the new owners do.
    ///
    /// To be called on the runtime that the router was started on, and not to be dropped before its end.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub async fn reload(
        &self,
        plan: Plan,
        retire_within: Duration,
    ) -> Result<Changes, ReloadError> {
        reload::reload(&self.shared, &self.control, plan, retire_within).await
    }

    /// The routes in force.
    pub fn routes(&self) -> Arc<Routes> {
        self.shared.routes.load_full()
    }

    /// Counts so many look-ups in every tier.
    pub fn count_lookups(&self, count: u64) {
        self.shared.routes.load().tiers.iter().for_each(|tier| tier.lookups.add(count));
    }

    /// Whether most of a tier went down at once, for each tier.
    pub fn doubts(&self) -> Vec<(String, bool)> {
        let (routes, doubts) = (self.shared.routes.load(), self.shared.doubts.load());
        routes.tiers.iter().map(|tier| (tier.name.clone(), doubts.contains(&tier.name))).collect()
    }

    /// Names looked up in each tier.
    pub fn lookups(&self) -> Vec<(String, u64)> {
        let routes = self.shared.routes.load();
        routes.tiers.iter().map(|tier| (tier.name.clone(), tier.lookups.get())).collect()
    }

    /// All fates, exact at one moment, which is a few milliseconds ago at most.
    pub fn ledger(&self) -> Arc<Ledger> {
        Ledger::recent(&self.shared)
    }

    /// All fates, exact at one moment that is not before this call. Waits some milliseconds where many ask.
    pub async fn ledger_from_now(&self) -> Arc<Ledger> {
        let asked = Instant::now();
        loop {
            match Ledger::since(&self.shared, asked) {
                Ok(ledger) => return ledger,
                Err(left) => sleep(left).await,
            }
        }
    }

    /// Looks for canaries from now on, for [`canary::ARMED_FOR`](crate::canary::ARMED_FOR). What was seen before
    /// is forgotten.
    pub fn arm_canaries(&self) {
        self.shared.canaries.arm();
    }

    /// Whether canaries are looked for, and what became of those that were seen since they were; kept for a
    /// minute.
    pub fn canaries(&self) -> (bool, Vec<CanarySeen>) {
        self.shared.canaries.look(&self.shared)
    }

    /// The registry of all counters.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// Some of the numbers of distinct keys and series are estimates.
    pub fn is_estimated(&self) -> bool {
        self.shared.routes.load().census.is_estimated()
    }

    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bytes that all queues together may hold.
    pub fn memory_max(&self) -> usize {
        self.shared.routes.load().limits.memory_bytes_max
    }

    /// Bytes that all queues together held, a tenth of a second ago at most.
    pub fn memory(&self) -> usize {
        self.shared.memory()
    }

    /// What bounds them, and the rest.
    pub fn bounds(&self) -> Bounds {
        let routes = self.shared.routes.load();
        let queues = |tier: &crate::routes::Tier| -> Vec<_> {
            let targets = routes.targets.get(tier.all_slots()).unwrap_or_default().iter();
            let row = |target: &Arc<Target>| {
                (tier.name.clone(), target.plan.label.clone(), target.queue.bytes_max())
            };
            targets.map(row).collect()
        };
        Bounds {
            memory_bytes: routes.limits.memory_bytes_max,
            connections: routes.limits.connections_max,
            spool_bytes: self.shared.spool_bytes_max,
            queues: routes.tiers.iter().flat_map(queues).collect(),
        }
    }

    /// How long ago the shard that has been silent longest was heard; a working one is heard twice a
    /// second.
    pub fn silence(&self) -> Duration {
        self.shared.silence()
    }

    /// The tiers with what is known of their targets.
    pub fn tiers(&self) -> Vec<TierView> {
        let routes = self.shared.routes.load();
        let doubts = self.shared.doubts.load();
        let (counts, per_host) = routes.census.counts();
        let view = |tier: &crate::routes::Tier| {
            let slots = tier.all_slots();
            let targets = routes.targets.get(slots.clone()).unwrap_or_default();
            let counts: &[SlotCount] = counts.get(slots.clone()).unwrap_or_default();
            let per_host = per_host.get(slots).unwrap_or_default();
            TierView {
                name: tier.name.clone(),
                protocol: tier.protocol,
                key: tier.key,
                names: tier.names.clone(),
                ring: tier.ring.clone(),
                digest: tier.digest.clone(),
                labels: targets.iter().map(|t| t.plan.label.clone()).collect(),
                states: targets.iter().map(|t| t.state().as_str()).collect(),
                keys: counts.iter().map(|count| count.keys).collect(),
                series: counts.iter().map(|count| count.series).collect(),
                series_per_host: per_host.to_vec(),
                singles: counts.iter().map(|count| count.singles).collect(),
                suspect_self: doubts.contains(&tier.name),
                lookups: tier.lookups.get(),
            }
        };
        routes.tiers.iter().map(view).collect()
    }

    /// Distinct series seen, over all targets.
    pub fn series_count(&self) -> u64 {
        self.shared.routes.load().census.series()
    }

    /// Number of the set of members in force, from 1.
    pub fn epoch(&self) -> u64 {
        self.shared.routes.load().epoch
    }

    /// Up to `count` of the series known by name, from the one at `start` on; known are the first ones
    /// seen, as many as [`crate::plan::Limits::names_max`] allows. New series wait meanwhile.
    pub fn series(&self, start: usize, count: usize) -> Vec<SeriesSeen> {
        let routes = self.routes();
        seen(&routes, &routes.census, start, count)
    }

    /// The first series that the blacklist took out, by name.
    pub fn blacklisted(&self) -> Vec<SeriesSeen> {
        seen(&self.routes(), &self.shared.blacklisted, 0, usize::MAX)
    }

    /// What embedded targets hold of the series or host `name`: tier, target, series.
    pub fn embedded(&self, name: &[u8], limit: usize) -> Vec<(String, String, Vec<Series>)> {
        let routes = self.shared.routes.load();
        let stores = routes.targets.iter().filter_map(|t| Some((t, t.store.as_ref()?)));
        stores
            .map(|(t, store)| (t.tier.clone(), t.plan.label.clone(), store.find(name, limit)))
            .filter(|(_, _, series)| !series.is_empty())
            .collect()
    }
}

fn seen(routes: &Routes, census: &Census, start: usize, count: usize) -> Vec<SeriesSeen> {
    let owner = |slot: &usize| {
        let target = routes.targets.get(*slot)?;
        Some((target.tier.clone(), target.plan.label.clone()))
    };
    let names = census.names(start, count).into_iter();
    names
        .map(|(name, last_seen)| SeriesSeen {
            owners: name.slots.iter().filter_map(owner).collect(),
            host: name.host.into_vec(),
            rest: name.rest.into_vec(),
            identifier: name.identifier.into_vec(),
            last_seen,
        })
        .collect()
}
