//! The ledger: where every sample went, and the proof that none is missing.
//!
//! Equations, with a sample's copies counted per target:
//!
//! 1. decoded + notifications = filtered + unroutable + routed
//! 2. per tier: what fell to its targets = samples that it was given x replicas at that time
//! 3. per target: offered = sent + shed + queued + in flight
//!
//! They hold over reloads too: what was taken out keeps its row, and each batch is counted by the routes
//! that it took.
//!
//! A snapshot is taken while the [`Gate`] is shut, so it is exact also while samples flow. What is
//! queued is counted chunk by chunk then, not carried along as a total: a chunk that got lost shows.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{
    roll::{TargetRow, TierRow},
    shared::Shared,
    target::{Shed, queue::Held, spool::Link},
};

/// Shards and workers pass it once per batch while they count; a snapshot shuts it for a moment.
#[derive(Debug, Default)]
pub(crate) struct Gate(RwLock<()>);

impl Gate {
    /// Held while one batch's counts are published or one chunk's fate is settled.
    pub(crate) fn pass(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All fates at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Samples by the fate that they meet once for all tiers.
    pub samples: SampleFates,
    /// The listeners, in the order of the plan; behind them those that were taken out.
    pub listeners: Vec<ListenerCounts>,
    /// The tiers, in the order of the file; behind them those that were taken out.
    pub tiers: Vec<TierFates>,
}

/// Samples by the fate that they meet once for all tiers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleFates {
    /// Value lists, lines and datapoints decoded.
    pub decoded: u64,
    /// Notifications decoded.
    pub notifications: u64,
    /// Malformed: never decoded.
    pub malformed: u64,
    /// Taken out by the blacklist.
    pub filtered: u64,
    /// No tier can carry them.
    pub unroutable: u64,
    /// collectd samples and notifications given to tiers.
    pub routed_collectd: u64,
    /// Graphite samples given to tiers.
    pub routed_lines: u64,
}

/// What one listener read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerCounts {
    /// Name of its protocol.
    pub protocol: &'static str,
    /// The bound address.
    pub address: String,
    /// A reload has taken it out.
    pub removed: bool,
    /// Datagrams, TCP lines or pickle frames read.
    pub raw: u64,
    /// Samples decoded, notifications not among them.
    pub decoded: u64,
    /// Datagrams cut by the read buffer.
    pub truncated: u64,
    /// Datagrams dropped by the kernel.
    pub kernel_dropped: u64,
    /// Failed reads and accepts.
    pub errors: u64,
    /// Malformed input by reason.
    pub rejected: Vec<(String, u64)>,
}

/// Copies of samples in one tier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TierFates {
    /// Name of the tier.
    pub name: String,
    /// A reload has taken it out.
    pub removed: bool,
    /// Owners of each sample, now or at last.
    pub replicas: u64,
    /// Samples that the tier can carry and was given.
    pub routed: u64,
    /// Copies of them that are due to its targets.
    pub due: u64,
    /// Its targets, in the order of the file; behind them those that were taken out.
    pub targets: Vec<TargetFates>,
}

/// Copies of samples that fell to one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetFates {
    /// Address text.
    pub label: String,
    /// Identity on the ring.
    pub id: String,
    /// State of its connection; `removed` if a reload has taken it out.
    pub state: &'static str,
    /// Copies that fell to it.
    pub offered: u64,
    /// Handed to the kernel, or stored.
    pub sent: u64,
    /// Waiting in its queue.
    pub queued: u64,
    /// Bytes waiting in its queue.
    pub queued_bytes: usize,
    /// Taken from the queue, not yet sent.
    pub in_flight: u64,
    /// On disk.
    pub spooled: u64,
    /// On disk already when the process began; these were not offered to it.
    pub recovered: u64,
    /// Dropped on purpose, by reason.
    pub shed: Vec<(&'static str, u64)>,
    /// Failed writes.
    pub write_errors: u64,
    /// Failed attempts to resolve or connect.
    pub dial_errors: u64,
    /// Connections that ended.
    pub disconnects: u64,
    /// Sent, and kept to be written again if the connection breaks: these may not have arrived yet.
    pub in_doubt: u64,
    /// Written again after a connection broke; they stand in `sent` once. No more can have arrived twice.
    pub resent: u64,
}

