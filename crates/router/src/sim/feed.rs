//! What the feeders send: each has some keys of its own, and numbers the samples of each.

use std::collections::BTreeMap;

use super::{
    random::Random,
    sample::{COLLECTD_KEYS, Sample},
};

/// Keys of each feeder.
const KEYS: usize = 5;

/// The first feeder of collectd datagrams.
pub(super) const COLLECTD_FEEDER: usize = COLLECTD_KEYS as usize / KEYS;

/// The next number of each key.
#[derive(Debug, Default)]
pub(super) struct Feed(BTreeMap<u32, u32>);

impl Feed {
    /// The next samples of a feeder, in some datagrams.
    pub(super) fn batch(&mut self, random: &Random, feeder: usize) -> Vec<Vec<Sample>> {
        let datagrams = 1 + random.size(4);
        (0..datagrams).map(|_| self.samples(random, feeder, 12)).collect()
    }

    pub(super) fn samples(&mut self, random: &Random, feeder: usize, most: usize) -> Vec<Sample> {
        let count = 1 + random.size(most);
        let some_key = || u32::try_from(feeder * KEYS + random.size(KEYS)).unwrap();
        let mut key = some_key();
        let mut next = || {
            if random.one_in(3) {
                key = some_key();
            }
            let number = self.0.entry(key).or_default();
            *number += 1;
            Sample { key, number: *number }
        };
        (0..count).map(|_| next()).collect()
    }
}
