//! A ring's inside: how positions lead to owners, one arm for each way.
//!
//! Invariant: any `u64` leads to owners. Each algorithm is put together here from what is hashed for its points, how
//! these come to lie, and how owners follow; the parts stand in the modules of the originals.

use super::{Cuts, Owners, RingError, Space, Spot};
use crate::buckets::{Jump, Modulo};
use crate::circle::Circle;
use crate::coco::CocoRing;
use crate::points::{Point, Rows};
use crate::slots::Slots;
use crate::table::Table;
use crate::{Algorithm, Member, Members, TargetIdx, c_relay, carbon, nanotube, relay_ng};
use std::collections::HashSet;

pub(super) enum Placement {
    Xxh3(Slots),
    Coco(CocoRing),
    Table(Table),
    Circle(Circle),
    Modulo(Modulo),
    Jump(Jump),
}

impl Placement {
    /// For arguments that have been checked; also how many owners each key has.
    pub(super) fn build(
        algorithm: Algorithm,
        members: &Members,
        replicas: usize,
    ) -> Result<(Self, usize), RingError> {
        let placement = match algorithm {
            Algorithm::Xxh3 => Self::Xxh3(Slots::build(members, replicas)),
            Algorithm::Coco => Self::Coco(CocoRing::build(members)),
            Algorithm::CRelayJump(_) => Self::Jump(Jump::build(c_relay::order(members), replicas)),
            Algorithm::NanotubeJump => Self::Jump(Jump::build(nanotube::order(members)?, replicas)),
            Algorithm::CRelayAnyOf(_) => {
                let owners = TargetIdx::each(members).map(|(target, _)| target).collect();
                Self::Modulo(Modulo::build(Rows { owners, replicas }, 0))
            }
            Algorithm::Carbon { .. }
            | Algorithm::CarbonFast { .. }
            | Algorithm::CRelayCarbonCh
            | Algorithm::CRelayFnv1aCh(_)
            | Algorithm::RelayNgV1
            | Algorithm::RelayNgV2 => return Self::of_points(algorithm, members, replicas),
        };
        Ok((placement, replicas))
    }

    fn of_points(
        algorithm: Algorithm,
        members: &Members,
        replicas: usize,
    ) -> Result<(Self, usize), RingError> {
        let space = algorithm.space();
        let points = points(algorithm, members)?;
        let groups = groups(algorithm, members);
        let replicas = replicas_given(algorithm, members, &points, &groups, replicas)?;
        let rows = Rows::build(&points, &groups, replicas);
        let placement = match algorithm {
            Algorithm::CarbonFast { .. } => Self::Modulo(Modulo::build(rows, space.offset())),
            _ if space == Space::Murmur3 => Self::Circle(Circle::build(&points, &rows, true)),
            _ => Self::Table(Table::build(&points, &rows)),
        };
        Ok((placement, replicas))
    }

    #[inline]
    pub(super) fn owners_at(&self, position: u64) -> Owners<'_> {
        Owners::table(match self {
            Self::Xxh3(slots) => slots.owners(position << (u64::BITS - Space::Xxh3Slots.bits())),
            Self::Coco(coco) => coco.circle().owners(in_32_bits(position)),
            Self::Table(table) => table.owners(position),
            Self::Circle(circle) => circle.owners(in_32_bits(position)),
            Self::Modulo(modulo) => modulo.owners(position),
            Self::Jump(jump) => return jump.owners(position),
        })
    }

    pub(super) fn spot(&self, position: u64, space: Space) -> Spot {
        match self {
            Self::Xxh3(_) => Spot::Slot { slot: position, of: 1 << space.bits() },
            Self::Coco(coco) => {
                Spot::Point(space.signed(coco.circle().point(in_32_bits(position))))
            }
            Self::Table(table) => Spot::Point(space.signed(table.point(position))),
            Self::Circle(circle) => Spot::Point(space.signed(circle.point(in_32_bits(position)))),
            Self::Modulo(modulo) => {
                Spot::Bucket { bucket: modulo.bucket(position), of: modulo.buckets() }
            }
            Self::Jump(jump) => {
                Spot::Bucket { bucket: jump.bucket(position).into(), of: jump.buckets().into() }
            }
        }
    }

    pub(super) fn cuts(&self, space: Space) -> Cuts {
        match self {
            Self::Xxh3(_) | Self::Table(_) => Cuts::Each,
            Self::Coco(coco) => Cuts::Arcs(coco.circle().arcs()),
            Self::Circle(circle) => Cuts::Arcs(circle.arcs()),
            Self::Modulo(_) if space.bits() == 16 => Cuts::Each,
            Self::Modulo(modulo) => Cuts::Modulo(modulo.buckets()),
            Self::Jump(_) => Cuts::Jump,
        }
    }

    /// Everyone who owns anything on a ring with points, over and over; `None` where every target owns something, or
    /// nobody else has its place.
    pub(super) fn all_owners(&self) -> Option<&[TargetIdx]> {
        match self {
            Self::Table(table) => Some(table.all_owners()),
            Self::Circle(circle) => Some(circle.all_owners()),
            Self::Xxh3(_) | Self::Coco(_) | Self::Modulo(_) | Self::Jump(_) => None,
        }
    }
}

