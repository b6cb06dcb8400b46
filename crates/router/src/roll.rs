//! The roll: every listener, tier and target that this process has had, a row each in the ledger.
//!
//! What a reload takes out keeps its row, because counters never go back; what comes again under its old
//! name counts on in its old row. The roll is immutable and published before the routes that need it, so
//! that whoever is fed stands in it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    listen::Listener,
    routes::Routes,
    target::{Meters, Target},
    telemetry::Counter,
};

/// All rows, what is in force first, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roll {
    pub(crate) listeners: Vec<ListenerRow>,
    pub(crate) tiers: Vec<TierRow>,
}

/// A listener of the present or of the past.
#[derive(Debug, Clone)]
pub(crate) struct ListenerRow {
    pub(crate) listener: Arc<Listener>,
    pub(crate) removed: bool,
}

/// A tier of the present or of the past.
#[derive(Debug, Clone)]
pub(crate) struct TierRow {
    pub(crate) name: String,
    /// Owners of each key, now or at last; 0 without a ring.
    pub(crate) replicas: u64,
    pub(crate) removed: bool,
    /// Samples that it was given, by the number of owners that each had.
    pub(crate) routed: Vec<(u64, Counter)>,
    pub(crate) targets: Vec<TargetRow>,
}

/// A target of the present or of the past, by its label.
#[derive(Debug, Clone)]
pub(crate) struct TargetRow {
    pub(crate) label: String,
    pub(crate) id: String,
    pub(crate) removed: bool,
    pub(crate) meters: Meters,
    /// Those that may hold samples, the one in force last: of one that was taken out, until its worker ends.
    pub(crate) holders: Vec<Arc<Target>>,
}

impl Roll {
    /// The roll for these routes and listeners, with the rows that there were before.
    pub(crate) fn next(&self, routes: &Routes, listeners: &[Arc<Listener>]) -> Self {
        let key = |listener: &Listener| (listener.protocol, listener.address);
        let mut before = Before::new(&self.listeners, |row| key(&row.listener));
        let row = |listener: &Arc<Listener>| {
            // Its counters are the same ones if it was there before.
            before.take(&key(listener));
            ListenerRow { listener: Arc::clone(listener), removed: false }
        };
        let mut rows: Vec<_> = listeners.iter().map(row).collect();
        rows.extend(before.rest().map(|row| ListenerRow { removed: true, ..row }));
        let mut before = Before::new(&self.tiers, |row| row.name.clone());
        let with_ring = routes.tiers.iter().map(|tier| {
            let replicas = u64::try_from(tier.ring.replicas()).unwrap_or(u64::MAX);
            let targets = routes.targets.get(tier.all_slots()).unwrap_or_default();
            (&tier.name, (replicas, &tier.routed), targets)
        });
        let ringless = routes.ringless.iter().map(|tier| (&tier.name, (0, &tier.shed), &[][..]));
        let row = |(name, routed, targets): (&String, _, _)| {
            TierRow::next(before.take(name), name, routed, targets)
        };
        let mut tiers: Vec<_> = with_ring.chain(ringless).map(row).collect();
        tiers.extend(before.rest().map(TierRow::removed));
        Self { listeners: rows, tiers }
    }

    /// The same without these targets, whose workers have ended.
    pub(crate) fn without(&self, ended: &[Arc<Target>]) -> Self {
        let mut roll = self.clone();
        for row in roll.tiers.iter_mut().flat_map(|tier| &mut tier.targets) {
            row.holders.retain(|holder| !ended.iter().any(|target| Arc::ptr_eq(target, holder)));
        }
        roll
    }

    /// Targets and listeners in it.
    pub(crate) fn rows(&self) -> usize {
        self.listeners.len() + self.tiers.iter().map(|tier| tier.targets.len()).sum::<usize>()
    }

    /// Every target that may hold samples.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.tiers.iter().flat_map(|tier| &tier.targets).flat_map(|row| &row.holders)
    }
}

impl TierRow {
    fn next(
        before: Option<Self>,
        name: &str,
        (replicas, count): (u64, &Counter),
        targets: &[Arc<Target>],
    ) -> Self {
        let (mut routed, rows) = before.map_or_else(Default::default, |b| (b.routed, b.targets));
        if routed.iter().all(|(known, _)| *known != replicas) {
            routed.push((replicas, count.clone()));
        }
        let mut before = Before::new(&rows, |row| row.label.clone());
        let row = |target: &Arc<Target>| TargetRow::next(before.take(&target.plan.label), target);
        let mut targets: Vec<_> = targets.iter().map(row).collect();
        targets.extend(before.rest().map(TargetRow::removed));
        Self { name: name.to_owned(), replicas, removed: false, routed, targets }
    }

    fn removed(self) -> Self {
        let targets = self.targets.into_iter().map(TargetRow::removed).collect();
        Self { removed: true, targets, ..self }
    }
}

impl TargetRow {
    fn next(before: Option<Self>, target: &Arc<Target>) -> Self {
        let mut holders = before.map_or_else(Vec::new, |row| row.holders);
        holders.retain(|holder| !Arc::ptr_eq(holder, target));
        holders.push(Arc::clone(target));
        Self {
            label: target.plan.label.clone(),
            id: target.plan.id.clone(),
            removed: false,
            meters: target.meters.clone(),
            holders,
        }
    }

    fn removed(self) -> Self {
        Self { removed: true, ..self }
    }

    /// State of its connection, or that it was taken out.
    pub(crate) fn state(&self) -> &'static str {
        match self.holders.last() {
            Some(target) if !self.removed => target.state().as_str(),
            Some(_) | None => "removed",
        }
    }

    /// How long that has been so; zero for one that was taken out.
    pub(crate) fn state_since(&self) -> Duration {
        let present = self.holders.last().filter(|_| !self.removed);
        present.map_or(Duration::ZERO, |target| target.standing.since())
    }
}

/// Rows of an older roll, to be taken by their keys.
struct Before<K, R> {
    rows: Vec<Option<R>>,
    places: HashMap<K, usize>,
}

impl<K: std::hash::Hash + Eq, R: Clone> Before<K, R> {
    fn new(rows: &[R], key: impl Fn(&R) -> K) -> Self {
        let places = rows.iter().enumerate().map(|(place, row)| (key(row), place)).collect();
        Self { rows: rows.iter().cloned().map(Some).collect(), places }
    }

    fn take<Q: ?Sized + std::hash::Hash + Eq>(&mut self, key: &Q) -> Option<R>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.rows.get_mut(*self.places.get(key)?)?.take()
    }

    /// Those that nobody took, in their order.
    fn rest(self) -> impl Iterator<Item = R> {
        self.rows.into_iter().flatten()
    }
}
