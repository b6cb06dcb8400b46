//! The fates of samples that fell to one target: equations 4 and 5.

use crate::{
    roll::TargetRow,
    shared::Shared,
    target::{
        Shed,
        queue::Held,
        spool::{Link, OnDisk},
    },
};

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
    /// Of those, canaries that were looked for: they tell about nobody's traffic.
    pub canaries: u64,
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
    /// Bytes on disk that gave no sample: damaged, or torn by a crash.
    pub damaged_bytes: u64,
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

impl TargetFates {
    pub(super) fn take(row: &TargetRow) -> Self {
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
            canaries: meters.canaries.get(),
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
            damaged_bytes: meters.damaged_bytes.get(),
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

    pub(super) fn residual(&self) -> u64 {
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
