//! The ring: one immutable value that names the owners of any key.
//!
//! Invariant: a ring that exists answers every key with exactly `replicas` distinct targets of its members; all that
//! could be wrong is refused by [`Ring::build`]. The ring does not know which targets are up and never changes: a new
//! membership is a new ring.

mod digest;
mod error;
mod owners;
mod placement;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod refusals;
mod space;
#[cfg(test)]
mod tests;

pub use error::RingError;
pub(crate) use owners::OWNERS_MAX;
pub use owners::{Owners, OwnersIter};
#[cfg(test)]
pub(crate) use placement::points as points_of;
pub use space::{Cuts, Located, Space, Spot};

use crate::slots::Slots;
use crate::{Algorithm, Key, Members, TargetIdx, points};
use placement::Placement;
use std::fmt;
use std::sync::Arc;

/// Which targets own a key. Cheap to clone: clones share one table.
#[derive(Clone)]
pub struct Ring(Arc<Inner>);

struct Inner {
    algorithm: Algorithm,
    members: Members,
    replicas: usize,
    replicas_asked: usize,
    placement: Placement,
}

impl Ring {
    /// Most replicas that may be asked for.
    const REPLICAS_MAX: usize = OWNERS_MAX;

    /// Builds the whole table: for `xxh3` 2^19 slots, about a nanosecond for each slot and member; for others less.
    ///
    /// # Errors
    /// When `replicas` is 0, more than the members (but for carbon, which then gives fewer) or more than 16, or when
    /// the original of the algorithm could not have run this ring, or leaves open what it would do.
    pub fn build(
        algorithm: Algorithm,
        members: &Members,
        replicas: usize,
    ) -> Result<Self, RingError> {
        error::check(algorithm, members, replicas)?;
        let (placement, given) = Placement::build(algorithm, members, replicas)?;
        Ok(Self(Arc::new(Inner {
            algorithm,
            members: members.clone(),
            replicas: given,
            replicas_asked: replicas,
            placement,
        })))
    }

