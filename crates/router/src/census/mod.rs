//! How many distinct keys and series each target owns, without a map on the data path.
//!
//! The shards ask a shared table of hashes (one atomic load per sample, and one store in each tick); only
//! a series never seen before takes a lock. Up to `series_max` series are counted exactly. Beyond it one
//! series in 64, then one in 4,096, is followed and counted for the others: an estimate, and said
//! to be one. Two series share a 61-bit fingerprint with a chance below 1 in 10^6 at a million series.

mod seen;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use seen::{Seen, SeenSet};
use tokio::time::Instant;

/// Hosts whose series are counted one by one for `metrics_per_host`.
const HOSTS_MAX: usize = 200_000;

/// Seconds to a tick of the clock that marks a series as seen.
const TICK_SECONDS: u64 = 10;

/// A series as it is first met.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrival<'a> {
    /// Hash of the whole identity.
    pub(crate) hash: u64,
    /// collectd: the host field. Graphite: the name.
    pub(crate) host: &'a [u8],
    /// collectd: plugin/instance/type/type_instance, empty parts left out. Graphite: empty.
    pub(crate) rest: &'a [u8],
    /// collectd: the identifier, `host/plugin[-instance]/type[-instance]`. Graphite: empty.
    pub(crate) identifier: &'a [u8],
}

/// Owners of a new series, tier by tier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned {
    /// Position of the target among all targets.
    pub(crate) slot: usize,
    /// The host is the key, so that the series of a host belong together.
    pub(crate) by_host: bool,
}

/// Distinct series and keys, by target.
#[derive(Debug)]
pub(crate) struct Census {
    levels: Vec<Level>,
    known: Mutex<Known>,
    started: Instant,
    started_unix: u64,
}

#[derive(Debug)]
struct Level {
    seen: SeenSet,
    /// Series that each one in this level stands for.
    weight: u64,
}

#[derive(Debug, Default)]
struct Known {
    slots: Vec<SlotCount>,
    hosts: HashMap<Box<[u8]>, HostCount>,
    names: Vec<Name>,
    names_max: usize,
}

/// Distinct keys and series of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SlotCount {
    pub(crate) keys: u64,
    pub(crate) series: u64,
    /// Keys that are one series each: Graphite names, and collectd series keyed by identifier.
    pub(crate) singles: u64,
}

#[derive(Debug, Default)]
struct HostCount {
    series: u64,
    slots: Vec<usize>,
}

/// A series kept by name.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    hash: u64,
    pub(crate) host: Box<[u8]>,
    pub(crate) rest: Box<[u8]>,
    pub(crate) identifier: Box<[u8]>,
    /// Slots of its owners, tier by tier.
    pub(crate) slots: Box<[usize]>,
}

impl Default for Census {
    /// One that counts nothing.
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            known: Mutex::default(),
            started: Instant::now(),
            started_unix: 0,
        }
    }
}

