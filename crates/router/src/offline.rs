//! What is on disk for one target, to the owners under a plan's ring, while no Coco runs on the folder.
//!
//! Batch by batch: appended to the spools of the owners and synced, then acknowledged in the old one. After a
//! crash in between, a batch is there twice; none is lost.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use coco_spool::{
    AppendError, AtBound, Batch, Config, Name, NameError, Now, OpenError, Root, SEGMENT_BYTES,
    Spool, Sync, disk::OsDisk,
};
use thiserror::Error;

use crate::{
    chunk::Chunk,
    pipeline::Sorter,
    plan::Plan,
    routes::{Routes, Tier},
    target::{
        Shed,
        record::{Payloads, chunk_of, is_for, is_of_another},
    },
    telemetry::Registry,
};

/// Bytes moved at once.
const MOVE_BYTES: usize = 4 << 20;

/// What became of one target's samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rerouted {
    /// Samples by the id of the target that has them now.
    pub moved: BTreeMap<String, u64>,
    /// Samples that went nowhere, by reason.
    pub shed: BTreeMap<&'static str, u64>,
    /// Samples that its tier does not take, as it speaks another protocol, and what is behind them: they stay as
    /// they are.
    pub left: u64,
    /// Of those left: by the id of their owner, which has samples of another protocol on disk. Behind these nobody
    /// would read them.
    pub refused: BTreeMap<String, u64>,
}

/// It was not done, or not to its end; what was not moved is where it was.
#[derive(Debug, Error)]
pub enum RerouteError {
    /// The plan has no ring for it.
    #[error("the configuration has no tier {0:?}")]
    NoTier(String),
    /// A spool has no such name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A spool cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is on disk cannot be read.
    #[error("cannot read: {0}")]
    Read(std::io::Error),
    /// It cannot be written elsewhere.
    #[error("cannot write: {0}")]
    Append(#[from] AppendError),
    /// It may not be safe where it is now.
    #[error("cannot sync what was written; the last batch is there twice")]
    Sync,
    /// A spool cannot be closed.
    #[error("cannot save how far it was moved: {0}")]
    Close(std::io::Error),
}

/// Moves what is on disk for the target of this name to the owners under the plan's ring of its tier. Samples
/// that are its own stay with it, behind the others.
///
/// # Errors
/// [`RerouteError`].
pub fn reroute(
    root: &Root<OsDisk>,
    plan: &Plan,
    name: &Name,
    now: impl Fn() -> Now,
) -> Result<Rerouted, RerouteError> {
    let routes = Routes::new(plan, &Registry::default());
    let tier = routes.tiers.iter().find(|tier| tier.name == name.tier());
    let tier = tier.ok_or_else(|| RerouteError::NoTier(name.tier().to_owned()))?;
    let mut from = root.spool(name, CONFIG, now())?;
    let mut work = Work {
        root,
        routes: &routes,
        tier,
        name,
        spools: HashMap::new(),
        is_barred: false,
        done: Rerouted::default(),
    };
    let mut left = from.held().records;
    let mut batch = Batch::default();
    while left > 0 && !work.is_barred {
        from.read(MOVE_BYTES, &mut batch).map_err(RerouteError::Read)?;
        let Some(taken) = work.take(&mut from, &batch, left, &now)? else { break };
        left = left.saturating_sub(taken);
        from.tick(now());
    }
    if work.is_barred {
        let own = work.done.moved.get(name.target()).copied().unwrap_or(0);
        work.done.left = from.held().samples.saturating_sub(own);
    } else {
        work.done.left = work.done.refused.values().sum();
    }
    for spool in work.spools.into_values().flatten() {
        spool.close().1.map_err(RerouteError::Close)?;
    }
    from.close().1.map_err(RerouteError::Close)?;
    Ok(work.done)
}

/// Bounds are those of a running Coco: a move needs some room of its own for a while.
const CONFIG: Config = Config {
    sync: Sync::Never,
    segment_bytes: SEGMENT_BYTES,
    bytes_max: u64::MAX,
    max_age: None,
    at_bound: AtBound::Refuse,
};

struct Work<'a> {
    root: &'a Root<OsDisk>,
    routes: &'a Routes,
    tier: &'a Tier,
    name: &'a Name,
    /// Those of the owners, by slot; `None` is one that begins with samples of another protocol.
    spools: HashMap<usize, Option<Spool<OsDisk>>>,
    /// A record of another protocol comes next.
    is_barred: bool,
    done: Rerouted,
}

impl Work<'_> {
    /// Moves the records of a batch, `left` at most; gives their number.
    fn take(
        &mut self,
        from: &mut Spool<OsDisk>,
        batch: &Batch,
        left: u64,
        now: &impl Fn() -> Now,
    ) -> Result<Option<u64>, RerouteError> {
        let mut sorter = Sorter::new(self.tier);
        let (mut taken, mut to) = (0, None);
        for record in batch.records().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            if !is_for(record.head.format, self.tier.protocol) {
                self.is_barred = true;
                break;
            }
            match chunk_of(&record, self.tier.protocol) {
                Some(chunk) => sorter.sort(&chunk),
                None => sorter.shed.push((Shed::SpoolCorrupt, u64::from(record.head.samples))),
            }
            (taken, to) = (taken + 1, Some(record.position));
        }
        let Some(to) = to else { return Ok(None) };
        for (slot, chunk) in sorter.finish() {
            self.give(from, slot, &chunk, now)?;
        }
        for (reason, samples) in sorter.shed {
            *self.done.shed.entry(reason.as_str()).or_default() += samples;
        }
        if !from.sync() || !self.spools.values_mut().flatten().all(Spool::sync) {
            return Err(RerouteError::Sync);
        }
        from.ack(to);
        Ok(Some(taken))
    }

    /// Appends what falls to the owner in a slot to its spool, which may be the one that it comes from. That has it
    /// too if the owner's cannot be used.
    fn give(
        &mut self,
        from: &mut Spool<OsDisk>,
        slot: usize,
        chunk: &Chunk,
        now: &impl Fn() -> Now,
    ) -> Result<(), RerouteError> {
        let Some(target) = self.routes.targets.get(slot) else { return Ok(()) };
        let id = &target.plan.id;
        let mut payloads = Payloads::default();
        payloads.push(chunk, self.tier.protocol);
        let records = payloads.records(self.routes.epoch);
        let spool = match self.spools.entry(slot) {
            _ if id == self.name.target() => Some(&mut *from),
            Entry::Occupied(open) => open.into_mut().as_mut(),
            Entry::Vacant(place) => {
                let name = Name::new(&self.tier.name, id)?;
                let mut spool = self.root.spool(&name, CONFIG, now())?;
                let takes = !is_of_another(&mut spool, self.tier.protocol);
                place.insert(takes.then_some(spool)).as_mut()
            }
        };
        let done = &mut self.done;
        let (spool, count) = match spool {
            Some(spool) => (spool, &mut done.moved),
            None => (from, &mut done.refused),
        };
        spool.append(now(), &records)?;
        *count.entry(id.clone()).or_default() += chunk.samples;
        Ok(())
    }
}
