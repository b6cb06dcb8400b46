//! Why a ring is refused.
//!
//! Invariant: an algorithm that copies another relay refuses what that relay cannot run or leaves undefined, instead of
//! making something up; each message says what was seen, what the other relay does, and the way out.

use super::Ring;
use crate::{Algorithm, Member, Members, Place};
use std::collections::HashMap;

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
    /// The original has no ring of so many targets to be equal to.
    #[error(
        "hash \"{algorithm}\" with {members} targets: {original} itself fails with {more} or more targets; use at most {max}, or \"xxh3\"",
        original = algorithm.original(),
        more = max + 1
    )]
    TooManyTargets {
        /// What was asked for.
        algorithm: Algorithm,
        /// How many members there are.
        members: usize,
        /// Most that the original takes.
        max: usize,
    },
    /// The original gives each key one owner.
    #[error(
        "hash \"{algorithm}\" with {replicas} replicas: {original} gives each key one owner; use 1, or \"xxh3\"",
        original = algorithm.original()
    )]
    OneReplica {
        /// What was asked for.
        algorithm: Algorithm,
        /// How many owners were asked for.
        replicas: usize,
    },
    /// The original knows no weights.
    #[error(
        "hash \"{algorithm}\" with weight {weight} of target {id:?}: {original} has no weights; use 1, or \"xxh3\"",
        original = algorithm.original()
    )]
    Weight {
        /// What was asked for.
        algorithm: Algorithm,
        /// The first target whose weight is not 1.
        id: String,
        /// Its weight.
        weight: u64,
    },
    /// The original hashes hosts.
    #[error(
        "hash \"{algorithm}\" with target {id:?} without a host: {original} hashes hosts, not ids; give it the host that {original} has for it",
        original = algorithm.original()
    )]
    NoHost {
        /// What was asked for.
        algorithm: Algorithm,
        /// The first target without.
        id: String,
    },
    /// The original cuts hosts at their first colon.
    #[error(
        "hash \"{algorithm}\" with target {id:?} at host {host:?}: {original} takes the text before the first colon for the host, so that IPv6 addresses do not work there; give the target a host without colons, or use \"xxh3\"",
        original = algorithm.original()
    )]
    HostWithColon {
        /// What was asked for.
        algorithm: Algorithm,
        /// The first such target.
        id: String,
        /// Its host.
        host: String,
    },
    /// The original does not start with two such targets, or leaves open which of them gets the keys.
    #[error(
        "hash \"{algorithm}\" with target {second:?} at host {host:?} {with}, where target {first:?} is: {original} {does}; give each its own instance",
        with = if instance.is_empty() { "without instance".to_owned() } else { format!("with instance {instance:?}") },
        original = algorithm.original(),
        does = match algorithm {
            Algorithm::RelayNgV1 => "leaves open which of them gets the keys",
            _ => "refuses to start with both",
        }
    )]
    SamePlace {
        /// What was asked for.
        algorithm: Algorithm,
        /// The target listed earlier.
        first: String,
        /// The target listed later.
        second: String,
        /// The host of both.
        host: String,
        /// The instance of both; empty if they have none.
        instance: String,
    },
    /// Two targets of a list have one hash, and the original leaves open which comes first.
    #[error(
        "hash \"{algorithm}\" with targets {first:?} and {second:?}, both of which hash to {hash}: carbon leaves open which of them comes first; change the host or instance of one, or use \"xxh3\""
    )]
    SameHash {
        /// What was asked for.
        algorithm: Algorithm,
        /// The target listed earlier.
        first: String,
        /// The target listed later.
        second: String,
        /// What both hash to.
        hash: i64,
    },
    /// Fewer targets than replicas own any point.
    #[error(
        "hash \"{algorithm}\" with {replicas} replicas where only {owners} of the targets own points: carbon-c-relay then hangs on its first line; target {id:?} has all its points in common with others, so give it its own instance, or ask for at most {owners}"
    )]
    TooFewOwners {
        /// What was asked for.
        algorithm: Algorithm,
        /// How many owners were asked for.
        replicas: usize,
        /// How many targets own points.
        owners: usize,
        /// The first target that owns none.
        id: String,
    },
    /// There is no position left for a point of a target.
    #[error(
        "hash \"relay-ng/v2\" with target {id:?}: the targets before it take all 65536 positions, and carbon-relay-ng hangs looking for one; use fewer targets, or \"xxh3\""
    )]
    NoFreePoints {
        /// The first target that finds none.
        id: String,
    },
    /// nanotube numbers its targets.
    #[error(
        "hash \"nanotube/jump\" with target {id:?} without an index: nanotube orders targets by index; number them 0 to {last}"
    )]
    NoIndex {
        /// The first target without.
        id: String,
        /// The index of the last target.
        last: usize,
    },
    /// Two targets have one index.
    #[error(
        "hash \"nanotube/jump\" with index {index} of target {second:?}, which is that of target {first:?}: nanotube orders targets by index; give each its own"
    )]
    SameIndex {
        /// The target listed earlier.
        first: String,
        /// The target listed later.
        second: String,
        /// The index of both.
        index: u16,
    },
    /// An index is too large, so another must be missing.
    #[error(
        "hash \"nanotube/jump\" with index {index} of target {id:?}: nanotube has a bucket for each index, and none may be missing; number the targets 0 to {last}"
    )]
    IndexBeyond {
        /// The first such target.
        id: String,
        /// Its index.
        index: u16,
        /// The index of the last target.
        last: usize,
    },
}

