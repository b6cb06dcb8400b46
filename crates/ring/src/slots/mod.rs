//! The table of an `xxh3` ring: the owners of each of 2^19 slots.
//!
//! Invariant: the table holds `replicas` entries for every slot, so a lookup is one read that cannot fail. Who owns
//! a slot is decided by `rendezvous`; the slot of a key is the top 19 bits of its hash, and both are frozen.

#[cfg(test)]
mod tests;

use crate::rendezvous::Rendezvous;
use crate::{Members, TargetIdx};
use std::ops::Range;

/// The owners of each slot, slot after slot.
pub(crate) struct Slots {
    owners: Box<[TargetIdx]>,
    replicas: usize,
}

impl Slots {
    /// 2^19 is 128 slots for each of 4,096 members, and a 1 MiB table that stays in a core's L2 cache.
    const BITS: u32 = 19;

    /// How many slots there are.
    pub(crate) const COUNT: usize = 1 << Self::BITS;

    pub(crate) fn build(members: &Members, replicas: usize) -> Self {
        Self { owners: owners_of_slots(members, replicas, 0..Self::COUNT), replicas }
    }

    #[inline]
    pub(crate) fn owners(&self, hash: u64) -> &[TargetIdx] {
        let slot = (hash >> (u64::BITS - Self::BITS)) as usize;
        let start = slot * self.replicas;
        &self.owners[start..start + self.replicas]
    }
}

/// The owners of some slots, `replicas` entries each; tests of the placement need not fill the whole table.
pub(crate) fn owners_of_slots(
    members: &Members,
    replicas: usize,
    slots: Range<usize>,
) -> Box<[TargetIdx]> {
    let rendezvous = Rendezvous::new(members, replicas);
    let mut owners = Vec::with_capacity(slots.len() * replicas);
    let mut scratch = Vec::new();
    for slot in slots {
        rendezvous.owners(slot as u64, &mut scratch, &mut owners);
    }
    owners.into_boxed_slice()
}
