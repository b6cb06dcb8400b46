//! What a router is built from: checked plain values, nothing left to parse.
//!
//! The server makes a [`Plan`] from its configuration; tests make one by hand. Nothing here knows
//! the file it came from.

mod listener;
mod spool;
mod target;
mod tier;

pub use listener::{Address, ListenerPlan, ListenerProtocol};
use regex::bytes::Regex;
pub use spool::{OnChange, ReplayRate, SpoolPlan, Sync};
pub use target::{Probe, TargetPlan};
pub use tier::{KeyRule, OnFull, Replay, RinglessTier, TargetProtocol, TierPlan};

/// Everything a router does, as values that were checked before.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Sockets to open, in the order of the file.
    pub listeners: Vec<ListenerPlan>,
    /// Samples whose identity matches are counted as filtered and go no further.
    pub blacklist: Option<Regex>,
    /// Tiers in the order of the file; every sample goes to its owners in each of them.
    pub tiers: Vec<TierPlan>,
    /// Tiers without targets: what falls to them is shed.
    pub ringless: Vec<RinglessTier>,
    /// Bounds that hold for the whole process.
    pub limits: Limits,
    /// Where queues go on on disk; needed by tiers with [`OnFull::Spool`].
    pub spool: Option<SpoolPlan>,
}

impl Plan {
    /// Bytes kept of what was written to each target of `tier`: what the tier asks for, or an equal part of
    /// what all targets together may have.
    #[must_use]
    pub fn resend_bytes(&self, tier: &TierPlan) -> usize {
        let kept = |tier: &&TierPlan| tier.keeps_written();
        let targets: usize = self.tiers.iter().filter(kept).map(|tier| tier.targets.len()).sum();
        let part = self.limits.resend_bytes / targets.max(1);
        if tier.keeps_written() { tier.resend_bytes.min(part) } else { 0 }
    }
}

/// Bounds that hold for the whole process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest Graphite line in bytes, its line end not counted.
    pub line_bytes_max: usize,
    /// Bytes kept of what was written to all TCP targets together, to write them again.
    pub resend_bytes: usize,
    /// Open client connections over all TCP listeners.
    pub connections_max: usize,
    /// Bytes that all queues together may hold, taken chunks among them.
    pub memory_bytes_max: usize,
    /// Distinct series counted exactly for the `hash.*` counters; beyond it they are estimates.
    pub series_max: usize,
    /// Series kept by name, to be listed: the first ones seen.
    pub names_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes_max: 4096,
            resend_bytes: 64 << 20,
            connections_max: 10_000,
            memory_bytes_max: 1 << 30,
            series_max: 1_000_000,
            names_max: 10_000,
        }
    }
}
