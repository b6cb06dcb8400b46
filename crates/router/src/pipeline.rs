//! The data path: decode, filter, find the owners, append to their chunks, hand over.
//!
//! One [`Pipeline`] per shard, synchronous: it owns no socket and awaits nothing. Per sample it
//! allocates nothing, takes no lock and reads no clock; counts are summed in a [`Tally`] and published
//! once per read batch. It logs only the first of each kind of malformed input.

use std::{net::SocketAddr, sync::Arc};

use coco_ring::Key;
use coco_wire::{
    collectd::{self, Decoder, Identity, Item, Notification, ValueList},
    line::{self, Line, LineError, Timestamp},
    pickle,
};
use memchr::memchr;
use twox_hash::XxHash3_64;

use crate::{
    census::{Arrival, Owned},
    chunk::OpenChunk,
    listen::Listener,
    plan::KeyRule,
    routes::{Routes, Tier},
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

/// Whether all of a datagram goes to the same owners in one tier.
#[derive(Debug, Default)]
struct Whole {
    slots: Vec<usize>,
    state: WholeState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum WholeState {
    #[default]
    Empty,
    Same,
    Mixed,
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

    /// Routes one collectd datagram.
    pub(crate) fn datagram(&mut self, datagram: &[u8], from: &Source<'_>) {
        let Self { shared, routes, work } = self;
        let Some(samples) = work.survey(shared, routes, datagram, from) else { return };
        let mut mixed = false;
        for (whole, &tier) in work.whole.iter().zip(&routes.collectd_tiers) {
            let limit = routes.tiers.get(tier).map_or(0, |t| t.datagram_bytes_max);
            let verbatim = samples.verbatim && datagram.len() <= limit;
            match whole.state {
                WholeState::Same if verbatim => {
                    for &slot in &whole.slots {
                        let Some(open) = work.open.get_mut(slot) else { continue };
                        touch(&mut work.touched, slot, open);
                        open.push_datagram(datagram, samples.count);
                    }
                }
                WholeState::Empty => {}
                WholeState::Same | WholeState::Mixed => mixed = true,
            }
        }
        if mixed {
            work.repack(routes, datagram, samples.verbatim);
        }
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

/// What a first pass over a datagram found.
#[derive(Debug, Clone, Copy)]
struct Surveyed {
    /// Samples to route.
    count: u64,
    /// The datagram may go on as it came.
    verbatim: bool,
}

impl Work {
    /// First pass over a datagram: counts, filters, and finds out for each tier whether all of it has
    /// the same owners. `None` when there is nothing to route.
    fn survey(
        &mut self,
        shared: &Shared,
        routes: &Routes,
        datagram: &[u8],
        from: &Source<'_>,
    ) -> Option<Surveyed> {
        self.passed.clear();
        self.series.forget();
        self.whole.iter_mut().for_each(|whole| whole.state = WholeState::Empty);
        let mut decoder = Decoder::new(datagram);
        let mut host = HostKey::default();
        let (mut count, mut filtered) = (0, 0);
        for item in decoder.by_ref() {
            let (identity, is_notification) = match &item {
                Item::Values(list) => (&list.identity, false),
                Item::Notification(notification) => (&notification.identity, true),
                Item::Refused(refused) => {
                    self.tally.reject(refused.as_str());
                    shared
                        .reports
                        .first(refused.as_str(), from, || "value list refused".to_owned());
                    continue;
                }
            };
            if is_notification {
                self.tally.notifications += 1;
            } else {
                self.tally.decoded += 1;
            }
            let passed = is_notification || !self.is_blacklisted(shared, routes, identity);
            self.passed.push(passed);
            if !passed {
                filtered += 1;
                continue;
            }
            count += 1;
            let host_changed = host.set(identity.host);
            if routes.collectd_tiers.is_empty() {
                continue;
            }
            if host_changed || routes.series_keys {
                self.place(routes, &host, identity, is_notification);
            }
            if !is_notification {
                self.take_census(shared, routes, &host, identity);
            }
        }
        let outcome = decoder.outcome();
        if let Some(error) = outcome.error {
            self.reject(shared, error.kind.as_str(), from, || {
                format!("datagram of {} bytes, offset {}", datagram.len(), error.offset)
            });
        }
        self.tally.filtered += filtered;
        if routes.collectd_tiers.is_empty() {
            self.tally.unroutable += count;
            return None;
        }
        self.tally.routed_collectd += count;
        (count > 0).then_some(Surveyed { count, verbatim: outcome.strict && filtered == 0 })
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
            shared.reports.first(reason, from, detail);
        }
    }

    fn is_blacklisted(
        &mut self,
        shared: &Shared,
        routes: &Routes,
        identity: &Identity<'_>,
    ) -> bool {
        let Some(blacklist) = &routes.blacklist else { return false };
        self.text.clear();
        collectd::filter_path(identity, &mut self.text);
        if !blacklist.is_match(&self.text) {
            return false;
        }
        let host_len = identity.host.len();
        let rest = self.text.get(host_len + 1..).unwrap_or_default();
        let hash = XxHash3_64::oneshot(&self.text);
        shared.note_blacklisted(Arrival { hash, host: identity.host, rest }, self.now.tick);
        true
    }

    /// Notes the owners of one sample for every tier.
    fn place(
        &mut self,
        routes: &Routes,
        host: &HostKey<'_>,
        identity: &Identity<'_>,
        is_notification: bool,
    ) {
        for (whole, &tier) in self.whole.iter_mut().zip(&routes.collectd_tiers) {
            let Some(tier) = routes.tiers.get(tier) else { continue };
            let key = collectd_key(tier, host, identity, is_notification, &mut self.text);
            match whole.state {
                WholeState::Empty => {
                    whole.slots.clear();
                    whole.slots.extend(tier.slots(&key));
                    whole.state = WholeState::Same;
                }
                WholeState::Same if !tier.slots(&key).eq(whole.slots.iter().copied()) => {
                    whole.state = WholeState::Mixed;
                }
                WholeState::Same | WholeState::Mixed => {}
            }
        }
    }

    fn take_census(
        &mut self,
        shared: &Shared,
        routes: &Routes,
        host: &HostKey<'_>,
        identity: &Identity<'_>,
    ) {
        let hash = self.series.of(identity);
        let Some(weight) = shared.census.see(hash, self.now.tick) else { return };
        let mut path = Vec::new();
        collectd::filter_path(identity, &mut path);
        let rest = path.get(identity.host.len() + 1..).unwrap_or_default();
        let mut owners = Vec::new();
        for tier in routes.collectd_tiers.iter().filter_map(|&at| routes.tiers.get(at)) {
            let key = collectd_key(tier, host, identity, false, &mut self.text);
            let by_host = tier.key == KeyRule::Host;
            owners.extend(tier.slots(&key).map(|slot| Owned { slot, by_host }));
        }
        shared.census.admit(Arrival { hash, host: identity.host, rest }, weight, &owners);
    }

    /// Second pass, for the tiers that cannot take the datagram as it came: each sample is packed
    /// into a datagram of its owner.
    fn repack(&mut self, routes: &Routes, datagram: &[u8], verbatim: bool) {
        let mut host = HostKey::default();
        let mut verdicts = std::mem::take(&mut self.passed);
        let items = Decoder::new(datagram).filter_map(Sample::from_item).zip(&verdicts);
        for (sample, _) in items.filter(|(_, passed)| **passed) {
            let identity = sample.identity();
            host.set(identity.host);
            for (at, &tier) in routes.collectd_tiers.iter().enumerate() {
                let (Some(whole), Some(tier)) = (self.whole.get(at), routes.tiers.get(tier)) else {
                    continue;
                };
                let as_it_came = verbatim && datagram.len() <= tier.datagram_bytes_max;
                if whole.state == WholeState::Same && as_it_came {
                    continue;
                }
                let is_notification = matches!(sample, Sample::Notification(_));
                let key = collectd_key(tier, &host, identity, is_notification, &mut self.text);
                for slot in tier.slots(&key) {
                    let Some(open) = self.open.get_mut(slot) else { continue };
                    touch(&mut self.touched, slot, open);
                    if !sample.pack(open) {
                        self.oversize.push((slot, 1));
                    }
                }
            }
        }
        verdicts.clear();
        self.passed = verdicts;
    }
}

/// What is routed of a datagram.
enum Sample<'a> {
    Values(ValueList<'a>),
    Notification(Notification<'a>),
}

impl<'a> Sample<'a> {
    fn from_item(item: Item<'a>) -> Option<Self> {
        match item {
            Item::Values(list) => Some(Self::Values(list)),
            Item::Notification(notification) => Some(Self::Notification(notification)),
            Item::Refused(_) => None,
        }
    }

    fn identity(&self) -> &Identity<'a> {
        match self {
            Self::Values(list) => &list.identity,
            Self::Notification(notification) => &notification.identity,
        }
    }

    fn pack(&self, open: &mut OpenChunk) -> bool {
        match self {
            Self::Values(list) => open.pack(list),
            Self::Notification(notification) => open.pack_notification(notification),
        }
    }
}

/// The key of a collectd sample under a tier's rule; notifications always go by their host.
#[inline]
fn collectd_key<'a>(
    tier: &Tier,
    host: &HostKey<'a>,
    identity: &Identity<'_>,
    is_notification: bool,
    text: &'a mut Vec<u8>,
) -> Key<'a> {
    if tier.key == KeyRule::Host || is_notification {
        return host.key.unwrap_or_else(|| Key::new(b""));
    }
    text.clear();
    collectd::identifier(identity, text);
    Key::new(text)
}

/// The host of the present sample and its key; hashed only when the host changes.
#[derive(Debug, Clone, Copy, Default)]
struct HostKey<'a> {
    host: &'a [u8],
    key: Option<Key<'a>>,
}

