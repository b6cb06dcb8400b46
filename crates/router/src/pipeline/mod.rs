//! The data path: decode, filter, find the owners, append to their chunks, hand over.
//!
//! One [`Pipeline`] per shard, synchronous: it owns no socket and awaits nothing. Per sample it
//! allocates nothing, takes no lock and reads no clock; counts are summed in a [`Tally`] and published
//! once per read batch. It logs only the first of each kind of malformed input.

mod block;
mod collectd;
mod identity;
#[cfg(test)]
pub(crate) mod tests;

use std::{net::SocketAddr, sync::Arc};

use block::{Block, Pending};
use collectd::Whole;
use identity::SeriesHash;

use coco_ring::Key;
use coco_wire::{
    line::{self, Line, LineError, Timestamp},
    pickle,
};
use memchr::memchr;
use regex::bytes::Regex;

use crate::{
    census::{Arrival, Owned},
    chunk::OpenChunk,
    listen::Listener,
    routes::Routes,
    shared::Shared,
    tally::Tally,
    target::{Shed, queue::Feeder},
};

/// Bytes of pickled datapoints that are routed at once: a frame may hold many times its size.
const DATAPOINTS_BYTES: usize = 64 * 1024;

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
    /// Samples that fit into no datagram, by slot.
    oversize: Vec<(usize, u64)>,
    tally: Tally,
    /// Bytes of a key or a path that has to be put together.
    text: Vec<u8>,
    /// A line whose time had to be filled in.
    stamped: Vec<u8>,
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
            oversize: Vec::new(),
            tally: Tally::default(),
            text: Vec::new(),
            stamped: Vec::new(),
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

    /// Routes a batch of lines; each ends in LF, but the last one need not.
    pub(crate) fn lines(&mut self, batch: &[u8], from: &Source<'_>) {
        let plain = line::is_plain(batch);
        let parse = if plain { line::parse_plain } else { line::parse };
        let line_bytes_max = self.shared.limits.line_bytes_max;
        let mut block = Block::default();
        let mut rest = batch;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let (text, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            let parsed =
                if is_long(text, line_bytes_max) { Err(LineError::TooLong) } else { parse(text) };
            match parsed {
                Ok(line) => self.line(line, &mut block),
                Err(error) => self.reject_line(error, text, from),
            }
        }
        self.route_block(&mut block);
    }

    /// Routes the datapoints of one pickle frame, as the lines that they stand for.
    pub(crate) fn pickle(&mut self, frame: &[u8], from: &Source<'_>) {
        let mut lines = std::mem::take(&mut self.work.datapoints);
        let now = self.work.now.unix_seconds;
        let decoded = pickle::decode(frame, |element| match element {
            Ok(datapoint) => {
                datapoint.append_to(now, &mut lines);
                lines.push(b'\n');
                if lines.len() >= DATAPOINTS_BYTES {
                    self.lines(&lines, from);
                    lines.clear();
                }
            }
            Err(error) => {
                self.reject(error.as_str(), from, || "element of a pickle".to_owned());
            }
        });
        self.lines(&lines, from);
        lines.clear();
        self.work.datapoints = lines;
        if let Err(error) = decoded {
            self.reject(error.kind.as_str(), from, || {
                format!("pickle of {} bytes: {error}", frame.len())
            });
        }
    }

    /// Counts and filters one parsed line, and adds it to the block; routes a full block.
    #[inline]
    fn line<'a>(&mut self, line: Line<'a>, block: &mut Block<'a>) {
        let Self { shared, routes, work } = self;
        work.tally.decoded += 1;
        if work.blacklist.as_ref().is_some_and(|re| re.is_match(line.name)) {
            work.tally.filtered += 1;
            let key = Key::new(line::tag_key(line.name, &mut work.text));
            let arrival = Arrival { hash: key.xxh3(), host: line.name, rest: b"" };
            return shared.note_blacklisted(arrival, work.now.tick);
        }
        if routes.line_tiers().len() == 0 {
            work.tally.unroutable += 1;
            return;
        }
        work.tally.routed_lines += 1;
        // A name whose tags had to be sorted is rare; its key is made again when it is routed.
        let in_place = std::ptr::eq(line::tag_key(line.name, &mut work.text), line.name);
        block.push(line, in_place.then(|| Key::new(line.name)));
        if block.is_full() {
            self.route_block(block);
        }
    }

    /// Routes a block of lines. What stands in large tables is read for all of them first, so that the
    /// waits for memory overlap.
    fn route_block(&mut self, block: &mut Block<'_>) {
        let Self { shared, routes, work } = self;
        let tick = work.now.tick;
        for tier in routes.line_tiers() {
            for key in block.keys() {
                std::hint::black_box(tier.ring.touch(key));
            }
        }
        block.weigh(|hash| shared.census.see(hash, tick));
        for Pending { line, key, weight } in block.drain() {
            match key {
                Some(key) => work.route_line(shared, routes, &line, &key, weight),
                None => {
                    let mut text = std::mem::take(&mut work.text);
                    let key = Key::new(line::tag_key(line.name, &mut text));
                    let weight = shared.census.see(key.xxh3(), tick);
                    work.route_line(shared, routes, &line, &key, weight);
                    work.text = text;
                }
            }
        }
    }

    /// Counts a bad line, and shows the first of its kind.
    #[cold]
    pub(crate) fn reject_line(&mut self, error: LineError, text: &[u8], from: &Source<'_>) {
        self.reject(error.as_str(), from, || {
            format!(
                "line {:?}",
                text.get(..text.len().min(80)).unwrap_or_default().escape_ascii().to_string()
            )
        });
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
        for (slot, samples) in work.oversize.drain(..) {
            let Some(target) = routes.targets.get(slot) else { continue };
            target.meters.offered.add(samples);
            target.meters.shed(Shed::Oversize).add(samples);
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
    /// Appends a line to the chunks of its owners; counts its series if it has the weight of a new one.
    #[inline]
    fn route_line(
        &mut self,
        shared: &Shared,
        routes: &Routes,
        line: &Line<'_>,
        key: &Key<'_>,
        weight: Option<u64>,
    ) {
        if let Some(weight) = weight {
            let single = |slot| Owned { slot, by_host: false };
            let tiers = routes.line_tiers();
            let owners: Vec<_> = tiers.flat_map(|tier| tier.slots(key).map(single)).collect();
            let arrival = Arrival { hash: key.xxh3(), host: line.name, rest: b"" };
            shared.census.admit(arrival, weight, &owners);
        }
        let text = match line.time {
            Timestamp::Given(_) => line.text,
            Timestamp::Now { .. } => {
                self.stamped.clear();
                line.append_to(self.now.unix_seconds, &mut self.stamped);
                &self.stamped
            }
        };
        for tier in routes.line_tiers() {
            for slot in tier.slots(key) {
                let Some(open) = self.open.get_mut(slot) else { continue };
                touch(&mut self.touched, slot, open);
                open.chunk.push_line(text);
            }
        }
    }

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

/// Over the limit, its line end not counted.
#[inline]
fn is_long(text: &[u8], bytes_max: usize) -> bool {
    text.len() > bytes_max && text.strip_suffix(b"\r").unwrap_or(text).len() > bytes_max
}

#[inline]
fn touch(touched: &mut Vec<usize>, slot: usize, open: &OpenChunk) {
    if open.is_empty() {
        touched.push(slot);
    }
}