impl Ledger {
    /// Everything the equations leave unexplained; 0 unless Coco lost count. Counted in copies.
    pub fn residual(&self) -> u64 {
        self.samples.residual() + self.tiers.iter().map(TierFates::residual).sum::<u64>()
    }

    /// The snapshot of `shared`, taken with the gate shut.
    pub(crate) fn take(shared: &Shared) -> Self {
        for row in &shared.roll.load().listeners {
            row.listener.poll_kernel_drops();
        }
        // Rejections stand in no equation: they are read before the gate is shut, to keep that short.
        let readings = shared.registry.counters();
        let _shut = shared.gate.shut();
        // Read behind the gate: who was fed before it was shut stands in it.
        let roll = shared.roll.load();
        let samples = SampleFates {
            decoded: shared.samples.decoded.get(),
            notifications: shared.samples.notifications.get(),
            malformed: shared.samples.malformed.get(),
            filtered: shared.samples.filtered.get(),
            unroutable: shared.samples.unroutable.get(),
            routed_collectd: shared.samples.routed_collectd.get(),
            routed_lines: shared.samples.routed_lines.get(),
        };
        let listeners = roll.listeners.iter();
        Self {
            samples,
            listeners: listeners.map(|row| row.listener.counts(row.removed, &readings)).collect(),
            tiers: roll.tiers.iter().map(TierFates::take).collect(),
        }
    }
}

impl SampleFates {
    fn residual(&self) -> u64 {
        let came = self.decoded + self.notifications;
        came.abs_diff(self.filtered + self.unroutable + self.routed())
    }

    /// Samples given to tiers.
    pub fn routed(&self) -> u64 {
        self.routed_collectd + self.routed_lines
    }
}

impl TierFates {
    fn take(tier: &TierRow) -> Self {
        let routed = || tier.routed.iter().map(|(replicas, count)| (replicas, count.get()));
        Self {
            name: tier.name.clone(),
            removed: tier.removed,
            replicas: tier.replicas,
            routed: routed().map(|(_, count)| count).sum(),
            due: routed().map(|(replicas, count)| replicas * count).sum(),
            targets: tier.targets.iter().map(TargetFates::take).collect(),
        }
    }

    /// Copies that fell to the tier's targets.
    pub fn offered(&self) -> u64 {
        self.targets.iter().map(|target| target.offered).sum()
    }

    /// What equations 2 and 3 leave unexplained in this tier.
    pub fn residual(&self) -> u64 {
        let unplaced = self.due.abs_diff(self.offered());
        unplaced + self.targets.iter().map(TargetFates::residual).sum::<u64>()
    }
}

impl TargetFates {
    fn take(row: &TargetRow) -> Self {
        let held = row.holders.iter().map(|target| target.held());
        let held = held.fold(Held::default(), |sum, held| sum.plus(held));
        let links = || row.holders.iter().filter_map(|target| target.link.as_ref());
        let meters = &row.meters;
        Self {
            label: row.label.clone(),
            id: row.id.clone(),
            state: row.state(),
            offered: meters.offered.get(),
            sent: meters.sent.get(),
            queued: held.queued,
            queued_bytes: held.queued_bytes,
            in_flight: held.in_flight,
            spooled: links().map(Link::held).sum(),
            recovered: links().map(Link::recovered).sum(),
            shed: Shed::ALL.map(|why| (why.as_str(), meters.shed(why).get())).to_vec(),
            write_errors: meters.write_errors.get(),
            dial_errors: meters.dial_errors.get(),
            disconnects: meters.disconnects.get(),
            in_doubt: row.holders.iter().map(|target| target.in_doubt()).sum(),
            resent: meters.resent.get(),
        }
    }

    /// Copies dropped on purpose, over all reasons.
    pub fn shed(&self) -> u64 {
        self.shed.iter().map(|(_, count)| count).sum()
    }

    fn residual(&self) -> u64 {
        let held = self.queued + self.in_flight + self.spooled;
        (self.offered + self.recovered).abs_diff(self.sent + self.shed() + held)
    }
}
