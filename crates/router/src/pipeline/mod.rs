//! The data path: decode, filter, find the owners, append to their chunks, hand over.
//!
//! One [`Pipeline`] per shard, synchronous: it owns no socket and awaits nothing. Per sample it
//! allocates nothing, takes no lock and reads no clock; counts are summed in a [`Tally`] and published
//! once per read batch. It logs only the first of each kind of malformed input.

mod block;
mod canary;
mod collectd;
mod datapoints;
mod identity;
mod lines;
mod outlet;
mod sorter;
#[cfg(test)]
pub(crate) mod tests;

use std::{net::SocketAddr, sync::Arc};

use coco_wire::line::Scanner;
use collectd::Whole;
use identity::SeriesHash;
pub(crate) use outlet::LINGER;
use outlet::Outlet;
use regex::bytes::Regex;
pub(crate) use sorter::Sorter;

use crate::{
    canary::Found,
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
    outlet: Outlet,
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
    /// Canaries are looked for in the present read batch; and those that it has.
    watches: bool,
    canaries: Vec<Found>,
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
        let work = Work {
            blacklist: routes.blacklist.clone(),
            outlet: Outlet::new(&routes.targets),
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
            watches: false,
            canaries: Vec::new(),
        };
        Self { shared, routes, work }
    }

    /// Begins a read batch: loads the routes and reads the clock.
    pub(crate) fn begin(&mut self) {
        self.take_routes();
        let unix_seconds = Shared::unix_seconds();
        self.work.now = Batch { unix_seconds, tick: self.routes.census.tick() };
        self.work.watches = self.shared.canaries.is_armed();
    }

    /// Goes by the routes in force, if they are others; hands over first what was routed by the ones
    /// before. Not within a batch.
    pub(crate) fn take_routes(&mut self) {
        if !std::ptr::eq(&raw const **self.shared.routes.load(), &raw const *self.routes) {
            self.hand_over_all();
            *self = Self::new(Arc::clone(&self.shared));
        }
    }

    /// The routes that it goes by.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
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

    /// The same, and counts it as a unit that was read and of which nothing can be used.
    #[cold]
    pub(crate) fn reject_unit(
        &mut self,
        reason: &'static str,
        from: &Source<'_>,
        detail: impl FnOnce() -> String,
    ) {
        let unit = self.tally().begin_unit();
        self.reject(reason, from, detail);
        self.tally().end_unit(&unit);
    }

    /// Counts units read from the listener: TCP lines and pickle frames, truncated datagrams.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.work.tally
    }

    /// Ends a read batch: publishes the counts and hands over the chunks that are due.
    ///
    /// `more`: the read took as much as it could. `full` is left with the targets whose queue is full and for
    /// which a stream client should wait.
    pub(crate) fn publish(
        &mut self,
        listener: &Listener,
        feeder: Feeder,
        more: bool,
        full: &mut Vec<usize>,
    ) {
        full.clear();
        let Self { shared, routes, work } = self;
        let _pass = shared.gate.pass();
        routes.tiers.iter().for_each(|tier| tier.count(&work.tally));
        routes.ringless.iter().for_each(|tier| tier.count(&work.tally));
        listener.publish(&mut work.tally, &shared.samples);
        let canaries = std::mem::take(&mut work.canaries);
        if !canaries.is_empty() {
            shared.canaries.note(listener, routes, &canaries);
        }
        work.outlet.end_batch(routes, feeder, more, full);
        if !canaries.is_empty() {
            // What is told of them begins with the queue.
            work.outlet.hand_over_all(routes);
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

    /// Chunks are open that have yet to be handed over, if no batch does it by
    /// [`hand_over_due`](Self::hand_over_due).
    pub(crate) fn lingers(&self) -> bool {
        !self.work.outlet.is_empty()
    }

    /// Hands over the chunks that have lingered long enough.
    pub(crate) fn hand_over_due(&mut self) {
        let _pass = self.shared.gate.pass();
        self.work.outlet.hand_over_due(&self.routes);
    }

    /// Hands over all open chunks.
    pub(crate) fn hand_over_all(&mut self) {
        let _pass = self.shared.gate.pass();
        self.work.outlet.hand_over_all(&self.routes);
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
