//! Tests of the whole spool: by a model, by damage, and on a real folder.

mod behaviour;
mod damage;
mod model;
mod real;

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    AtBound, Batch, Budget, Config, Name, NewRecord, Now, Root, Spool, Sync, disk::SimDisk,
};

pub(crate) const ROOT: &str = "/spool";

pub(crate) fn name() -> Name {
    Name::new("tier", "target").unwrap()
}

pub(crate) fn config() -> Config {
    Config {
        sync: Sync::Each,
        segment_bytes: 2048,
        bytes_max: 1 << 20,
        max_age: None,
        at_bound: AtBound::Refuse,
    }
}

pub(crate) fn at(ms: u64) -> Now {
    Now { unix_ms: 1_000_000 + ms, monotonic: Duration::from_millis(ms) }
}

pub(crate) fn sim(seed: u64) -> SimDisk {
    SimDisk::new(seed, Path::new(ROOT))
}

pub(crate) fn open(disk: &SimDisk, config: Config) -> Spool<SimDisk> {
    let budget = Arc::new(Budget::new(1 << 30));
    let root = Root::open(disk.clone(), Path::new(ROOT), budget).unwrap();
    root.spool(&name(), config, at(0)).unwrap()
}

pub(crate) fn record(payload: &[u8], samples: u32) -> NewRecord<'_> {
    NewRecord { samples, format: 1, epoch: 1, payload }
}

/// The payload of the `n`th record: 20 to 79 bytes that no other has.
pub(crate) fn payload(n: u64) -> Vec<u8> {
    let length = 20 + usize::try_from(n * 7 % 60).unwrap();
    format!("{n:020}").into_bytes().into_iter().cycle().take(length).collect()
}

/// Reads and acknowledges all, checks E6, and gives the sequences read.
pub(crate) fn drain(spool: &mut Spool<SimDisk>) -> Vec<u64> {
    let (mut batch, mut sequences) = (Batch::default(), Vec::new());
    loop {
        spool.read(1000, &mut batch).unwrap();
        let Some(last) = batch.records().last() else { break };
        for record in batch.records() {
            assert_eq!(record.payload, payload(record.head.sequence));
            sequences.push(record.head.sequence);
        }
        spool.ack(last.position);
        assert_eq!(spool.counts().residual(&spool.held()), 0);
    }
    sequences
}

/// Appends records `from..to`, each with as many samples as its number modulo 5 and one.
pub(crate) fn fill(spool: &mut Spool<SimDisk>, from: u64, to: u64) {
    for n in from..to {
        let payload = payload(n);
        let samples = u32::try_from(n % 5 + 1).unwrap();
        spool.append(at(n), &[record(&payload, samples)]).unwrap();
    }
}
