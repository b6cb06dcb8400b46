//! The collectd half of the data path: as it came where that is right, else packed anew.
//!
//! A first pass over a datagram counts, filters and finds the owners; if all of it has the same owners
//! in a tier, it goes there verbatim. Only for the other tiers a second pass takes it apart.

mod census;
mod item;
mod survey;

use std::mem::take;

use coco_wire::collectd::Decoder;
pub(super) use item::{Kind, collectd_key, identity, pack};

use super::{Pipeline, Source, Work, identity::HostKey};
use crate::{
    routes::{Routes, Tier},
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

impl Work {
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
