//! Distinct series of a datagram.

use std::mem::take;

use coco_wire::collectd::{self, Decoder, Identity};

use super::{Kind, collectd_key, identity};
use crate::{
    census::{Arrival, Owned},
    pipeline::{Work, identity::HostKey},
    plan::KeyRule,
    routes::Routes,
};

impl Work {
    /// Looks the datagram's series up together, so that the waits for memory overlap; only if one is
    /// new, the datagram is walked once more for its name.
    pub(super) fn take_census(&mut self, routes: &Routes, datagram: &[u8]) {
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
}
