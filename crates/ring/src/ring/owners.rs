//! The owners of one key, as a slice: of the ring's table, or drawn for the key.

use crate::TargetIdx;
use std::ops::Deref;

/// Most owners that a key can have; at 16 the table of an `xxh3` ring takes 16 MiB.
pub(crate) const OWNERS_MAX: usize = 16;

/// The owners of one key: distinct, the primary first. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Owners<'r>(Held<'r>);

#[derive(Clone, Copy, Debug)]
enum Held<'r> {
    Table(&'r [TargetIdx]),
    Drawn { owners: [TargetIdx; OWNERS_MAX], count: usize },
}

impl<'r> Owners<'r> {
    #[inline]
    pub(crate) fn table(owners: &'r [TargetIdx]) -> Self {
        Self(Held::Table(owners))
    }

    /// The first `count` of `owners`.
    #[inline]
    pub(crate) fn drawn(owners: [TargetIdx; OWNERS_MAX], count: usize) -> Self {
        Self(Held::Drawn { owners, count })
    }
}

impl Deref for Owners<'_> {
    type Target = [TargetIdx];

    #[inline]
    fn deref(&self) -> &[TargetIdx] {
        match &self.0 {
            Held::Table(owners) => owners,
            Held::Drawn { owners, count } => owners.get(..*count).unwrap_or_default(),
        }
    }
}

impl Iterator for OwnersIter<'_> {
    type Item = TargetIdx;

    #[inline]
    fn next(&mut self) -> Option<TargetIdx> {
        let owner = self.owners.get(self.at).copied();
        self.at += 1;
        owner
    }
}

/// The owners one by one.
#[derive(Clone, Debug)]
pub struct OwnersIter<'r> {
    owners: Owners<'r>,
    at: usize,
}

impl<'r> IntoIterator for Owners<'r> {
    type Item = TargetIdx;
    type IntoIter = OwnersIter<'r>;

    #[inline]
    fn into_iter(self) -> OwnersIter<'r> {
        OwnersIter { owners: self, at: 0 }
    }
}
