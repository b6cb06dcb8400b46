//! What `GET /ledger` says, and the promise that it adds up.

use std::fmt;

use serde_json::Value;

/// One consistent snapshot of all fates.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger(Value);

impl Ledger {
    /// An answer of `/ledger`, or what a process wrote at its end.
    pub fn new(json: Value) -> Self {
        Self(json)
    }

    /// Everything, as served.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// One of the counters that hold for all tiers: `decoded`, `notifications`, `malformed`,
    /// `filtered`, `unroutable`, `routed`.
    #[track_caller]
    pub fn samples(&self, counter: &str) -> u64 {
        number(&self.0["samples"], counter)
    }

    /// The first listener of a protocol.
    #[track_caller]
    pub fn listener(&self, protocol: &str) -> &Value {
        let all = rows(&self.0["listeners"]);
        let found = all.iter().find(|listener| listener["protocol"] == protocol);
        found.unwrap_or_else(|| panic!("no {protocol} listener in {self}"))
    }

    /// A counter of all listeners of a protocol together: `raw`, `decoded`, `kernel_dropped`.
    #[track_caller]
    pub fn received(&self, protocol: &str, counter: &str) -> u64 {
        let all = rows(&self.0["listeners"]);
        let ours = all.iter().filter(|listener| listener["protocol"] == protocol);
        ours.map(|listener| number(listener, counter)).sum()
    }

    /// What the listeners of a protocol have rejected for one reason, or for any with `""`.
    pub fn rejected(&self, protocol: &str, reason: &str) -> u64 {
        let all = rows(&self.0["listeners"]);
        let ours = all.iter().filter(|listener| listener["protocol"] == protocol);
        ours.map(|listener| by_reason(&listener["rejected"], reason)).sum()
    }

    /// The row of one target in one tier, by its address text.
    #[track_caller]
    pub fn target(&self, tier: &str, target: &str) -> &Value {
        let tiers = rows(&self.0["tiers"]);
        let tier = tiers.iter().find(|row| row["name"] == tier);
        let targets = tier.map_or(&[][..], |tier| rows(&tier["targets"]));
        let found = targets.iter().find(|row| row["target"] == target);
        found.unwrap_or_else(|| panic!("no {target} in the tier asked for in {self}"))
    }

    /// A counter of one target: `offered`, `sent`, `queued`, `in_flight`.
    #[track_caller]
    pub fn sent(&self, tier: &str, target: &str, counter: &str) -> u64 {
        number(self.target(tier, target), counter)
    }

    /// What was shed for one target for one reason, or for any with `""`.
    #[track_caller]
    pub fn shed(&self, tier: &str, target: &str, reason: &str) -> u64 {
        by_reason(&self.target(tier, target)["shed"], reason)
    }

    /// Samples that wait or are on their way, over all targets.
    pub fn held(&self) -> u64 {
        self.targets().map(|target| number(target, "queued") + number(target, "in_flight")).sum()
    }

    /// A counter of all targets together: `sent`, `spooled`, `recovered`.
    #[track_caller]
    pub fn of_all(&self, counter: &str) -> u64 {
        self.targets().map(|target| number(target, counter)).sum()
    }

    /// Samples shed by any target for any reason.
    pub fn shed_in_all(&self) -> u64 {
        self.targets().map(|target| by_reason(&target["shed"], "")).sum()
    }

    /// Datagrams that the kernel dropped before any listener could read them.
    pub fn kernel_dropped(&self) -> u64 {
        rows(&self.0["listeners"]).iter().filter_map(|row| row["kernel_dropped"].as_u64()).sum()
    }

    /// Every sample has exactly one fate, in every tier.
    #[track_caller]
    pub fn assert_balanced(&self) {
        assert_eq!(self.0["residual"].as_i64(), Some(0), "samples without a fate: {self}");
        for tier in rows(&self.0["tiers"]) {
            assert_eq!(tier["residual"].as_i64(), Some(0), "samples without a fate: {self}");
        }
        // The same sums again, made here: the program's own word is not enough.
        for listener in rows(&self.0["listeners"]) {
            let units: u64 = ["ok", "partial", "bad"].iter().map(|key| number(listener, key)).sum();
            assert_eq!(number(listener, "raw"), units, "units of {listener}");
        }
        for target in self.targets() {
            let sum = |keys: &[&str]| keys.iter().map(|key| number(target, key)).sum::<u64>();
            let gone_on = sum(&["rerouted", "handed_over"]);
            let fates = gone_on + sum(&["sent", "queued", "in_flight", "spooled"]);
            let fates = fates + by_reason(&target["shed"], "");
            assert_eq!(sum(&["offered", "recovered", "taken_over"]), fates, "fates of {target}");
            let from_disk = sum(&["replayed", "shed_on_disk", "rerouted", "spooled"]);
            let on_disk = sum(&["to_disk", "recovered"]) - sum(&["inherited"]);
            assert_eq!(on_disk, from_disk, "what was on disk for {target}");
        }
    }

    fn targets(&self) -> impl Iterator<Item = &Value> {
        rows(&self.0["tiers"]).iter().flat_map(|tier| rows(&tier["targets"]))
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[track_caller]
fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {row}"))
}

fn by_reason(counts: &Value, reason: &str) -> u64 {
    let Some(counts) = counts.as_object() else { return 0 };
    let chosen = counts.iter().filter(|(name, _)| reason.is_empty() || *name == reason);
    chosen.filter_map(|(_, count)| count.as_u64()).sum()
}
