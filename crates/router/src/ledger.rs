//! The ledger: where every sample went, and the proof that none is missing.
//!
//! Equations, with a sample's copies counted per target:
//!
//! 1. per listener: raw = ok + partial + bad
//! 2. decoded + notifications = filtered + unroutable + routed
//! 3. per tier: what fell to its targets = samples that it was given x replicas at that time; while it had no
//!    ring these were none, and the sample was shed (`no_ring`)
//! 4. per target, in memory: offered + inherited + taken over
//!    = sent live + shed live + to disk + queued + in flight + handed over
//! 5. per target, on disk: to disk + found there = replayed + shed there + rerouted + spooled
//! 6. per tier: taken over = rerouted
//!
//! They hold over reloads too: what was taken out keeps its row, and each batch is counted by the routes
//! that it took.
//!
//! A snapshot is taken while the [`Gate`] is shut, so it is exact also while samples flow. What is
//! queued is counted chunk by chunk then, not carried along as a total: a chunk that got lost shows.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    roll::{TargetRow, TierRow},
    shared::Shared,
    target::{
        Shed,
        queue::Held,
        spool::{Link, OnDisk},
    },
    telemetry::Reading,
};

/// A snapshot of this age is as good as a new one.
const RECENT: Duration = Duration::from_millis(2);

/// Shards and workers pass it once per batch while they count; a snapshot shuts it for a moment.
#[derive(Debug, Default)]
pub(crate) struct Gate(RwLock<()>);

impl Gate {
    /// Held while one batch's counts are published or one chunk's fate is settled.
    pub(crate) fn pass(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody counts while it is held.
    pub(crate) fn shut(&self) -> RwLockWriteGuard<'_, ()> {
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
    /// Of them: all could be used.
    pub ok: u64,
    /// Some could be used.
    pub partial: u64,
    /// Nothing could be used.
    pub bad: u64,
    /// Samples decoded, notifications not among them.
    pub decoded: u64,
    /// Datagrams cut by the read buffer.
    pub truncated: u64,
    /// Probe datagrams of a Coco; they are not in `raw`.
    pub probes: u64,
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
    /// Owners of each sample, now or at last; 0 without a ring.
    pub replicas: u64,
    /// Samples that the tier can carry and was given.
    pub routed: u64,
    /// Of them: shed, because the tier had no ring.
    pub no_ring: u64,
    /// Copies of the others that are due to its targets.
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
    /// For how many seconds that has been so.
    pub state_seconds: u64,
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
    /// On disk already when the process began, or taken over from the process before it; these were not
    /// offered to it.
    pub recovered: u64,
    /// Of those: taken over from the process before it.
    pub inherited: u64,
    /// Moved to disk.
    pub to_disk: u64,
    /// Of those sent: came from disk.
    pub replayed: u64,
    /// Of those shed: were on disk.
    pub shed_on_disk: u64,
    /// Spooled for another target of the tier, and come here.
    pub taken_over: u64,
    /// Spooled for it, and gone on to another target of the tier.
    pub rerouted: u64,
    /// More about what is on disk; `None` for one without a spool.
    pub spool: Option<SpoolFacts>,
    /// Given to the next process.
    pub handed_over: u64,
    /// Dropped on purpose, by reason.
    pub shed: Vec<(&'static str, u64)>,
    /// Failed writes.
    pub write_errors: u64,
    /// Failed attempts to resolve or connect.
    pub dial_errors: u64,
    /// Connections that ended.
    pub disconnects: u64,
    /// Probes that were answered, or at least not refused.
    pub probe_ok: u64,
    /// Probes that failed.
    pub probe_failed: u64,
    /// Sent, and kept to be written again if the connection breaks: these may not have arrived yet.
    pub in_doubt: u64,
    /// Written again after a connection broke; they stand in `sent` once. No more can have arrived twice.
    pub resent: u64,
}

/// What is known of a target's samples on disk besides their number; at most a second old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpoolFacts {
    /// Bytes of its files.
    pub bytes: u64,
    /// When the oldest sample was spooled, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<u64>,
    /// Seconds until nothing waits any more, if that can be told: not while the target is down, nor while it
    /// takes no more than what comes.
    pub eta: Option<u64>,
}

impl SpoolFacts {
    /// How many seconds ago the oldest sample was spooled; 0 if there is none.
    pub fn age(&self) -> u64 {
        let now = Shared::unix_seconds();
        self.oldest_ms.map_or(0, |oldest| now.saturating_sub(oldest / 1000))
    }
}

impl From<OnDisk> for SpoolFacts {
    fn from(OnDisk { bytes, oldest_ms, eta }: OnDisk) -> Self {
        Self { bytes, oldest_ms, eta }
    }
}

impl Ledger {
    /// Everything the equations leave unexplained; 0 unless Coco lost count.
    pub fn residual(&self) -> u64 {
        let units = self.listeners.iter().map(ListenerCounts::residual).sum::<u64>();
        let copies = self.tiers.iter().map(TierFates::residual).sum::<u64>();
        units + self.samples.residual() + copies
    }

