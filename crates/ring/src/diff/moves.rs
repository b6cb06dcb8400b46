//! The copies that one key needs: who has it, and who will.
//!
//! Invariant: this is the one definition of a move. With the old owners A and the new owners B, each of B without A
//! gets a copy. Its source is the owner of A without B that gave way, paired in order; if more come than went, the
//! primary of A.

use crate::{Owners, TargetIdx};

/// The new position of each old target, if it stays.
#[derive(Clone, Debug)]
pub(super) struct Same(Box<[Option<u16>]>);

impl Same {
    pub(super) fn new(new_positions: Box<[Option<u16>]>) -> Self {
        Self(new_positions)
    }

    #[inline]
    fn is(&self, old: TargetIdx, new: TargetIdx) -> bool {
        self.0.get(usize::from(old)).copied().flatten() == Some(new.into())
    }
}

/// One copy to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Move {
    /// An old owner, of the old ring's members.
    pub from: TargetIdx,
    /// A new owner, of the new ring's members.
    pub to: TargetIdx,
}

/// The copies to make for one key, in the order of its new owners.
#[derive(Clone, Debug)]
pub struct Moves<'c> {
    same: &'c Same,
    old: Owners<'c>,
    new: Owners<'c>,
    /// Owners before these positions are done with.
    old_at: usize,
    new_at: usize,
}

impl<'c> Moves<'c> {
    #[inline]
    pub(super) fn new(same: &'c Same, old: Owners<'c>, new: Owners<'c>) -> Self {
        Self { same, old, new, old_at: 0, new_at: 0 }
    }

    /// How many old owners keep the key no longer.
    #[must_use]
    pub fn given_up(&self) -> usize {
        self.old.iter().filter(|old| !self.stays(**old)).count()
    }

    fn stays(&self, old: TargetIdx) -> bool {
        self.new.iter().any(|new| self.same.is(old, *new))
    }

    /// The next old owner that gives way, or else the primary.
    fn source(&mut self) -> TargetIdx {
        while let Some(&old) = self.old.get(self.old_at) {
            self.old_at += 1;
            if !self.stays(old) {
                return old;
            }
        }
        self.old[0] // never empty: every key has an owner
    }
}

impl Iterator for Moves<'_> {
    type Item = Move;

    #[inline]
    fn next(&mut self) -> Option<Move> {
        while let Some(&to) = self.new.get(self.new_at) {
            self.new_at += 1;
            if !self.old.iter().any(|old| self.same.is(*old, to)) {
                return Some(Move { from: self.source(), to });
            }
        }
        None
    }
}
