//! The ring: one immutable value that names the owners of any key.
//!
//! Invariant: a ring that exists answers every key with exactly `replicas` distinct targets of its members; all that
//! could be wrong is refused by [`Ring::build`]. The ring does not know which targets are up and never changes: a new
//! membership is a new ring.

#[cfg(test)]
mod tests;

use crate::coco::CocoRing;
use crate::slots::Slots;
use crate::{Algorithm, Key, Member, Members, TargetIdx};
use std::fmt;
use std::sync::Arc;

/// Which targets own a key. Cheap to clone: clones share one table.
#[derive(Clone)]
pub struct Ring(Arc<Inner>);

struct Inner {
    members: Members,
    replicas: usize,
    placement: Placement,
}

/// One arm per [`Algorithm`].
enum Placement {
    Xxh3(Slots),
    Coco(CocoRing),
}

impl Ring {
    /// Most owners that a key can have; at 16 the table of an `xxh3` ring takes 16 MiB.
    const REPLICAS_MAX: usize = 16;

    /// Builds the whole table: for `xxh3` 2^19 slots, about a nanosecond for each slot and member.
    ///
    /// # Errors
    /// When `replicas` is 0, more than the members or more than 16, or when Coco 1.x could not have run this ring.
    pub fn build(
        algorithm: Algorithm,
        members: &Members,
        replicas: usize,
    ) -> Result<Self, RingError> {
        match replicas {
            0 => return Err(RingError::NoReplicas),
            _ if replicas > members.len() => {
                return Err(RingError::TooFewMembers { replicas, members: members.len() });
            }
            _ if replicas > Self::REPLICAS_MAX => {
                return Err(RingError::TooManyReplicas { replicas });
            }
            _ => {}
        }
        let placement = match algorithm {
            Algorithm::Xxh3 => Placement::Xxh3(Slots::build(members, replicas)),
            Algorithm::Coco => {
                check_coco(members, replicas)?;
                Placement::Coco(CocoRing::build(members))
            }
        };
        Ok(Self(Arc::new(Inner { members: members.clone(), replicas, placement })))
    }

    /// The owners of a key: as many as there are replicas, distinct, the primary first.
    #[inline]
    #[must_use]
    pub fn owners(&self, key: &Key<'_>) -> &[TargetIdx] {
        match &self.0.placement {
            Placement::Xxh3(slots) => slots.owners(key.xxh3()),
            Placement::Coco(coco) => coco.owners(key.bytes()),
        }
    }

    /// Reads the key's place in the table, so that a following [`owners`](Self::owners) finds it in the
    /// processor's cache. Worth it for a group of keys: the waits for memory overlap then. What it
    /// returns means nothing, but must be used, or the compiler leaves out the reading.
    #[inline]
    #[must_use]
    pub fn touch(&self, key: &Key<'_>) -> u16 {
        match &self.0.placement {
            Placement::Xxh3(slots) => slots.owners(key.xxh3()).first().map_or(0, |&idx| idx.into()),
            // Its few points stay in the cache by themselves.
            Placement::Coco(_) => 0,
        }
    }

    /// The primary owner of a key.
    #[inline]
    #[must_use]
    pub fn owner(&self, key: &Key<'_>) -> TargetIdx {
        self.owners(key)[0] // never empty: `build` refuses 0 replicas
    }

    /// The algorithm that was asked for.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0.placement {
            Placement::Xxh3(_) => Algorithm::Xxh3,
            Placement::Coco(_) => Algorithm::Coco,
        }
    }

    /// How many owners each key has, 1 or more.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.0.replicas
    }

    /// The members that the ring was built from; a [`TargetIdx`] is a position in them.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.0.members
    }

    /// Coco 1.x's count of virtual replicas for each target; for `xxh3`, which has none, the slots for each target:
    /// 2^19 divided by the number of members, rounded down.
    #[must_use]
    pub fn virtual_replicas(&self) -> usize {
        match &self.0.placement {
            Placement::Xxh3(_) => Slots::COUNT / self.0.members.len(),
            Placement::Coco(coco) => coco.virtual_replicas(),
        }
    }

    /// The name under which Coco 1.x hashes each target, one Unicode character; `None` for other algorithms.
    #[must_use]
    pub fn shadows(&self) -> Option<Vec<String>> {
        match &self.0.placement {
            Placement::Xxh3(_) => None,
            Placement::Coco(coco) => Some(coco.shadows()),
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

/// Why a ring was not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No owner was asked for.
    #[error("0 replicas: every key needs at least one owner")]
    NoReplicas,
    /// More distinct owners were asked for than there are targets.
    #[error("{replicas} replicas of {members} targets: add targets or ask for at most {members}")]
    TooFewMembers {
        /// How many owners were asked for.
        replicas: usize,
        /// How many members there are.
        members: usize,
    },
    /// The table would grow beyond its bound.
    #[error("{replicas} replicas: a ring keeps at most {max}", max = Ring::REPLICAS_MAX)]
    TooManyReplicas {
        /// How many owners were asked for.
        replicas: usize,
    },
    /// Coco 1.x has no such ring to be equal to.
    #[error(
        "hash \"coco\" with {members} targets: coco 1.x itself fails with 101 or more targets; use at most {max}, or \"xxh3\"",
        max = CocoRing::TARGETS_MAX
    )]
    CocoTargets {
        /// How many members there are.
        members: usize,
    },
    /// Coco 1.x gives each key one owner a tier.
    #[error(
        "hash \"coco\" with {replicas} replicas: coco 1.x has one owner a tier; use 1, or \"xxh3\""
    )]
    CocoReplicas {
        /// How many owners were asked for.
        replicas: usize,
    },
    /// Coco 1.x knows no weights.
    #[error(
        "hash \"coco\" with weight {weight} of target {id:?}: coco 1.x has no weights; use 1, or \"xxh3\""
    )]
    CocoWeight {
        /// The first target whose weight is not 1.
        id: String,
        /// Its weight.
        weight: u64,
    },
}

fn check_coco(members: &Members, replicas: usize) -> Result<(), RingError> {
    if members.len() > CocoRing::TARGETS_MAX {
        return Err(RingError::CocoTargets { members: members.len() });
    }
    if replicas > 1 {
        return Err(RingError::CocoReplicas { replicas });
    }
    match members.iter().find(|member| member.weight.get() != 1) {
        Some(Member { id, weight, .. }) => {
            Err(RingError::CocoWeight { id: id.clone(), weight: weight.get() })
        }
        None => Ok(()),
    }
}