impl Census {
    /// A census of up to `series_max` exact series over `slots` targets; the first `names_max` are
    /// kept by name.
    pub(crate) fn new(series_max: usize, names_max: usize, slots: usize) -> Self {
        let sampled = (series_max / 16).max(1024);
        let level = |max, weight| Level { seen: SeenSet::new(max), weight };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            levels: vec![level(series_max, 1), level(sampled, 64), level(sampled, 4096)],
            known: Mutex::new(Known {
                slots: vec![SlotCount::default(); slots],
                names_max,
                ..Known::default()
            }),
            started: Instant::now(),
            started_unix: now.as_secs(),
        }
    }

    /// The census clock: read once a batch.
    pub(crate) fn tick(&self) -> u64 {
        self.started.elapsed().as_secs() / TICK_SECONDS + 1
    }

    /// Marks the series as seen. `Some(weight)`: it is new and stands for that many.
    #[inline]
    pub(crate) fn see(&self, hash: u64, tick: u64) -> Option<u64> {
        for level in &self.levels {
            if hash.rotate_right(24) & (level.weight - 1) != 0 {
                return None;
            }
            match level.seen.see(hash, tick) {
                Seen::Before => return None,
                Seen::New => return Some(level.weight),
                Seen::Full => {}
            }
        }
        None
    }

    /// Counts a series that [`see`](Self::see) found to be new.
    pub(crate) fn admit(&self, arrival: Arrival<'_>, weight: u64, owners: &[Owned]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { slots, hosts, names, names_max } = &mut *known;
        if names.len() < *names_max {
            let Arrival { hash, host, rest, identifier } = arrival;
            let slots = owners.iter().map(|owned| owned.slot).collect();
            let [host, rest, identifier] = [host, rest, identifier].map(Box::from);
            names.push(Name { hash, host, rest, identifier, slots });
        }
        let full = hosts.len() >= HOSTS_MAX;
        let mut new_host = false;
        for owned in owners {
            let Some(count) = slots.get_mut(owned.slot) else { continue };
            count.series += weight;
            if !owned.by_host {
                count.keys += weight;
                count.singles += weight;
                continue;
            }
            if let Some(host) = hosts.get_mut(arrival.host) {
                if !host.slots.contains(&owned.slot) {
                    host.slots.push(owned.slot);
                    count.keys += 1;
                }
            } else if !full {
                hosts.insert(arrival.host.into(), HostCount { series: 0, slots: vec![owned.slot] });
                count.keys += 1;
            }
            new_host = true;
        }
        if new_host && let Some(host) = hosts.get_mut(arrival.host) {
            host.series += weight;
        }
    }

    /// Some counts are estimates, because a bound was reached.
    pub(crate) fn is_estimated(&self) -> bool {
        self.levels.first().is_some_and(|level| level.seen.is_full())
            || self.known.lock().unwrap_or_else(PoisonError::into_inner).hosts.len() >= HOSTS_MAX
    }

    /// Distinct series over all targets; an estimate if [`is_estimated`](Self::is_estimated).
    pub(crate) fn series(&self) -> u64 {
        let stands_for = |level: &Level| level.weight * level.seen.len();
        self.levels.iter().map(stands_for).sum()
    }

    /// The counts of each slot, and for each slot the number of series of each of its hosts.
    pub(crate) fn counts(&self) -> (Vec<SlotCount>, Vec<Vec<u64>>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut per_host = vec![Vec::new(); known.slots.len()];
        for host in known.hosts.values() {
            for &slot in &host.slots {
                if let Some(list) = per_host.get_mut(slot) {
                    list.push(host.series);
                }
            }
        }
        (known.slots.clone(), per_host)
    }

    /// Up to `count` of the kept names, from the one at `start` on, each with the Unix second (to 10 s)
    /// when it was last seen. New series wait meanwhile: ask for few at a time.
    pub(crate) fn names(&self, start: usize, count: usize) -> Vec<(Name, u64)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let names = known.names.get(start..).unwrap_or_default();
        let names: Vec<Name> = names.iter().take(count).cloned().collect();
        drop(known);
        let seen_at = |name: &Name| {
            let tick = self.levels.iter().find_map(|level| level.seen.tick_of(name.hash));
            self.started_unix + tick.unwrap_or(1).saturating_sub(1) * TICK_SECONDS
        };
        names
            .into_iter()
            .map(|name| {
                let at = seen_at(&name);
                (name, at)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(n: u64) -> u64 {
        twox_hash::XxHash3_64::oneshot(&n.to_le_bytes())
    }

    fn count(census: &Census, series: u64) -> u64 {
        let mut total = 0;
        for round in 0..2 {
            for n in 0..series {
                if let Some(weight) = census.see(mix(n), 1 + round) {
                    let arrival = Arrival { hash: mix(n), host: b"h", ..Arrival::default() };
                    census.admit(arrival, weight, &[Owned { slot: 0, by_host: false }]);
                    total += weight;
                }
            }
        }
        assert_eq!(census.counts().0[0].series, total);
        assert_eq!(census.series(), total);
        total
    }

    #[test]
    fn counts_are_exact_up_to_the_bound() {
        let census = Census::new(100_000, 0, 1);
        assert_eq!(count(&census, 99_999), 99_999);
        assert!(!census.is_estimated());
    }

    #[test]
    fn beyond_the_bound_the_count_is_an_estimate_and_says_so() {
        let census = Census::new(50_000, 0, 1);
        let estimate = count(&census, 1_000_000);
        assert!(census.is_estimated());
        assert!((850_000..1_150_000).contains(&estimate), "{estimate}");
    }

    #[test]
    fn the_series_of_a_host_count_for_the_targets_of_the_host() {
        let census = Census::new(1000, 100, 3);
        for n in 0..10 {
            let hash = mix(n);
            assert_eq!(census.see(hash, 7), Some(1));
            let host: &[u8] = if n < 7 { b"web" } else { b"db" };
            let owners = [Owned { slot: 0, by_host: true }, Owned { slot: 2, by_host: true }];
            census.admit(Arrival { hash, host, ..Arrival::default() }, 1, &owners);
            assert_eq!(census.see(hash, 8), None);
        }
        let (slots, mut per_host) = census.counts();
        assert_eq!(slots[0], SlotCount { keys: 2, series: 10, singles: 0 });
        assert_eq!(slots[1], SlotCount::default());
        per_host[2].sort_unstable();
        assert_eq!(per_host[2], [3, 7]);
        assert_eq!(census.names(0, 100).len(), 10);
        assert_eq!(census.names(0, 1)[0].1, census.started_unix + 70);
    }
}
