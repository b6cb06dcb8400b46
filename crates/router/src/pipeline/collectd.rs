//! The collectd half of the data path: as it came where that is right, else packed anew.
//!
//! A first pass over a datagram counts, filters and finds the owners; if all of it has the same owners
//! in a tier, it goes there verbatim. Only for the other tiers a second pass takes it apart.

use std::mem::take;

use coco_ring::Key;
use coco_wire::{
    collectd::{self, Decoder, Identity, Item, Refused},
    line::tag_key,
};
use memchr::memchr;
use twox_hash::XxHash3_64;

use super::{Pipeline, Source, Work, identity::HostKey};
use crate::{
    census::{Arrival, Owned},
    chunk::OpenChunk,
    loops,
    plan::KeyRule,
    routes::{Routes, Tier},
    shared::Shared,
    target::Shed,
};

impl Pipeline {
    /// Routes one collectd datagram.
    pub(crate) fn datagram(&mut self, datagram: &[u8], from: &Source<'_>) {
        if self.work.watches {
            self.watched_datagram(datagram, from);
        } else {
            self.any_datagram(datagram, from);
        }
    }

    /// The same, whatever it is.
    pub(super) fn any_datagram(&mut self, datagram: &[u8], from: &Source<'_>) {
        let Self { shared, routes, work } = self;
        let Some(samples) = work.survey(shared, routes, datagram, from) else { return };
        let mut mixed = false;
        for (whole, tier) in work.whole.iter_mut().zip(routes.collectd_tiers()) {
            let as_it_came = samples.verbatim && is_worth_a_datagram(datagram, tier);
            if whole.state != WholeState::Same || !as_it_came {
                mixed = true;
                continue;
            }
            for &slot in &whole.slots {
                if let Some(open) = work.outlet.chunk(slot) {
                    open.push_datagram(datagram, samples.count);
                }
            }
            whole.state = WholeState::Gone;
        }
        if mixed {
            work.repack(routes, datagram);
        }
    }
}

/// A datagram under an eighth of what fits is packed together with its neighbours: to send it alone would
/// take the kernel longer than us to pack it.
const SMALL_SHARE: usize = 8;

/// Whether a datagram fits a tier's size, and is not so small that it is better packed with others.
fn is_worth_a_datagram(datagram: &[u8], tier: &Tier) -> bool {
    let max = tier.datagram_bytes_max;
    (max / SMALL_SHARE..=max).contains(&datagram.len())
}

/// Whether all of a datagram goes to the same owners in one tier.
#[derive(Debug, Default)]
pub(super) struct Whole {
    slots: Vec<usize>,
    state: WholeState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum WholeState {
    /// No sample was placed yet.
    #[default]
    Empty,
    Same,
    Mixed,
    /// The datagram went to the tier as it came.
    Gone,
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
        self.hashes.clear();
        self.whole.iter_mut().for_each(|whole| whole.state = WholeState::Empty);
        let mut decoder = Decoder::new(datagram);
        let mut host = HostKey::default();
        let mut count = 0;
        for item in decoder.by_ref() {
            match identity(&item) {
                Ok(identity) => {
                    let kind = Kind::of(&item);
                    let passed = self.survey_sample(shared, routes, &mut host, identity, kind);
                    self.passed.push(passed);
                    count += u64::from(passed);
                }
                Err(refused) => {
                    self.reject(shared, refused.as_str(), from, || "item refused".to_owned());
                }
            }
        }
        let outcome = decoder.outcome();
        if let Some(error) = outcome.error {
            self.reject(shared, error.kind.as_str(), from, || {
                format!("datagram of {} bytes, offset {}", datagram.len(), error.offset)
            });
        }
        if self.passed.is_empty() && outcome.error.is_none() && loops::is_probe(datagram) {
            self.probe(shared, datagram);
        }
        let has_owners = routes.collectd_tiers().len() > 0;
        if has_owners || routes.sheds_collectd() {
            self.tally.routed_collectd += count;
        } else {
            self.tally.unroutable += count;
        }
        if !has_owners {
            return None;
        }
        self.take_census(routes, datagram);
        let all_passed = self.passed.iter().all(|&passed| passed);
        (count > 0).then_some(Surveyed { count, verbatim: outcome.strict && all_passed })
    }