impl RingError {
    /// The id of the target at fault, if it is one; of two that clash, the one listed later.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::NoReplicas
            | Self::TooFewMembers { .. }
            | Self::TooManyReplicas { .. }
            | Self::TooManyTargets { .. }
            | Self::OneReplica { .. } => None,
            Self::Weight { id, .. }
            | Self::NoHost { id, .. }
            | Self::HostWithColon { id, .. }
            | Self::TooFewOwners { id, .. }
            | Self::NoFreePoints { id }
            | Self::NoIndex { id, .. }
            | Self::IndexBeyond { id, .. }
            | Self::SamePlace { second: id, .. }
            | Self::SameHash { second: id, .. }
            | Self::SameIndex { second: id, .. } => Some(id),
        }
    }
}

/// What can be told without hashing anything.
pub(super) fn check(
    algorithm: Algorithm,
    members: &Members,
    replicas: usize,
) -> Result<(), RingError> {
    let traits = algorithm.traits();
    let fewer_will_do =
        matches!(algorithm, Algorithm::Carbon { .. } | Algorithm::CarbonFast { .. });
    match replicas {
        0 => Err(RingError::NoReplicas),
        _ if replicas > members.len() && !fewer_will_do => {
            Err(RingError::TooFewMembers { replicas, members: members.len() })
        }
        _ if replicas > Ring::REPLICAS_MAX => Err(RingError::TooManyReplicas { replicas }),
        _ if members.len() > traits.targets_max => Err(RingError::TooManyTargets {
            algorithm,
            members: members.len(),
            max: traits.targets_max,
        }),
        2.. if !traits.replicas => Err(RingError::OneReplica { algorithm, replicas }),
        _ => members.iter().try_for_each(|member| check_member(algorithm, member)),
    }?;
    check_places(algorithm, members)
}

/// What the original cannot take of one target.
fn check_member(algorithm: Algorithm, member: &Member) -> Result<(), RingError> {
    let (traits, id) = (algorithm.traits(), || member.id.clone());
    let (weight, host) = (member.weight.get(), &member.place.host);
    if weight != 1 && !traits.weights {
        return Err(RingError::Weight { algorithm, id: id(), weight });
    }
    if host.is_empty() && traits.host {
        return Err(RingError::NoHost { algorithm, id: id() });
    }
    if host.contains(':') && matches!(algorithm, Algorithm::RelayNgV1 | Algorithm::RelayNgV2) {
        return Err(RingError::HostWithColon { algorithm, id: id(), host: host.clone() });
    }
    Ok(())
}

/// No two targets may have one host and instance where the original cannot tell them apart and says so, or does not.
fn check_places(algorithm: Algorithm, members: &Members) -> Result<(), RingError> {
    // To carbon-relay-ng an empty instance is none.
    let none_is_empty = match algorithm {
        Algorithm::Carbon { .. } | Algorithm::CarbonFast { .. } => false,
        Algorithm::RelayNgV1 => true,
        _ => return Ok(()),
    };
    let mut seen = HashMap::new();
    for member in members {
        let Place { host, instance, .. } = &member.place;
        let instance = instance.as_deref().or(none_is_empty.then_some(""));
        if let Some(first) = seen.insert((host, instance), member) {
            return Err(RingError::SamePlace {
                algorithm,
                first: first.id.clone(),
                second: member.id.clone(),
                host: host.clone(),
                instance: instance.unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(())
}
