//! The hosts of the platform: what the agent of each sends in one interval, with the time of sending in it.
//!
//! Not here: when a host sends.

use std::mem;

use anyhow::{Context as _, ensure};
use coco_wire::collectd::{
    DATAGRAM_BYTES_DEFAULT, Decoder, Item, Packer, TIME_UNITS_PER_SECOND, ValueList,
};

use crate::relay::corpus::{Fleet, HOST_DATAGRAMS};

/// Value lists in a datagram.
pub(super) const LISTS: usize = 25;

/// Datagrams of one host in one interval.
const DATAGRAMS: usize = 7;

/// Series of one host.
pub(super) const SERIES: usize = LISTS * DATAGRAMS;

/// Two value lists of one reading are so far apart: 20 µs.
const STEP: u64 = TIME_UNITS_PER_SECOND / 50_000;

/// The part with the time of the value lists after it, in 2⁻³⁰ s (collectd 5.12, `network.h`).
const PART_TIME_HR: u16 = 8;

/// Prepared datagrams of all hosts.
#[derive(Debug)]
pub(super) struct Hosts {
    datagrams: Vec<Vec<u8>>,
}

impl Hosts {
    /// So many hosts, each with every second series of the corpus' hosts: some of each kind.
    ///
    /// # Errors
    /// The value lists do not fit.
    pub(super) fn new(count: usize) -> anyhow::Result<Self> {
        let mut datagrams = Vec::with_capacity(count * DATAGRAMS);
        for host in Fleet::single(count)?.datagrams.chunks_exact(HOST_DATAGRAMS) {
            let lists: Vec<_> = host.iter().flat_map(|datagram| lists(datagram)).collect();
            let lists: Vec<_> = lists.into_iter().step_by(2).take(SERIES).collect();
            ensure!(lists.len() == SERIES, "a host has {} series only", lists.len());
            for part in lists.chunks_exact(LISTS) {
                datagrams.push(pack(part)?);
            }
        }
        Ok(Self { datagrams })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.datagrams.len() / DATAGRAMS
    }

    /// The datagrams of one host, read at `time` (2⁻³⁰ s since 1970).
    pub(super) fn read(&mut self, host: usize, mut time: u64) -> &[Vec<u8>] {
        let range = host * DATAGRAMS..(host + 1) * DATAGRAMS;
        let datagrams = self.datagrams.get_mut(range).unwrap_or_default();
        for datagram in &mut *datagrams {
            time = stamp(datagram, time);
        }
        datagrams
    }
}

fn lists(datagram: &[u8]) -> impl Iterator<Item = ValueList<'_>> {
    Decoder::new(datagram).filter_map(|item| match item {
        Item::Values(list) => Some(list),
        _ => None,
    })
}

fn pack(lists: &[ValueList<'_>]) -> anyhow::Result<Vec<u8>> {
    let (mut packer, mut datagram) = (Packer::new(DATAGRAM_BYTES_DEFAULT), Vec::new());
    packer.begin(0);
    for list in lists {
        packer.push(&mut datagram, list).context("25 value lists are too many")?;
    }
    Ok(datagram)
}

/// Writes the time of each value list, [`STEP`] by [`STEP`]; gives that of the next.
fn stamp(datagram: &mut [u8], mut time: u64) -> u64 {
    let mut rest = datagram;
    while let Some(&[id0, id1, length0, length1]) = rest.first_chunk() {
        let length = usize::from(u16::from_be_bytes([length0, length1])).max(4);
        let Some((part, after)) = mem::take(&mut rest).split_at_mut_checked(length) else { break };
        if u16::from_be_bytes([id0, id1]) == PART_TIME_HR
            && let Some(number) = part.get_mut(4..)
        {
            number.copy_from_slice(&time.to_be_bytes());
            time += STEP;
        }
        rest = after;
    }
    time
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_value_list_has_its_own_series_and_the_time_of_its_reading() {
        let mut hosts = Hosts::new(2).unwrap();
        assert_eq!(hosts.count(), 2);
        let start = 1_800_000_000 * TIME_UNITS_PER_SECOND;
        for round in 0..2_u64 {
            let time = start + round * 10 * TIME_UNITS_PER_SECOND;
            let datagrams = hosts.read(1, time);
            assert!(datagrams.iter().all(|datagram| datagram.len() <= DATAGRAM_BYTES_DEFAULT));
            let lists: Vec<_> = datagrams.iter().flat_map(|datagram| lists(datagram)).collect();
            let times: Vec<_> = lists.iter().map(|list| list.time).collect();
            let want: Vec<_> = (0..SERIES as u64).map(|at| time + at * STEP).collect();
            assert_eq!(times, want);
            let names = lists.iter().map(|list| format!("{:?}", list.identity));
            assert_eq!(names.collect::<BTreeSet<_>>().len(), SERIES);
        }
    }
}