    /// What the equations leave unexplained, one line for each that does not add up.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for listener in self.listeners.iter().filter(|listener| listener.residual() > 0) {
            let ListenerCounts { protocol, address, raw, ok, partial, bad, .. } = listener;
            faults.push(format!(
                "listener {protocol} {address}: raw {raw}, but ok {ok} + partial {partial} + bad {bad}"
            ));
        }
        let samples = &self.samples;
        if samples.residual() > 0 {
            let SampleFates { decoded, notifications, filtered, unroutable, .. } = samples;
            let routed = samples.routed();
            faults.push(format!(
                "decoded {decoded} + notifications {notifications}, \
                 but filtered {filtered} + unroutable {unroutable} + routed {routed}"
            ));
        }
        self.tiers.iter().for_each(|tier| tier.faults(&mut faults));
        faults
    }

    /// The last snapshot, or one taken now if that is older: shards wait while the gate is shut, and many may ask.
    pub(crate) fn recent(shared: &Shared) -> Arc<Self> {
        let mut last = shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, ledger)) = &*last
            && at.elapsed() < RECENT
        {
            return Arc::clone(ledger);
        }
        let now = Instant::now();
        let ledger = Arc::new(Self::take(shared));
        *last = Some((now, Arc::clone(&ledger)));
        ledger
    }

    /// A snapshot that was not begun before `moment`, or how long to wait before asking for it again.
    pub(crate) fn since(shared: &Shared, moment: Instant) -> Result<Arc<Self>, Duration> {
        if let Some((at, ledger)) = &*shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner)
        {
            let left = RECENT.saturating_sub(at.elapsed());
            if *at >= moment {
                return Ok(Arc::clone(ledger));
            }
            if !left.is_zero() {
                return Err(left);
            }
        }
        Ok(Self::recent(shared))
    }

    /// The snapshot of `shared`, taken with the gate shut.
    pub(crate) fn take(shared: &Shared) -> Self {
        // Rejections stand in no equation: they are read before the gate is shut, to keep that short.
        Self::snapshot(shared, &shared.registry.counters())
    }

    /// The same without the reasons of rejections, which cost most.
    pub(crate) fn audit(shared: &Shared) -> Self {
        Self::snapshot(shared, &[])
    }

    fn snapshot(shared: &Shared, readings: &[Reading]) -> Self {
        for row in &shared.roll.load().listeners {
            row.listener.poll_kernel_drops();
        }
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
            listeners: listeners.map(|row| row.listener.counts(row.removed, readings)).collect(),
            tiers: roll.tiers.iter().map(TierFates::take).collect(),
        }
    }
}

impl ListenerCounts {
    fn residual(&self) -> u64 {
        self.raw.abs_diff(self.ok + self.partial + self.bad)
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
            no_ring: routed().filter(|(owners, _)| **owners == 0).map(|(_, count)| count).sum(),
            due: routed().map(|(replicas, count)| replicas * count).sum(),
            targets: tier.targets.iter().map(TargetFates::take).collect(),
        }
    }

    /// Copies that fell to the tier's targets.
    pub fn offered(&self) -> u64 {
        self.sum(|target| target.offered)
    }

    fn faults(&self, faults: &mut Vec<String>) {
        let (due, offered) = (self.due, self.offered());
        if due != offered {
            faults.push(format!("tier {}: due {due}, but offered {offered}", self.name));
        }
        let (taken_over, rerouted) = (self.sum(|t| t.taken_over), self.sum(|t| t.rerouted));
        if taken_over != rerouted {
            faults.push(format!(
                "tier {}: rerouted {rerouted}, but taken over {taken_over}",
                self.name
            ));
        }
        for target in self.targets.iter().filter(|target| target.residual() > 0) {
            faults.push(format!("tier {}, {target:?}", self.name));
        }
    }

    fn sum(&self, count: fn(&TargetFates) -> u64) -> u64 {
        self.targets.iter().map(count).sum()
    }

    /// What equations 3 to 6 leave unexplained in this tier.
    pub fn residual(&self) -> u64 {
        let unplaced = self.due.abs_diff(self.offered())
            + self.sum(|target| target.taken_over).abs_diff(self.sum(|target| target.rerouted));
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
            state_seconds: row.state_since().as_secs(),
            offered: meters.offered.get(),
            sent: meters.sent.get(),
            queued: held.queued,
            queued_bytes: held.queued_bytes,
            in_flight: held.in_flight,
            spooled: links().map(Link::held).sum(),
            spool: links().next_back().map(|link| link.on_disk().into()),
            recovered: meters.recovered.get() + meters.inherited.get(),
            inherited: meters.inherited.get(),
            to_disk: meters.to_disk.get(),
            replayed: meters.replayed.get(),
            shed_on_disk: meters.shed_on_disk.get(),
            taken_over: meters.taken_over.get(),
            rerouted: meters.rerouted.get(),
            handed_over: meters.handed_over.get(),
            shed: Shed::ALL.map(|why| (why.as_str(), meters.shed(why).get())).to_vec(),
            write_errors: meters.write_errors.get(),
            dial_errors: meters.dial_errors.get(),
            disconnects: meters.disconnects.get(),
            probe_ok: meters.probes_good.get(),
            probe_failed: meters.probes_bad.get(),
            in_doubt: row.holders.iter().map(|target| target.in_doubt()).sum(),
            resent: meters.resent.get(),
        }
    }

    /// Copies dropped on purpose, over all reasons.
    pub fn shed(&self) -> u64 {
        self.shed.iter().map(|(_, count)| count).sum()
    }

    fn residual(&self) -> u64 {
        self.in_memory_residual() + self.on_disk_residual()
    }

    fn in_memory_residual(&self) -> u64 {
        let came =
            self.offered + self.inherited + self.taken_over + self.replayed + self.shed_on_disk;
        let held = self.queued + self.in_flight;
        came.abs_diff(self.sent + self.shed() + self.to_disk + held + self.handed_over)
    }

    fn on_disk_residual(&self) -> u64 {
        let came = self.to_disk + self.recovered;
        let gone = self.replayed + self.shed_on_disk + self.rerouted;
        came.abs_diff(gone + self.spooled + self.inherited)
    }
}
