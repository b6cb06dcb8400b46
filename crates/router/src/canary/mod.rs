//! Canaries: samples by a name of their own, which somebody sends to prove that what comes in at a listener
//! reaches its owners.
//!
//! While canaries are looked for, the data path takes them out of each batch, routes each by itself
//! (`pipeline/canary.rs`), and notes here what became of it, as seen from what it counted. They are samples
//! like all others, in the ledger too. What becomes of them at their targets stands in `trail.rs`.

mod trail;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

pub use trail::CanaryFate;
use trail::{Place, Reading, Trail};

use crate::{listen::Listener, routes::Routes, shared::Shared, target::Target};

/// The Graphite name of a canary.
pub const NAME: &str = "coco.canary.verify";

/// The collectd host of a canary.
pub const HOST: &str = "coco-canary";

/// For how long canaries are looked for after somebody has asked for it.
pub const ARMED_FOR: Duration = Duration::from_secs(10);

/// For how long what was seen is kept after that.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Copies of canaries that are kept; of more nothing is known.
const COPIES_MAX: usize = 1024;

/// What became of one copy of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanarySeen {
    /// Name of the listener's protocol.
    pub protocol: &'static str,
    /// Where the listener is bound.
    pub address: String,
    /// Its owner: tier, address text and id; `None` if it never got one.
    pub owner: Option<(String, String, String)>,
    /// What became of it.
    pub fate: CanaryFate,
}

/// What one batch has found of a canary, before it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It got no owner.
    Nowhere(CanaryFate),
    /// It was appended to the chunk of the target in this slot, as so many samples.
    Appended(usize, u64),
    /// It fell to the target in this slot, which it cannot be sent to.
    Unsendable(usize),
}

/// The canaries of a router.
#[derive(Debug, Default)]
pub(crate) struct Canaries {
    armed: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    armed_at: Option<Instant>,
    trails: Vec<Trail>,
}

impl Inner {
    fn is_armed(&self) -> bool {
        self.armed_at.is_some_and(|at| at.elapsed() < ARMED_FOR)
    }

    /// Learns what the targets have counted and hold; the gate is shut.
    fn judge(&mut self, shared: &Shared) {
        let wanted: HashSet<_> = self.trails.iter().filter_map(Trail::follows).collect();
        let readings = read(shared, &wanted);
        for trail in &mut self.trails {
            if let Some(reading) = trail.follows().and_then(|key| readings.get(&key)) {
                trail.judge(reading);
            }
        }
    }
}

impl Canaries {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for canaries from now on, for [`ARMED_FOR`]. What was seen before is forgotten.
    pub(crate) fn arm(&self) {
        let mut inner = self.lock();
        *inner = Inner { armed_at: Some(Instant::now()), trails: Vec::new() };
        // While it is locked, so that a shard that finds the last time over does not undo it.
        self.armed.store(true, Ordering::Relaxed);
    }

    /// Whether canaries are looked for: one load, unless they are.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed) && self.is_still_armed()
    }

    #[cold]
    fn is_still_armed(&self) -> bool {
        let inner = self.lock();
        let is_armed = inner.is_armed();
        if !is_armed {
            self.armed.store(false, Ordering::Relaxed);
        }
        is_armed
    }

    /// Takes down what a batch has found, before its chunks are offered; the caller holds the gate.
    #[cold]
    pub(crate) fn note(&self, listener: &Listener, routes: &Routes, found: &[Found]) {
        let mut inner = self.lock();
        for found in found {
            if let Found::Appended(slot, samples) = found
                && let Some(target) = routes.targets.get(*slot)
            {
                target.meters.canaries.add(*samples);
            }
            let place = |slot: &usize| routes.targets.get(*slot).map(|target| place_of(target));
            let (place, fate) = match found {
                Found::Nowhere(fate) => (None, Some(*fate)),
                Found::Appended(slot, _) => (place(slot), None),
                Found::Unsendable(slot) => (place(slot), Some(CanaryFate::Shed)),
            };
            if inner.trails.len() < COPIES_MAX {
                let (protocol, address) = (listener.protocol_name(), listener.address.to_string());
                inner.trails.push(Trail::new(protocol, address, place, fate));
            }
        }
    }

    /// Whether canaries are looked for, and what became of those that were seen.
    pub(crate) fn look(&self, shared: &Shared) -> (bool, Vec<CanarySeen>) {
        if self.lock().trails.iter().any(|trail| trail.follows().is_some()) {
            // In this order, as where they are noted. A reading must not be older than the trail.
            let _shut = shared.gate.shut();
            self.lock().judge(shared);
        }
        let mut inner = self.lock();
        if inner.armed_at.is_none_or(|at| at.elapsed() >= ARMED_FOR + KEPT_FOR) {
            inner.trails = Vec::new();
        }
        (inner.is_armed(), inner.trails.iter().map(Trail::seen).collect())
    }
}

fn place_of(target: &Target) -> Place {
    Place {
        tier: target.tier.clone(),
        target: target.plan.label.clone(),
        id: target.plan.id.clone(),
        shed: target.meters.shed_in_all(),
        gone: target.meters.rerouted.get() + target.meters.handed_over.get(),
    }
}

/// Tier and label of a target.
type TargetKey = (String, String);

/// What these targets have counted and hold; the gate is shut.
fn read(shared: &Shared, wanted: &HashSet<TargetKey>) -> HashMap<TargetKey, Reading> {
    let roll = shared.roll.load();
    let mut readings = HashMap::new();
    for tier in &roll.tiers {
        for row in &tier.targets {
            let key = (tier.name.clone(), row.label.clone());
            if wanted.contains(&key) {
                readings.insert(key, Reading::of(row));
            }
        }
    }
    readings
}
