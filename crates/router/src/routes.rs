//! The one immutable value that decides where a sample goes.
//!
//! Tiers, rings, blacklist and target handles stand in one [`Routes`], published whole and loaded
//! once per read batch. The lookup of the API asks the same value with the same functions.

use std::sync::Arc;

use coco_ring::{Key, Ring, TargetIdx};
use coco_wire::line::tag_key;
use regex::bytes::Regex;

use crate::{
    plan::{KeyRule, Plan, TargetProtocol, TierPlan},
    target::Target,
    telemetry::{self, Counter, Registry},
};

/// Everything that decides where a sample goes, at one moment.
#[derive(Debug)]
pub struct Routes {
    pub(crate) tiers: Vec<Tier>,
    /// All targets of all tiers; a position here is a slot.
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) blacklist: Option<Regex>,
    /// Tiers that can carry collectd samples, by position.
    collectd: Vec<usize>,
    /// Tiers that can carry Graphite samples, by position.
    lines: Vec<usize>,
    /// Some tier hashes the identifier of a collectd sample and not its host.
    pub(crate) series_keys: bool,
}

/// A named set of targets behind one ring.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) name: String,
    pub(crate) protocol: TargetProtocol,
    pub(crate) key: KeyRule,
    pub(crate) ring: Ring,
    /// Slot of the tier's first target; the others follow.
    pub(crate) first_slot: usize,
    pub(crate) datagram_bytes_max: usize,
    pub(crate) lookups: Counter,
}

impl Routes {
    /// The routes of a plan. Opens nothing: no socket, no thread.
    pub fn new(plan: &Plan, registry: &Registry) -> Self {
        let mut tiers = Vec::with_capacity(plan.tiers.len());
        let mut targets = Vec::new();
        for tier in &plan.tiers {
            tiers.push(Tier::new(tier, targets.len(), registry));
            targets.extend(tier.targets.iter().map(|t| Arc::new(Target::new(tier, t, registry))));
        }
        let carrying = |carries: fn(&Tier) -> bool| {
            (0..tiers.len()).filter(|&at| tiers.get(at).is_some_and(carries)).collect()
        };
        Self {
            collectd: carrying(Tier::carries_collectd),
            lines: carrying(Tier::carries_lines),
            series_keys: tiers.iter().any(|t| t.carries_collectd() && t.key == KeyRule::Series),
            blacklist: plan.blacklist.clone(),
            tiers,
            targets,
        }
    }

    /// The tiers that can carry collectd samples.
    #[inline]
    pub(crate) fn collectd_tiers(&self) -> impl ExactSizeIterator<Item = &Tier> {
        self.collectd.iter().map(|&at| &self.tiers[at]) // positions in `tiers`: made by `new`
    }

    /// The tiers that can carry Graphite samples.
    #[inline]
    pub(crate) fn line_tiers(&self) -> impl ExactSizeIterator<Item = &Tier> {
        self.lines.iter().map(|&at| &self.tiers[at]) // positions in `tiers`: made by `new`
    }

    /// The owners of `name` in each tier, in the order of the file: what the data path would do.
    ///
    /// A tier that carries Graphite samples takes it for a Graphite name, whose tags are sorted first;
    /// a collectd tier takes it for a host, or for an identifier if it hashes those.
    pub fn owners(&self, name: &[u8]) -> Vec<TierOwners<'_>> {
        let mut scratch = Vec::new();
        let (line, host) = (Key::new(tag_key(name, &mut scratch)), Key::new(name));
        self.asked(|tier| if tier.carries_lines() { line } else { host })
    }

    /// The owners of exactly these key bytes in each tier.
    pub fn owners_raw(&self, key: &[u8]) -> Vec<TierOwners<'_>> {
        self.asked(|_| Key::new(key))
    }

    fn asked<'k>(&self, key: impl Fn(&Tier) -> Key<'k>) -> Vec<TierOwners<'_>> {
        let owners = |tier: &Tier| tier.slots(&key(tier)).filter_map(|s| self.label(s)).collect();
        let tiers = self.tiers.iter();
        tiers.map(|tier| TierOwners { tier: &tier.name, targets: owners(tier) }).collect()
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
        Self {
            name: plan.name.clone(),
            protocol: plan.protocol,
            key: plan.key,
            ring: plan.ring.clone(),
            first_slot,
            datagram_bytes_max: plan.datagram_bytes_max,
            lookups: registry.counter(telemetry::LOOKUPS, &[("tier", &plan.name)]),
        }
    }

    pub(crate) fn carries_collectd(&self) -> bool {
        matches!(self.protocol, TargetProtocol::Collectd | TargetProtocol::Embedded)
    }

    pub(crate) fn carries_lines(&self) -> bool {
        !matches!(self.protocol, TargetProtocol::Collectd)
    }

    pub(crate) fn slot(&self, owner: TargetIdx) -> usize {
        self.first_slot + usize::from(owner)
    }

    /// The slots that own `key`.
    pub(crate) fn slots(&self, key: &Key<'_>) -> impl Iterator<Item = usize> {
        self.ring.owners(key).iter().map(|&owner| self.slot(owner))
    }

    /// The slots of all its targets.
    pub(crate) fn all_slots(&self) -> std::ops::Range<usize> {
        self.first_slot..self.first_slot + self.ring.members().len()
    }
}
