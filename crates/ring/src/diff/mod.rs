//! What moves when one ring takes the place of another: how much, from whom, to whom.
//!
//! Invariant: shares are counted, not estimated, wherever the key space can be walked: positions are weighed as
//! integers and divided once, at the end, so a ring compared to itself moves exactly 0. [`Comparison::moves`] is the
//! only definition of a move; the shares of [`Diff`] and the list of names both come from it. Nothing here knows
//! addresses, files or names of series.

mod ideal;
mod moves;
mod sample;
mod tally;
#[cfg(test)]
mod tests;
mod walk;

pub use moves::{Move, Moves};

use crate::{Key, Ring};
use moves::Same;
use std::collections::HashMap;
use tally::Tally;

/// Two rings whose targets are matched by their ids. Cheap to clone but for one word a target.
#[derive(Clone, Debug)]
pub struct Comparison {
    old: Ring,
    new: Ring,
    same: Same,
}

impl Comparison {
    /// Matches the targets of both rings: equal ids are one target, whatever else of it changed.
    #[must_use]
    pub fn new(old: &Ring, new: &Ring) -> Self {
        let new_members = new.members().iter().zip(0_u16..);
        let by_id: HashMap<&str, u16> =
            new_members.map(|(member, at)| (member.id.as_str(), at)).collect();
        let same = old.members().iter().map(|member| by_id.get(member.id.as_str()).copied());
        Self { same: Same::new(same.collect()), old: old.clone(), new: new.clone() }
    }

    /// The copies that must be made of one name, whose keys under the old and the new rule these are; they are equal
    /// unless the rule changed.
    #[inline]
    #[must_use]
    pub fn moves(&self, old: &Key<'_>, new: &Key<'_>) -> Moves<'_> {
        Moves::new(&self.same, self.old.owners(old), self.new.owners(new))
    }

    /// What moves over all keys.
    ///
    /// Exact where both rings share a space that can be walked: at most 2^20 positions, arcs, or up to 2^24 residues.
    /// Otherwise 2^20 positions or keys, divided by the replicas but at least 2^16, stand for all.
    #[must_use]
    pub fn diff(&self) -> Diff {
        let mut tally = Tally::new(self);
        let basis = walk::walk(&self.old, &self.new, &mut tally);
        tally.finish(self, basis)
    }

    /// What moves when the keys change along with the ring, as when hosts were hashed and whole identifiers will be:
    /// a name's old key says nothing about its new one. Estimated from 2^20 pairs of keys, divided by the replicas but
    /// at least 2^16.
    #[must_use]
    pub fn diff_of_unrelated_keys(&self) -> Diff {
        let mut tally = Tally::new(self);
        let basis = walk::unrelated_keys(&self.old, &self.new, &mut tally);
        tally.finish(self, basis)
    }
}

/// What moves, as shares of 0..=1. A *copy* is a key on one of its owners: a ring has `replicas` of each key.
#[derive(Clone, Debug, PartialEq)]
pub struct Diff {
    /// How the shares were found.
    pub basis: Basis,
    /// Copies that must be made, of all copies of the new ring.
    pub moved: f64,
    /// Copies that are owned no longer, of all copies of the old ring.
    pub given_up: f64,
    /// The least that any placement by these weights would move, of all copies of the new ring. A real placement,
    /// whose shares are not quite its weights, may move a little less. Zones are not regarded.
    pub ideal: f64,
    /// From which old target to which new one, the largest first: at most [`Flow::COUNT_MAX`] pairs, those that were
    /// met first. With `rest` they sum up to `moved`.
    pub flows: Vec<Flow>,
    /// Copies between further pairs of targets, which were not told apart, of all copies of the new ring; 0 unless
    /// there are more than [`Flow::COUNT_MAX`] pairs.
    pub rest: f64,
    /// The share of copies of each old target, in the order of its members.
    pub before: Vec<f64>,
    /// The share of copies of each new target, in the order of its members.
    pub after: Vec<f64>,
}

/// How shares were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Every position of the key space was counted.
    Exact,
    /// So many keys stood for all.
    Sampled {
        /// How many.
        keys: u64,
    },
}

/// The copies that go from one target to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// Position in the old members: who has them.
    pub from: usize,
    /// Position in the new members: who will.
    pub to: usize,
    /// Of all copies of the new ring.
    pub share: f64,
}

impl Flow {
    /// Most pairs of targets that a [`Diff`] tells apart: 4,096 targets with another hash would have 2^24.
    pub const COUNT_MAX: usize = 1 << 16;
}
