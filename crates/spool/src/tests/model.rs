//! Random steps against a model that keeps every record in memory, with faults and crashes.
//!
//! `SPOOL_SEED=n` runs one seed, `SPOOL_SEEDS=n` that many.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
};

use super::*;
use crate::{Cause, Depth, OpenError, Position, Record, disk::Faults};

/// SplitMix64, apart from the disk's.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A record that the spool said it took.
#[derive(Debug, Clone)]
struct Taken {
    payload: Vec<u8>,
    samples: u32,
    unix_ms: u64,
    /// It must survive a crash.
    safe: bool,
    /// Acknowledged or shed: it may come again after a crash, but need not.
    done: bool,
}

struct World {
    seed: u64,
    random: Random,
    disk: SimDisk,
    config: Config,
    budget: Arc<Budget>,
    spool: Option<Spool<SimDisk>>,
    ms: u64,
    /// By unique number, which the payload tells. Sequences may be given again after a crash took them.
    taken: BTreeMap<u64, Taken>,
    next: u64,
    /// What the spool may still give or has given: sequence and unique number.
    log: BTreeMap<u64, u64>,
    read: Vec<(u64, Position)>,
    last_read: Option<u64>,
    faulty: bool,
    full: bool,
    /// Bytes found at open.
    found: u64,
    faults_ever: bool,
    crashed: bool,
    /// A sync failed since the last crash.
    doubt: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let config = Config {
            sync: match random.below(3) {
                0 => Sync::Each,
                1 => Sync::Interval(Duration::from_millis(200)),
                _ => Sync::Never,
            },
            segment_bytes: 400 + random.below(2000),
            bytes_max: if random.one_in(2) { 4000 + random.below(6000) } else { 1 << 20 },
            max_age: random.one_in(2).then(|| Duration::from_millis(500 + random.below(3000))),
            at_bound: if random.one_in(2) { AtBound::Refuse } else { AtBound::ShedOldest },
        };
        let limit = if random.one_in(4) { 6000 } else { 1 << 20 };
        let mut world = Self {
            seed,
            random,
            disk: sim(seed),
            config,
            budget: Arc::new(Budget::new(limit)),
            spool: None,
            ms: 0,
            taken: BTreeMap::new(),
            next: 0,
            log: BTreeMap::new(),
            read: Vec::new(),
            last_read: None,
            faulty: false,
            full: false,
            found: 0,
            faults_ever: false,
            crashed: false,
            doubt: false,
        };
        world.open();
        world
    }

    fn spool(&mut self) -> &mut Spool<SimDisk> {
        self.spool.as_mut().unwrap()
    }

    fn try_open(&mut self) -> Result<(), OpenError> {
        let root = Root::open(self.disk.clone(), Path::new(ROOT), Arc::clone(&self.budget))?;
        self.spool = Some(root.spool(&name(), self.config, at(self.ms))?);
        self.read.clear();
        self.last_read = None;
        self.log.clear();
        Ok(())
    }

    /// Opens on a healthy disk and reads all: what is there is what must come out from now on.
    fn open(&mut self) {
        self.disk.set_faults(Faults::default());
        self.disk.set_capacity(u64::MAX);
        (self.faulty, self.full) = (false, false);
        self.try_open().unwrap();
        self.found = self.spool().held().bytes;
        let mut batch = Batch::default();
        loop {
            self.spool().read(10_000, &mut batch).unwrap();
            if batch.is_empty() {
                break;
            }
            for record in batch.records() {
                let id = self.see(&record);
                self.log.insert(record.head.sequence, id);
            }
        }
        let present: BTreeSet<u64> = self.log.values().copied().collect();
        for (id, taken) in &self.taken {
            let must = taken.safe && !taken.done;
            assert!(!must || present.contains(id), "seed {}: record {id} is lost", self.seed);
        }
        // What is gone stays gone. What was acknowledged may be back: then it is held once more.
        self.taken.retain(|id, _| present.contains(id));
        self.taken.values_mut().for_each(|taken| taken.done = false);
        self.rewind();
        self.reconcile();
        self.check();
    }

    fn step(&mut self) {
        self.ms += self.random.below(120);
        match self.random.below(100) {
            0..40 => self.append(),
            40..60 => self.read(),
            60..75 => self.ack(),
            75..79 => self.rewind(),
            79..83 => {
                let now = at(self.ms);
                if self.spool().expire(now).is_err() {
                    assert!(self.faulty, "seed {}", self.seed);
                }
                let age = self
                    .config
                    .max_age
                    .map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap());
                let shed = self.reconcile();
                let young = |id: &u64| self.taken[id].unix_ms >= now.unix_ms.saturating_sub(age);
                assert!(self.faults_ever || !shed.iter().any(young), "seed {}", self.seed);
            }
            83..93 => self.tick(),
            93..95 => self.faults(),
            95..97 => self.capacity(),
            97 => self.clear(),
            98 => self.reopen(),
            _ => self.crash(),
        }
        self.check();
    }

    fn append(&mut self) {
        let count = 1 + self.random.below(4);
        let mut new = Vec::new();
        for _ in 0..count {
            let length = 20 + usize::try_from(self.random.below(200)).unwrap();
            let text = format!("{:020}", self.next);
            let payload: Vec<u8> = text.bytes().cycle().take(length).collect();
            new.push((self.next, payload, 1 + u32::try_from(self.random.below(9)).unwrap()));
            self.next += 1;
        }
        let records: Vec<_> =
            new.iter().map(|(_, payload, samples)| record(payload, *samples)).collect();
        let (now, before) = (at(self.ms), self.spool().counts());
        let held = self.spool().held();
        let result = self.spool().append(now, &records);
        let (taken, unsynced) = match &result {
            Ok(()) => (records.len(), false),
            Err(error) => (error.taken, error.unsynced),
        };
        let counts = self.spool().counts();
        let samples: u64 = new.iter().take(taken).map(|(_, _, samples)| u64::from(*samples)).sum();
        assert_eq!(counts.spooled - before.spooled, samples, "seed {}", self.seed);
        if let Err(error) = &result
            && matches!(error.cause, Cause::Full)
        {
            assert!(held.bytes > 0 || self.budget.used() > 0, "seed {}", self.seed);
        }
        let safe = self.config.sync == Sync::Each && !unsynced;
        let end = self.spool().marks().1;
        for (sequence, (id, payload, samples)) in (end - taken as u64..).zip(new).take(taken) {
            let taken = Taken { payload, samples, unix_ms: now.unix_ms, safe, done: false };
            self.taken.insert(id, taken);
            self.log.insert(sequence, id);
        }
        self.reconcile();
    }

    fn read(&mut self) {
        let max = usize::try_from(self.random.below(1000)).unwrap();
        let mut batch = Batch::default();
        match self.spool().read(max, &mut batch) {
            Ok(()) => {}
            Err(error) => assert!(self.faulty, "seed {}: {error}", self.seed),
        }
        for record in batch.records() {
            let id = self.see(&record);
            assert_eq!(self.log[&record.head.sequence], id, "seed {}", self.seed);
            self.read.push((id, record.position));
        }
        self.reconcile();
    }

    /// A record read was taken, is unaltered, and comes after the last one. Gives its number.
    fn see(&mut self, record: &Record<'_>) -> u64 {
        let seed = self.seed;
        let id: u64 = std::str::from_utf8(&record.payload[..20]).unwrap().parse().unwrap();
        let taken = &self.taken[&id];
        assert_eq!(record.payload, taken.payload, "seed {seed}");
        assert_eq!(record.head.samples, taken.samples, "seed {seed}");
        assert_eq!(record.head.unix_ms, taken.unix_ms, "seed {seed}");
        assert!(self.last_read.is_none_or(|last| last < id), "seed {seed}: {id} out of order");
        self.last_read = Some(id);
        id
    }

    fn ack(&mut self) {
        if self.read.is_empty() {
            return;
        }
        let index = usize::try_from(self.random.below(self.read.len() as u64)).unwrap();
        let position = self.read[index].1;
        let acked = self.spool().ack(position);
        let mut expected = 0;
        for (id, _) in self.read.drain(..=index) {
            let taken = &self.taken[&id];
            expected += if taken.done { 0 } else { u64::from(taken.samples) };
        }
        assert_eq!(acked, expected, "seed {}", self.seed);
        self.reconcile();
    }

    fn rewind(&mut self) {
        self.spool().rewind();
        self.read.clear();
        self.last_read = None;
    }

    fn tick(&mut self) {
        let now = at(self.ms);
        self.spool().tick(now);
        self.reconcile();
    }

    fn faults(&mut self) {
        self.faulty = self.random.one_in(2);
        let mut rate =
            |n| if self.faulty { u32::try_from(self.random.below(n)).unwrap() } else { 0 };
        let faults = Faults {
            read: rate(200),
            write: rate(300),
            short_write: rate(500),
            sync: rate(300),
            names: rate(200),
        };
        self.disk.set_faults(faults);
        self.faults_ever |= self.faulty;
    }

    fn capacity(&mut self) {
        let full = self.random.one_in(2);
        let room = self.disk.used() + self.random.below(1000);
        self.disk.set_capacity(if full { room } else { u64::MAX });
        self.full = full;
        self.faults_ever |= full;
    }

    fn clear(&mut self) {
        if self.random.one_in(4) {
            self.spool().clear();
            self.read.clear();
            self.reconcile();
        }
    }

    /// The process ends, in order or not; the machine goes on. The first opening may meet faults.
    fn reopen(&mut self) {
        let spool = self.spool.take().unwrap();
        self.note_safe(&spool);
        if self.random.one_in(2) {
            let (counts, saved) = spool.close();
            self.doubt |= counts.sync_errors > 0;
            assert!(saved.is_ok() || self.faulty || self.full, "seed {}", self.seed);
        } else {
            drop(spool);
        }
        if self.try_open().is_ok() {
            let spool = self.spool.take().unwrap();
            assert_eq!(spool.counts().residual(&spool.held()), 0, "seed {}", self.seed);
            self.doubt |= spool.counts().sync_errors > 0;
        } else {
            assert!(self.faulty, "seed {}", self.seed);
        }
        self.open();
        if self.config.sync != Sync::Never && !self.doubt {
            // Opening synced what it found.
            self.taken.values_mut().for_each(|taken| taken.safe = true);
        }
    }

    fn crash(&mut self) {
        let spool = self.spool.take().unwrap();
        self.note_safe(&spool);
        self.disk.crash();
        drop(spool);
        self.doubt = false;
        self.crashed = true;
        self.open();
        self.taken.values_mut().for_each(|taken| taken.safe = true);
    }

    /// Records below the durable number that no failed sync concerned are safe.
    fn note_safe(&mut self, spool: &Spool<SimDisk>) {
        self.doubt |= spool.counts().sync_errors > 0;
        if self.config.sync == Sync::Never || self.doubt {
            return;
        }
        for id in self.log.range(..spool.durable()).map(|(_, id)| id) {
            self.taken.get_mut(id).unwrap().safe = true;
        }
    }

    /// Marks all before the acknowledged position as done, and tells which those were.
    fn reconcile(&mut self) -> Vec<u64> {
        let (acked, _) = self.spool().marks();
        let mut done = Vec::new();
        for id in self.log.range(..acked).map(|(_, id)| id) {
            let taken = self.taken.get_mut(id).unwrap();
            if !std::mem::replace(&mut taken.done, true) {
                done.push(*id);
            }
        }
        done
    }

    fn check(&mut self) {
        let seed = self.seed;
        let (counts, held) = (self.spool().counts(), self.spool().held());
        assert_eq!(counts.residual(&held), 0, "seed {seed}: {counts:?} {held:?}");
        // What a crash brought back may pass a bound; nothing is added to it.
        let bound = self.config.bytes_max.min(self.budget.limit()).max(self.found);
        assert!(held.bytes <= bound, "seed {seed}: {held:?} {:?}", self.config);
        assert_eq!(self.budget.used(), held.bytes, "seed {seed}");
        let whole = !(self.faults_ever || self.crashed && self.config.sync != Sync::Each);
        if whole {
            assert_eq!(
                (counts.corrupt_bytes, counts.shed.corrupt),
                (0, 0),
                "seed {seed}: {counts:?}"
            );
            let samples: u64 = self.held_records().map(|taken| u64::from(taken.samples)).sum();
            assert_eq!(held.samples, samples, "seed {seed}");
            let oldest = self.held_records().next().map(|taken| taken.unix_ms);
            assert_eq!(self.spool().depth().oldest_ms, oldest, "seed {seed}");
        }
    }

    fn held_records(&self) -> impl Iterator<Item = &Taken> {
        self.log.values().map(|id| &self.taken[id]).filter(|taken| !taken.done)
    }

    /// The disk is healed: all that is safe comes out, in order, and the spool ends empty.
    fn end(&mut self) {
        self.crash();
        let mut batch = Batch::default();
        loop {
            self.spool().read(500, &mut batch).unwrap();
            let Some(last) = batch.records().last() else { break };
            for record in batch.records() {
                self.see(&record);
            }
            self.spool().ack(last.position);
            self.reconcile();
            self.check();
        }
        assert_eq!(
            Depth { bytes: 0, ..self.spool().held() },
            Depth::default(),
            "seed {}",
            self.seed
        );
        let (counts, saved) = self.spool.take().unwrap().close();
        saved.unwrap();
        assert_eq!(counts.recovered, counts.acked + counts.shed.total(), "seed {}", self.seed);
        assert_eq!(self.budget.used(), 0, "seed {}", self.seed);
    }
}

#[test]
fn a_spool_is_what_the_model_says_through_faults_and_crashes() {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("SPOOL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SPOOL_SEEDS").unwrap_or(3000),
    };
    for seed in seeds {
        let guard = Told(seed);
        let mut world = World::new(seed);
        let steps = 20 + world.random.below(150);
        for _ in 0..steps {
            world.step();
        }
        world.end();
        std::mem::forget(guard);
    }
}

/// Tells the seed of a failed run, wherever it failed.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("SPOOL_SEED={}", self.0);
    }
}
