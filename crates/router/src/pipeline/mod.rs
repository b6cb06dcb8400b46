//! The data path: decode, filter, find the owners, append to their chunks, hand over.
//!
//! One [`Pipeline`] per shard, synchronous: it owns no socket and awaits nothing. Per sample it
//! allocates nothing, takes no lock and reads no clock; counts are summed in a [`Tally`] and published
//! once per read batch. It logs only the first of each kind of malformed input.

mod block;
mod collectd;
mod datapoints;
mod identity;
mod lines;
#[cfg(test)]
pub(crate) mod tests;

use std::{net::SocketAddr, sync::Arc};

use coco_wire::line::Scanner;
use collectd::Whole;
use identity::SeriesHash;
use regex::bytes::Regex;

use crate::{
    chunk::OpenChunk,
    listen::Listener,
    routes::Routes,
    shared::Shared,
    tally::Tally,
    target::{Shed, queue::Feeder},
};

/// The data path of one shard.
#[derive(Debug)]
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    routes: Arc<Routes>,
    work: Work,
}

/// Scratch memory and open chunks: what changes while a batch is routed.
#[derive(Debug)]
struct Work {
    /// A copy of its own: threads that share a regex share a lock.
    blacklist: Option<Regex>,
    /// One per slot.
    open: Vec<OpenChunk>,
    /// Slots whose open chunk is not empty.
    touched: Vec<usize>,
    /// Samples that cannot be sent to the target in a slot, and why.
    unsendable: Vec<(usize, Shed)>,
    tally: Tally,
    scanner: Scanner,
    /// Bytes of a key or a path that has to be put together.
    text: Vec<u8>,
    /// A name, and a line, that could not go on as they came.
    name: Vec<u8>,
    rewritten: Vec<u8>,
    /// Pickled datapoints as lines.
    datapoints: Vec<u8>,
    /// Verdict of the filter on each item of the present datagram.
    passed: Vec<bool>,
    /// For each collectd tier: where the present datagram's samples go.
    whole: Vec<Whole>,
    series: SeriesHash,
    /// Hashes of the present datagram's series, and what the census says of each.
    hashes: Vec<u64>,
    weights: Vec<Option<u64>>,
    now: Batch,
}

/// Clock values of the present read batch.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    unix_seconds: u64,
    tick: u64,
}

impl Pipeline {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let routes = shared.routes.load_full();
        let open = |target: &Arc<crate::target::Target>| OpenChunk::new(target.datagram_bytes_max);
        let work = Work {
            blacklist: routes.blacklist.clone(),
            open: routes.targets.iter().map(open).collect(),
            touched: Vec::with_capacity(routes.targets.len()),
            unsendable: Vec::new(),
            tally: Tally::default(),
            scanner: Scanner::default(),
            text: Vec::new(),
            name: Vec::new(),
            rewritten: Vec::new(),
            datapoints: Vec::new(),
            passed: Vec::new(),
            whole: routes.collectd_tiers().map(|_| Whole::default()).collect(),
            series: SeriesHash::default(),
            hashes: Vec::new(),
            weights: Vec::new(),
            now: Batch::default(),
        };
        Self { shared, routes, work }
    }

    /// Begins a read batch: loads the routes and reads the clock.
    pub(crate) fn begin(&mut self) {
        if !std::ptr::eq(&raw const **self.shared.routes.load(), &raw const *self.routes) {
            // Nothing is open between two batches.
            *self = Self::new(Arc::clone(&self.shared));
        }
        let unix_seconds = Shared::unix_seconds();
        self.work.now = Batch { unix_seconds, tick: self.shared.census.tick() };
    }

    /// Counts malformed input of any kind.
    #[cold]
    pub(crate) fn reject(
        &mut self,
        reason: &'static str,
        from: &Source<'_>,
        detail: impl FnOnce() -> String,
    ) {
        self.work.reject(&self.shared, reason, from, detail);
    }

    /// Counts units read from the listener: TCP lines and pickle frames, truncated datagrams.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.work.tally
    }

    /// Ends a read batch: publishes the counts and hands every open chunk to its target.
    ///
    /// Returns the targets whose queue is full, for which a stream client should wait.
    pub(crate) fn publish(&mut self, listener: &Listener, feeder: Feeder, full: &mut Vec<usize>) {
        full.clear();
        let Self { shared, routes, work } = self;
        let _pass = shared.gate.pass();
        listener.publish(&mut work.tally, &shared.samples);
        for slot in work.touched.drain(..) {
            let (Some(open), Some(target)) = (work.open.get_mut(slot), routes.targets.get(slot))
            else {
                continue;
            };
            open.finish();
            // A slot is touched twice when what came first did not fit.
            if !open.chunk.is_empty() && target.offer(&mut open.chunk, feeder).full {
                full.push(slot);
            }
        }
        for (slot, why) in work.unsendable.drain(..) {
            let Some(target) = routes.targets.get(slot) else { continue };
            if why == Shed::BadName {
                shared.reports.bad_name(&target.tier);
            }
            target.meters.offered.add(1);
            target.meters.shed(why).add(1);
        }
    }

    /// The targets in these slots.
    pub(crate) fn targets(&self, slots: &[usize]) -> Vec<Arc<crate::target::Target>> {
        slots.iter().filter_map(|&slot| self.routes.targets.get(slot).cloned()).collect()
    }
}

/// Where input came from, for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The listener that read it.
    pub(crate) listener: &'a Listener,
    /// The client, if known.
    pub(crate) peer: Option<SocketAddr>,
}

impl Work {
    #[cold]
    fn reject(
        &mut self,
        shared: &Shared,
        reason: &'static str,
        from: &Source<'_>,
        detail: impl FnOnce() -> String,
    ) {
        if self.tally.reject(reason) {
            shared.reports.malformed(reason, from, detail);
        }
    }
}

#[inline]
fn touch(touched: &mut Vec<usize>, slot: usize, open: &OpenChunk) {
    if open.is_empty() {
        touched.push(slot);
    }
}