    /// Counts a probe of a Coco; of ours it may be, and then what we send comes back.
    #[cold]
    fn probe(&mut self, shared: &Shared, datagram: &[u8]) {
        self.tally.probes += 1;
        if let Some(beacon) = shared.loops.recognise(datagram) {
            loops::came_back(
                &shared.roll.load(),
                beacon,
                "a datagram of this process has come back",
            );
        }
    }

    /// Counts one sample and notes its owners; `false` when the filter takes it out.
    fn survey_sample<'a>(
        &mut self,
        shared: &Shared,
        routes: &Routes,
        host: &mut HostKey<'a>,
        identity: &Identity<'a>,
        kind: Kind,
    ) -> bool {
        match kind {
            Kind::Notification => self.tally.notifications += 1,
            Kind::Values => {
                self.tally.decoded += 1;
                if self.is_blacklisted(shared, identity) {
                    self.tally.filtered += 1;
                    return false;
                }
            }
        }
        if host.set(identity.host) || routes.series_keys {
            self.place(routes, host, identity, kind);
        }
        if kind == Kind::Values {
            let hash = self.series.of(identity);
            self.hashes.push(hash);
        }
        true
    }

    fn is_blacklisted(&mut self, shared: &Shared, identity: &Identity<'_>) -> bool {
        let Some(blacklist) = &self.blacklist else { return false };
        self.text.clear();
        collectd::filter_path(identity, &mut self.text);
        if !blacklist.is_match(&self.text) {
            return false;
        }
        let host_len = identity.host.len();
        let rest = self.text.get(host_len + 1..).unwrap_or_default();
        let hash = XxHash3_64::oneshot(&self.text);
        shared.note_blacklisted(
            Arrival { hash, host: identity.host, rest, identifier: b"" },
            self.now.tick,
        );
        true
    }

    /// Notes the owners of one sample for every tier.
    fn place(&mut self, routes: &Routes, host: &HostKey<'_>, identity: &Identity<'_>, kind: Kind) {
        for (whole, tier) in self.whole.iter_mut().zip(routes.collectd_tiers()) {
            let key = collectd_key(tier, host, identity, kind, &mut self.text);
            match whole.state {
                WholeState::Empty => {
                    whole.slots.clear();
                    whole.slots.extend(tier.slots(&key));
                    whole.state = WholeState::Same;
                }
                WholeState::Same if !tier.slots(&key).eq(whole.slots.iter().copied()) => {
                    whole.state = WholeState::Mixed;
                }
                WholeState::Same | WholeState::Mixed | WholeState::Gone => {}
            }
        }
    }

    /// Looks the datagram's series up together, so that the waits for memory overlap; only if one is
    /// new, the datagram is walked once more for its name.
    fn take_census(&mut self, routes: &Routes, datagram: &[u8]) {
        let (census, tick) = (&*routes.census, self.now.tick);
        self.weights.clear();
        self.weights.extend(self.hashes.iter().map(|&hash| census.see(hash, tick)));
        if self.weights.iter().all(Option::is_none) {
            return;
        }
        let (hashes, weights) = (take(&mut self.hashes), take(&mut self.weights));
        let mut passed = self.passed.clone().into_iter();
        let mut found = hashes.iter().zip(&weights);
        for item in Decoder::new(datagram) {
            let Ok(identity) = identity(&item) else { continue };
            if passed.next() != Some(true) || Kind::of(&item) != Kind::Values {
                continue;
            }
            if let Some((&hash, &Some(weight))) = found.next() {
                self.admit(routes, identity, hash, weight);
            }
        }
        (self.hashes, self.weights) = (hashes, weights);
    }

    fn admit(&mut self, routes: &Routes, identity: &Identity<'_>, hash: u64, weight: u64) {
        let mut path = Vec::new();
        collectd::filter_path(identity, &mut path);
        let rest = path.get(identity.host.len() + 1..).unwrap_or_default();
        let mut name = Vec::new();
        collectd::identifier(identity, &mut name);
        let mut host = HostKey::default();
        host.set(identity.host);
        let mut owners = Vec::new();
        for tier in routes.collectd_tiers() {
            let key = collectd_key(tier, &host, identity, Kind::Values, &mut self.text);
            let by_host = tier.key == KeyRule::Host;
            owners.extend(tier.slots(&key).map(|slot| Owned { slot, by_host }));
        }
        let arrival = Arrival { hash, host: identity.host, rest, identifier: &name };
        routes.census.admit(arrival, weight, &owners);
    }

    /// Second pass, for the tiers that cannot take the datagram as it came: each sample is packed
    /// into a datagram of its owner.
    fn repack(&mut self, routes: &Routes, datagram: &[u8]) {
        let mut host = HostKey::default();
        let verdicts = take(&mut self.passed);
        let mut passed = verdicts.iter();
        for item in Decoder::new(datagram) {
            let Ok(identity) = identity(&item) else { continue };
            if passed.next() != Some(&true) {
                continue;
            }
            host.set(identity.host);
            for (whole, tier) in self.whole.iter().zip(routes.collectd_tiers()) {
                if whole.state == WholeState::Gone {
                    continue;
                }
                let key = collectd_key(tier, &host, identity, Kind::of(&item), &mut self.text);
                for &owner in tier.ring.owners(&key).iter() {
                    let slot = tier.slot(owner);
                    let Some(open) = self.outlet.chunk(slot) else { continue };
                    if !pack(&item, open) {
                        self.unsendable.push((slot, Shed::Oversize));
                    }
                }
            }
        }
        self.passed = verdicts;
    }
}

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Values,
    Notification,
}