/// A position of a space of 32 bits; one that is too large counts as the last.
fn in_32_bits(position: u64) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// What is hashed for each point of a target; nothing for an algorithm without points.
pub(super) fn labels(algorithm: Algorithm, member: &Member) -> Vec<Vec<u8>> {
    let place = &member.place;
    match algorithm {
        Algorithm::Carbon { hash, .. } => carbon::labels(place, hash),
        Algorithm::CRelayCarbonCh => c_relay::carbon_labels(place),
        Algorithm::CRelayFnv1aCh(_) => c_relay::fnv1a_labels(place),
        Algorithm::RelayNgV1 | Algorithm::RelayNgV2 => relay_ng::labels(place),
        _ => Vec::new(),
    }
}

/// The points of a ring as its original sorts them; none for an algorithm without.
pub(crate) fn points(algorithm: Algorithm, members: &Members) -> Result<Vec<Point>, RingError> {
    let space = algorithm.space();
    Ok(match algorithm {
        Algorithm::Carbon { hash, .. } => carbon::points(members, hash, space),
        Algorithm::CarbonFast { .. } => carbon::list(members, algorithm, space)?,
        Algorithm::CRelayCarbonCh => {
            c_relay::points(members, c_relay::carbon_labels, c_relay::Tie::Instance, space)
        }
        Algorithm::CRelayFnv1aCh(_) => {
            c_relay::points(members, c_relay::fnv1a_labels, c_relay::Tie::Port, space)
        }
        Algorithm::RelayNgV1 => relay_ng::points_v1(members, space),
        Algorithm::RelayNgV2 => relay_ng::points_v2(members, space)?,
        _ => Vec::new(),
    })
}

/// A number for each target; a key has at most one owner of each number.
fn groups(algorithm: Algorithm, members: &Members) -> Vec<usize> {
    match algorithm {
        Algorithm::Carbon { diverse: true, .. } | Algorithm::CarbonFast { diverse: true, .. } => {
            carbon::hosts(members)
        }
        _ => (0..members.len()).collect(),
    }
}

/// How many owners each key gets: carbon gives what there is, carbon-c-relay hangs.
fn replicas_given(
    algorithm: Algorithm,
    members: &Members,
    points: &[Point],
    groups: &[usize],
    replicas: usize,
) -> Result<usize, RingError> {
    let owners: HashSet<_> = points.iter().map(|point| point.owner).collect();
    let there: HashSet<_> = owners.iter().map(|&owner| groups[usize::from(owner)]).collect();
    let idle = TargetIdx::each(members).find(|(target, _)| !owners.contains(target));
    match (algorithm, idle) {
        (Algorithm::CRelayCarbonCh | Algorithm::CRelayFnv1aCh(_), Some((_, Member { id, .. })))
            if replicas > there.len() =>
        {
            let id = id.clone();
            Err(RingError::TooFewOwners { algorithm, replicas, owners: there.len(), id })
        }
        _ => Ok(replicas.min(there.len())),
    }
}
