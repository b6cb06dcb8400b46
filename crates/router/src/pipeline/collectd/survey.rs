//! The first pass over a datagram: what it carries, what the filter takes out, and whose the rest is.

use coco_wire::collectd::{self, Decoder, Identity};
use twox_hash::XxHash3_64;

use super::{Kind, WholeState, collectd_key, identity};
use crate::{
    census::Arrival,
    loops,
    pipeline::{Source, Work, identity::HostKey},
    routes::Routes,
    shared::Shared,
};

/// What a first pass over a datagram found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surveyed {
    /// Samples to route.
    pub(super) count: u64,
    /// The datagram may go on as it came.
    pub(super) verbatim: bool,
}

impl Work {
    /// First pass over a datagram: counts, filters, and finds out for each tier whether all of it has
    /// the same owners. `None` when there is nothing to route.
    pub(super) fn survey(
        &mut self,
        shared: &Shared,
        routes: &Routes,
        datagram: &[u8],
        from: &Source<'_>,
    ) -> Option<Surveyed> {
        self.forget_datagram();
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
        if !self.count_routed(routes, count) {
            return None;
        }
        self.take_census(routes, datagram);
        let all_passed = self.passed.iter().all(|&passed| passed);
        (count > 0).then_some(Surveyed { count, verbatim: outcome.strict && all_passed })
    }

    /// Begins with another datagram.
    fn forget_datagram(&mut self) {
        self.passed.clear();
        self.series.forget();
        self.hashes.clear();
        self.whole.iter_mut().for_each(|whole| whole.state = WholeState::Empty);
    }

    /// Counts samples that passed the filter; `false` if nobody owns them.
    fn count_routed(&mut self, routes: &Routes, count: u64) -> bool {
        let has_owners = routes.collectd_tiers().len() > 0;
        if has_owners || routes.sheds_collectd() {
            self.tally.routed_collectd += count;
        } else {
            self.tally.unroutable += count;
        }
        has_owners
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
}