    /// The owners of a key: as many as there are [`replicas`](Self::replicas), distinct, the primary first.
    #[inline]
    #[must_use]
    pub fn owners(&self, key: &Key<'_>) -> Owners<'_> {
        self.owners_again(key, &mut None)
    }

    /// As [`owners`](Self::owners), for a key that several rings are asked for: where it fell by a hash that takes time
    /// is kept in `fell`, and used again by the rings of the same space. `fell` belongs to this key alone, and begins
    /// as `None`.
    #[inline]
    #[must_use]
    pub fn owners_again(&self, key: &Key<'_>, fell: &mut Option<(Space, u64)>) -> Owners<'_> {
        match &self.0.placement {
            Placement::Xxh3(slots) => Owners::table(slots.owners(key.xxh3())),
            Placement::Coco(coco) => Owners::table(coco.owners(key.bytes())),
            _ => self.owners_where_it_fell(key.bytes(), fell),
        }
    }

    /// Apart, so that the lookups which take but some nanoseconds are inlined.
    #[inline(never)]
    fn owners_where_it_fell(&self, key: &[u8], fell: &mut Option<(Space, u64)>) -> Owners<'_> {
        let space = self.space();
        let position = match *fell {
            Some((known, position)) if known == space => position,
            _ => space.position_of(key),
        };
        *fell = Some((space, position));
        self.0.placement.owners_at(position)
    }

    /// Where a key falls, and how it came to be there: what [`owners`](Self::owners) does, in words.
    #[must_use]
    pub fn locate(&self, key: &Key<'_>) -> Located<'_> {
        let space = self.space();
        let hash = space.hash(key.bytes());
        let position = space.position(hash);
        let spot = self.0.placement.spot(position, space);
        Located { space, hash, position, spot, owners: self.owners_at(position) }
    }

    /// What a key's hash is a position in. Rings with equal spaces can be compared without any keys.
    #[must_use]
    pub fn space(&self) -> Space {
        self.0.algorithm.space()
    }

    /// The owners of all keys whose hash has this position in the ring's [`Space`].
    #[must_use]
    pub fn owners_at(&self, position: u64) -> Owners<'_> {
        self.0.placement.owners_at(position)
    }

    /// Where in the space the owners change.
    #[must_use]
    pub fn cuts(&self) -> Cuts {
        self.0.placement.cuts(self.space())
    }

    /// Targets that own nothing anywhere on a ring with points, as primary or as replica, each with the target that
    /// owns the place of its first point. Looks through the whole table.
    ///
    /// Where there are no points there are none such: in a list or among buckets every target has its part, and no
    /// other has the place of a target whose weight is too small for a slot of `xxh3`.
    #[must_use]
    pub fn idle(&self) -> Vec<(TargetIdx, TargetIdx)> {
        let Some(owners) = self.0.placement.all_owners() else { return Vec::new() };
        let mut owns = vec![false; self.members().len()];
        owners.iter().for_each(|&owner| owns[usize::from(owner)] = true);
        TargetIdx::each(self.members())
            .filter(|&(target, _)| !owns[usize::from(target)])
            .filter_map(|(target, member)| {
                let label = placement::labels(self.algorithm(), member).into_iter().next()?;
                Some((target, *self.owners_at(self.space().position_of(&label)).first()?))
            })
            .collect()
    }

    /// 16 hexadecimal digits: equal on two routers when algorithm, replicas and all that the algorithm looks at of the
    /// members are equal. What the algorithm does not look at (addresses under `xxh3`, the order where it does not
    /// count) does not change it. `testdata/README.md` gives the format.
    #[must_use]
    pub fn digest(&self) -> String {
        digest::digest(self)
    }

    /// Reads the key's place in the table, so that a following [`owners`](Self::owners) finds it in the
    /// processor's cache. Worth it for a group of keys: the waits for memory overlap then. What it
    /// returns means nothing, but must be used, or the compiler leaves out the reading.
    #[inline]
    #[must_use]
    pub fn touch(&self, key: &Key<'_>) -> u16 {
        match &self.0.placement {
            Placement::Xxh3(slots) => slots.owners(key.xxh3()).first().map_or(0, |&idx| idx.into()),
            // To hash twice costs more than to wait.
            _ => 0,
        }
    }

    /// The primary owner of a key.
    #[inline]
    #[must_use]
    pub fn owner(&self, key: &Key<'_>) -> TargetIdx {
        // Never empty, since `build` refuses 0 replicas. Not by `owners`, whose two kinds cost a nanosecond to tell.
        match &self.0.placement {
            Placement::Xxh3(slots) => slots.owners(key.xxh3())[0],
            Placement::Coco(coco) => coco.owners(key.bytes())[0],
            _ => self.owners_where_it_fell(key.bytes(), &mut None)[0],
        }
    }

    /// The algorithm that was asked for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// How many owners each key has, 1 or more.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.0.replicas
    }

    /// How many owners were asked for: more than [`replicas`](Self::replicas) on a ring of carbon's that has not so
    /// many targets, or hosts if these must differ.
    #[must_use]
    pub fn replicas_asked(&self) -> usize {
        self.0.replicas_asked
    }

    /// The members that the ring was built from; a [`TargetIdx`] is a position in them.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.0.members
    }

    /// How many points each target has on the ring; without points, its buckets: for `xxh3` 2^19 slots divided by the
    /// number of members, rounded down, else 1.
    #[must_use]
    pub fn virtual_replicas(&self) -> usize {
        match &self.0.placement {
            Placement::Xxh3(_) => Slots::COUNT / self.members().len(),
            Placement::Coco(coco) => coco.virtual_replicas(),
            Placement::Table(_) | Placement::Circle(_) => points::POINTS_EACH as usize,
            Placement::Modulo(_) | Placement::Jump(_) => 1,
        }
    }

    /// The targets in the order of their buckets, on a ring that jumps; `None` on all others.
    #[must_use]
    pub fn jump_order(&self) -> Option<&[TargetIdx]> {
        match &self.0.placement {
            Placement::Jump(jump) => Some(jump.order()),
            _ => None,
        }
    }

    /// The name under which Coco 1.x hashes each target, one Unicode character; `None` for other algorithms.
    #[must_use]
    pub fn shadows(&self) -> Option<Vec<String>> {
        match &self.0.placement {
            Placement::Coco(coco) => Some(coco.shadows()),
            _ => None,
        }
    }
}

impl fmt::Debug for Ring {
    /// Short on purpose: the table has half a million entries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("algorithm", &self.algorithm())
            .field("members", &self.members().len())
            .field("replicas", &self.replicas())
            .finish_non_exhaustive()
    }
}