impl<'a> HostKey<'a> {
    /// `true` when the host is another one than before.
    #[inline]
    fn set(&mut self, host: &'a [u8]) -> bool {
        // The decoder gives the same slice while the host part stays in force.
        if self.key.is_some() && std::ptr::eq(self.host, host) {
            return false;
        }
        *self = Self { host, key: Some(Key::new(host)) };
        true
    }
}

/// Hashes a series' identity; fields that stay the same from one sample to the next are not hashed
/// again.
#[derive(Debug, Default)]
struct SeriesHash {
    fields: [FieldHash; 5],
}

#[derive(Debug, Default, Clone, Copy)]
struct FieldHash {
    /// Address and length of the field, to tell whether it is the one of the sample before. Never
    /// followed.
    place: (usize, usize),
    hash: u64,
}

impl SeriesHash {
    #[inline]
    fn of(&mut self, identity: &Identity<'_>) -> u64 {
        let Identity { host, plugin, plugin_instance, type_, type_instance } = identity;
        let fields = [host, plugin, plugin_instance, type_, type_instance];
        let mut hash = 0_u64;
        for (known, field) in self.fields.iter_mut().zip(fields) {
            let place = (field.as_ptr().addr(), field.len());
            if known.place != place {
                *known = FieldHash { place, hash: XxHash3_64::oneshot(field) };
            }
            hash = (hash.rotate_left(23) ^ known.hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        hash ^ (hash >> 29)
    }

    /// A new datagram may stand at the same address with other bytes.
    fn forget(&mut self) {
        self.fields = Default::default();
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

#[inline]
fn touch(touched: &mut Vec<usize>, slot: usize, open: &OpenChunk) {
    if open.is_empty() {
        touched.push(slot);
    }
}