impl Kind {
    pub(super) fn of(item: &Item<'_>) -> Self {
        if matches!(item, Item::Notification(_)) { Self::Notification } else { Self::Values }
    }
}

/// Whose sample it is; refused items have no owner.
#[inline]
pub(super) fn identity<'i, 'a>(item: &'i Item<'a>) -> Result<&'i Identity<'a>, Refused> {
    match item {
        Item::Values(list) => Ok(&list.identity),
        Item::Notification(notification) => Ok(&notification.identity),
        Item::Refused(refused) => Err(*refused),
    }
}

/// Packs a sample into the open chunk; `false` when it fits into no datagram.
pub(super) fn pack(item: &Item<'_>, open: &mut OpenChunk) -> bool {
    match item {
        Item::Values(list) => open.pack(list),
        Item::Notification(notification) => open.pack_notification(notification),
        Item::Refused(_) => false,
    }
}

/// The key of a collectd sample under a tier's rule; notifications always go by their host.
#[inline]
pub(super) fn collectd_key<'a>(
    tier: &Tier,
    host: &HostKey<'a>,
    identity: &Identity<'_>,
    kind: Kind,
    text: &'a mut Vec<u8>,
) -> Key<'a> {
    if tier.key == KeyRule::Host || kind == Kind::Notification {
        // An embedded tier cannot tell from a name who sent it: what looks like tags is sorted.
        if tier.carries_lines() && memchr(b';', host.host).is_some() {
            return Key::new(tag_key(host.host, text));
        }
        return host.key.unwrap_or_else(|| Key::new(b""));
    }
    text.clear();
    collectd::identifier(identity, text);
    if tier.carries_lines() && memchr(b';', text).is_some() {
        let mut scratch = Vec::new();
        *text = tag_key(text, &mut scratch).to_vec();
    }
    Key::new(text)
}
