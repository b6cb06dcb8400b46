//! The data path: decode, filter, find the owners, append to their chunks, hand over.
//!
//! One [`Pipeline`] per shard, synchronous: it owns no socket and awaits nothing. Per sample it
//! allocates nothing, takes no lock and reads no clock; counts are summed in a [`Tally`] and published
//! once per read batch. It logs only the first of each kind of malformed input.

mod collectd;
#[cfg(test)]
pub(crate) mod tests;

use std::{net::SocketAddr, sync::Arc};

use collectd::{SeriesHash, Whole};

use coco_ring::Key;
use coco_wire::{
    line::{self, Line, LineError, Timestamp},
    pickle,
};
use memchr::memchr;

use crate::{
    census::{Arrival, Owned},
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
    /// A pickled datapoint as a line.
    datapoint: Vec<u8>,
    /// Verdict of the filter on each item of the present datagram.
    passed: Vec<bool>,
    /// For each collectd tier: where the present datagram's samples go.
    whole: Vec<Whole>,
    series: SeriesHash,
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
            open: routes.targets.iter().map(open).collect(),
            touched: Vec::with_capacity(routes.targets.len()),
            oversize: Vec::new(),
            tally: Tally::default(),
            text: Vec::new(),
            stamped: Vec::new(),
            datapoint: Vec::new(),
            passed: Vec::new(),
            whole: routes.collectd_tiers.iter().map(|_| Whole::default()).collect(),
            series: SeriesHash::default(),
            now: Batch::default(),
        };
        Self { shared, routes, work }
    }

    /// Begins a read batch: reads the clock once.
    pub(crate) fn begin(&mut self) {
        let unix_seconds = self.shared.unix_seconds();
        self.work.now = Batch { unix_seconds, tick: self.shared.census.tick() };
    }

    /// Routes a batch of lines; each ends in LF, but the last one need not.
    pub(crate) fn lines(&mut self, batch: &[u8], from: &Source<'_>) {
        let plain = line::is_plain(batch);
        let parse = if plain { line::parse_plain } else { line::parse };
        let line_bytes_max = self.shared.limits.line_bytes_max;
        let mut rest = batch;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let (text, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            let parsed =
                if text.len() > line_bytes_max { Err(LineError::TooLong) } else { parse(text) };
            match parsed {
                Ok(line) => self.line(&line),
                Err(error) => self.reject_line(error, text, from),
            }
        }
    }

    /// Routes the datapoints of one pickle frame, each as the line it stands for.
    pub(crate) fn pickle(&mut self, frame: &[u8], from: &Source<'_>) {
        let mut text = std::mem::take(&mut self.work.datapoint);
        let now = self.work.now.unix_seconds;
        let line_bytes_max = self.shared.limits.line_bytes_max;
        let decoded = pickle::decode(frame, |element| {
            let datapoint = match element {
                Ok(datapoint) => datapoint,
                Err(error) => {
                    return self.reject(error.as_str(), from, || "element of a pickle".to_owned());
                }
            };
            text.clear();
            datapoint.append_to(now, &mut text);
            let long = text.len() > line_bytes_max;
            match if long { Err(LineError::TooLong) } else { line::parse(&text) } {
                Ok(line) => self.line(&line),
                Err(error) => self.reject_line(error, &text, from),
            }
        });
        self.work.datapoint = text;
        if let Err(error) = decoded {
            self.reject(error.kind.as_str(), from, || {
                format!("pickle of {} bytes: {error}", frame.len())
            });
        }
    }

    /// Routes one parsed line.
    #[inline]
    pub(crate) fn line(&mut self, line: &Line<'_>) {
        let Self { shared, routes, work } = self;
        work.tally.decoded += 1;
        let key = Key::new(line::tag_key(line.name, &mut work.text));
        if routes.blacklist.as_ref().is_some_and(|re| re.is_match(line.name)) {
            work.tally.filtered += 1;
            let arrival = Arrival { hash: key.xxh3(), host: line.name, rest: b"" };
            return shared.note_blacklisted(arrival, work.now.tick);
        }
        if routes.line_tiers.is_empty() {
            work.tally.unroutable += 1;
            return;
        }
        work.tally.routed_lines += 1;
        if let Some(weight) = shared.census.see(key.xxh3(), work.now.tick) {
            let arrival = Arrival { hash: key.xxh3(), host: line.name, rest: b"" };
            let owners = routes.line_tiers.iter().filter_map(|&at| routes.tiers.get(at));
            let single = |slot| Owned { slot, by_host: false };
            let owners: Vec<_> = owners.flat_map(|t| t.slots(&key).map(single)).collect();
            shared.census.admit(arrival, weight, &owners);
        }
        let text = match line.time {
            Timestamp::Given(_) => line.text,
            Timestamp::Now { .. } => {
                work.stamped.clear();
                line.append_to(work.now.unix_seconds, &mut work.stamped);
                &work.stamped
            }
        };
        for tier in routes.line_tiers.iter().filter_map(|&at| routes.tiers.get(at)) {
            for slot in tier.slots(&key) {
                let Some(open) = work.open.get_mut(slot) else { continue };
                touch(&mut work.touched, slot, open);
                open.chunk.push_line(text);
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
    #[cold]
    fn reject(
        &mut self,
        shared: &Shared,
        reason: &'static str,
        from: &Source<'_>,
        detail: impl FnOnce() -> String,
    ) {
        if self.tally.reject(reason) {
            shared.reports.first(reason, from, detail);
        }
    }
}

#[inline]
fn touch(touched: &mut Vec<usize>, slot: usize, open: &OpenChunk) {
    if open.is_empty() {
        touched.push(slot);
    }
}
