//! The one immutable value that decides where a sample goes.
//!
//! Tiers, rings, blacklist and target handles stand in one [`Routes`], published whole and loaded
//! once per read batch. The lookup of the API asks the same value with the same functions. A reload
//! publishes another one (`next.rs`), which takes over every target that stays.

pub(crate) mod explain;
mod group;
mod next;
mod ringless;

use std::sync::Arc;

use coco_ring::{Key, Ring, TargetIdx};
use coco_wire::names::Names;
use regex::bytes::Regex;

pub(crate) use group::{NameGroup, Placed, asked, has_odd_blank};
pub(crate) use ringless::Ringless;

use crate::{
    census::Census,
    plan::{KeyRule, Limits, Plan, TargetPlan, TargetProtocol, TierPlan},
    tally::Tally,
    target::Target,
    telemetry::{self, Counter, Registry},
};

/// Everything that decides where a sample goes, at one moment.
#[derive(Debug)]
pub struct Routes {
    pub(crate) tiers: Vec<Tier>,
    /// Tiers without targets.
    pub(crate) ringless: Vec<Ringless>,
    /// All targets of all tiers; a position here is a slot.
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) blacklist: Option<Regex>,
    /// Tiers that can carry collectd samples, by position.
    collectd: Vec<usize>,
    /// Tiers that can carry Graphite samples, by what they do with names.
    lines: Vec<NameGroup>,
    /// Some tier takes lines that others refuse.
    pub(crate) lenient: bool,
    /// Number of this set of members, from 1.
    pub(crate) epoch: u64,
    /// Some tier hashes the identifier of a collectd sample and not its host.
    pub(crate) series_keys: bool,
    pub(crate) limits: Limits,
    /// Distinct keys and series by slot; begun anew when slots or owners change.
    pub(crate) census: Arc<Census>,
    /// Bound of the smallest queue, in bytes.
    pub(crate) queue_bytes_min: usize,
}

/// A named set of targets behind one ring.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) name: String,
    pub(crate) protocol: TargetProtocol,
    pub(crate) key: KeyRule,
    pub(crate) names: Names,
    pub(crate) ring: Ring,
    pub(crate) digest: String,
    /// Slot of the tier's first target; the others follow.
    pub(crate) first_slot: usize,
    pub(crate) datagram_bytes_max: usize,
    pub(crate) lookups: Counter,
    /// Samples that it was given while each had so many owners as now.
    pub(crate) routed: Counter,
}

impl Routes {
    /// The routes of a plan. Opens nothing: no socket, no thread.
    pub fn new(plan: &Plan, registry: &Registry) -> Self {
        let new = |tier: &_, target: &_| Arc::new(Target::new(tier, target, registry));
        let routes = Self::with_targets(plan, registry, new);
        routes.set_bounds(plan);
        let Limits { series_max, names_max, .. } = plan.limits;
        let census = Arc::new(Census::new(series_max, names_max, routes.targets.len()));
        Self { census, ..routes }
    }

    /// The routes of a plan with targets that `target` makes or finds; their census has no room.
    fn with_targets(
        plan: &Plan,
        registry: &Registry,
        target: impl Fn(&TierPlan, &TargetPlan) -> Arc<Target>,
    ) -> Self {
        let mut tiers = Vec::with_capacity(plan.tiers.len());
        let mut targets = Vec::new();
        for tier in &plan.tiers {
            tiers.push(Tier::new(tier, targets.len(), registry));
            targets.extend(tier.targets.iter().map(|plan| target(tier, plan)));
        }
        let positions = (0..tiers.len()).zip(&tiers);
        let collectd = positions.filter(|(_, t)| t.carries_collectd()).map(|(at, _)| at).collect();
        let lines = NameGroup::all(&tiers);
        Self {
            collectd,
            lenient: lines.iter().any(|group| group.names != Names::Sorted),
            lines,
            epoch: 1,
            series_keys: tiers.iter().any(|t| t.carries_collectd() && t.key == KeyRule::Series),
            blacklist: plan.blacklist.clone(),
            limits: plan.limits.clone(),
            census: Arc::default(),
            queue_bytes_min: plan.tiers.iter().map(|t| t.queue_bytes).min().unwrap_or(usize::MAX),
            tiers,
            ringless: plan.ringless.iter().map(|tier| Ringless::new(tier, registry)).collect(),
            targets,
        }
    }

