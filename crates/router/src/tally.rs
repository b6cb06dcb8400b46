//! Counts of one read batch, summed in plain numbers and published once.

use crate::{
    plan::TargetProtocol,
    telemetry::{self, Counter, Registry},
};

/// What a shard counted since it last published.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Datagrams, TCP lines or pickle frames read.
    pub(crate) raw: u64,
    /// What became of them.
    pub(crate) units: Units,
    /// Datagrams that were probes of a Coco; they are not among the others.
    pub(crate) probes: u64,
    /// Datagrams that the read buffer cut.
    pub(crate) truncated: u64,
    /// Samples decoded, notifications not among them.
    pub(crate) decoded: u64,
    pub(crate) notifications: u64,
    pub(crate) filtered: u64,
    pub(crate) unroutable: u64,
    pub(crate) routed_collectd: u64,
    pub(crate) routed_lines: u64,
    /// Malformed input by reason.
    pub(crate) rejected: Vec<(&'static str, u64)>,
}

/// Datagrams, TCP lines or pickle frames by how much of each could be used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Units {
    /// All of it.
    pub(crate) ok: u64,
    /// Some of it.
    pub(crate) partial: u64,
    /// None of it.
    pub(crate) bad: u64,
}

/// Counts at the beginning of a unit.
#[derive(Debug)]
#[must_use]
pub(crate) struct Begun {
    used: u64,
    malformed: u64,
    probes: u64,
}

impl Tally {
    /// A datagram or pickle frame was read; what is counted from here on is in it.
    pub(crate) fn begin_unit(&mut self) -> Begun {
        self.raw += 1;
        let used = self.decoded + self.notifications;
        Begun { used, malformed: self.malformed(), probes: self.probes }
    }

    /// All of it has been looked at.
    pub(crate) fn end_unit(&mut self, begun: &Begun) {
        if self.probes > begun.probes {
            self.raw -= 1;
            return;
        }
        let used = self.decoded + self.notifications > begun.used;
        let malformed = self.malformed() > begun.malformed;
        let units = &mut self.units;
        let fate = match (malformed, used) {
            (false, _) => &mut units.ok,
            (true, true) => &mut units.partial,
            (true, false) => &mut units.bad,
        };
        *fate += 1;
    }

    /// Counts one piece of malformed input; `true` for the first of its reason in this batch.
    pub(crate) fn reject(&mut self, reason: &'static str) -> bool {
        let known = self.rejected.iter_mut().find(|(known, _)| *known == reason);
        let first = known.is_none();
        match known {
            Some((_, count)) => *count += 1,
            None => self.rejected.push((reason, 1)),
        }
        first
    }

    /// Samples given to each tier whose targets speak `protocol`.
    pub(crate) fn given_to(&self, protocol: TargetProtocol) -> u64 {
        let collectd = if protocol.carries_collectd() { self.routed_collectd } else { 0 };
        let lines = if protocol.carries_lines() { self.routed_lines } else { 0 };
        collectd + lines
    }

    pub(crate) fn malformed(&self) -> u64 {
        self.rejected.iter().map(|(_, count)| count).sum()
    }

    /// Sets all counts to zero and keeps the memory.
    pub(crate) fn clear(&mut self) {
        let mut rejected = std::mem::take(&mut self.rejected);
        rejected.clear();
        *self = Self { rejected, ..Self::default() };
    }
}

/// Fates that a sample meets once for all tiers.
#[derive(Debug)]
pub(crate) struct SampleCounters {
    pub(crate) decoded: Counter,
    pub(crate) notifications: Counter,
    pub(crate) malformed: Counter,
    pub(crate) filtered: Counter,
    pub(crate) unroutable: Counter,
    pub(crate) routed_collectd: Counter,
    pub(crate) routed_lines: Counter,
}

impl SampleCounters {
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |metric| registry.counter(metric, &[]);
        Self {
            decoded: counter(telemetry::SAMPLES_DECODED),
            notifications: counter(telemetry::SAMPLES_NOTIFICATIONS),
            malformed: counter(telemetry::SAMPLES_MALFORMED),
            filtered: counter(telemetry::SAMPLES_FILTERED),
            unroutable: counter(telemetry::SAMPLES_UNROUTABLE),
            routed_collectd: counter(telemetry::ROUTED_COLLECTD),
            routed_lines: counter(telemetry::ROUTED_LINES),
        }
    }

    /// Adds a batch; the caller holds the gate.
    pub(crate) fn add(&self, tally: &Tally) {
        self.decoded.add(tally.decoded);
        self.notifications.add(tally.notifications);
        self.malformed.add(tally.malformed());
        self.filtered.add(tally.filtered);
        self.unroutable.add(tally.unroutable);
        self.routed_collectd.add(tally.routed_collectd);
        self.routed_lines.add(tally.routed_lines);
    }
}