    /// Gives the targets, which are those of the plan, its bounds.
    pub(crate) fn set_bounds(&self, plan: &Plan) {
        let mut targets = self.targets.iter();
        for tier in &plan.tiers {
            let resend_bytes = plan.resend_bytes(tier);
            // In this order: the other way round one target too many is taken.
            for (plan, target) in tier.targets.iter().zip(targets.by_ref()) {
                target.set_probe(&plan.probe);
                target.queue.set_bounds(tier.queue_bytes, tier.block_timeout);
                target.set_resend_bytes(resend_bytes);
            }
        }
    }

    /// The tiers that can carry collectd samples.
    #[inline]
    pub(crate) fn collectd_tiers(&self) -> impl ExactSizeIterator<Item = &Tier> {
        self.collectd.iter().map(|&at| &self.tiers[at]) // positions in `tiers`: made by `new`
    }

    /// The rules for Graphite names of the tiers that can carry Graphite samples.
    #[inline]
    pub(crate) fn name_groups(&self) -> &[NameGroup] {
        &self.lines
    }

    /// The tiers of one group.
    #[inline]
    pub(crate) fn tiers_of(&self, group: &NameGroup) -> impl Iterator<Item = &Tier> {
        group.tiers.iter().map(|&at| &self.tiers[at]) // positions in `tiers`: made by `new`
    }

    /// The owners of `name` in each tier, in the order of the file: what the data path would do. Tiers without a
    /// ring stand behind the others.
    ///
    /// A tier that carries Graphite samples takes it for a Graphite name, and cleans it first if it
    /// follows a relay that does; a name that no line can have is owned by nobody. A collectd tier takes
    /// it for a host, or for an identifier if it hashes those.
    pub fn owners(&self, name: &[u8]) -> Vec<TierOwners<'_>> {
        let mut scratch = Vec::new();
        let tiers = self.tiers.iter();
        tiers
            .map(|tier| {
                let named = asked(tier.protocol, &tier.names, name, &mut scratch);
                self.owned(tier, named.map(|named| Key::new(named.key)).as_ref())
            })
            .chain(self.unowned())
            .collect()
    }

    /// The owners of exactly these key bytes in each tier.
    pub fn owners_raw(&self, key: &[u8]) -> Vec<TierOwners<'_>> {
        let key = Key::new(key);
        self.tiers.iter().map(|tier| self.owned(tier, Some(&key))).chain(self.unowned()).collect()
    }

    fn owned<'r>(&'r self, tier: &'r Tier, key: Option<&Key<'_>>) -> TierOwners<'r> {
        let slots = key.into_iter().flat_map(|key| tier.slots(key));
        TierOwners { tier: &tier.name, targets: slots.filter_map(|s| self.label(s)).collect() }
    }

    fn label(&self, slot: usize) -> Option<&str> {
        self.targets.get(slot).map(|target| target.plan.label.as_str())
    }
}

/// The owners of one key in one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierOwners<'a> {
    /// Name of the tier.
    pub tier: &'a str,
    /// Address texts of the owners, the first one first.
    pub targets: Vec<&'a str>,
}

impl Tier {
    fn new(plan: &TierPlan, first_slot: usize, registry: &Registry) -> Self {
        let replicas = plan.ring.replicas().to_string();
        let labels = [("tier", plan.name.as_str()), ("replicas", replicas.as_str())];
        Self {
            name: plan.name.clone(),
            protocol: plan.protocol,
            key: plan.key,
            names: plan.names.clone(),
            digest: plan.ring.digest(),
            ring: plan.ring.clone(),
            first_slot,
            datagram_bytes_max: plan.datagram_bytes_max,
            lookups: registry.counter(telemetry::LOOKUPS, &[("tier", &plan.name)]),
            routed: registry.counter(telemetry::TIER_ROUTED, &labels),
        }
    }

    /// Counts what a batch gave to the tier; the caller holds the gate.
    pub(crate) fn count(&self, tally: &Tally) {
        self.routed.add(tally.given_to(self.protocol));
    }

    pub(crate) fn carries_collectd(&self) -> bool {
        self.protocol.carries_collectd()
    }

    pub(crate) fn carries_lines(&self) -> bool {
        self.protocol.carries_lines()
    }

    pub(crate) fn slot(&self, owner: TargetIdx) -> usize {
        self.first_slot + usize::from(owner)
    }

    /// The slots that own `key`.
    pub(crate) fn slots(&self, key: &Key<'_>) -> impl Iterator<Item = usize> {
        self.ring.owners(key).into_iter().map(|owner| self.slot(owner))
    }

    /// The slots of all its targets.
    pub(crate) fn all_slots(&self) -> std::ops::Range<usize> {
        self.first_slot..self.first_slot + self.ring.members().len()
    }
}
