//! What the tests of several modules share: members by the dozen, and the notation of the recorded answers.

use crate::points::Point;
use crate::slots::owners_of_slots;
use crate::{Member, Members, Place, Space, TargetIdx, Weight};
use sha2::{Digest, Sha256};

/// A member with these traits.
pub(crate) fn member(id: &str, weight: u64, zone: Option<&str>) -> Member {
    Member {
        id: id.to_owned(),
        weight: Weight::try_new(weight).unwrap(),
        zone: zone.map(str::to_owned),
        place: Place::default(),
    }
}

/// Members of weight 1 without zones.
pub(crate) fn plain_members(count: usize) -> Members {
    let ids = (0..count).map(|i| format!("store-{i}"));
    Members::try_new(ids.map(|id| member(&id, 1, None)).collect()).unwrap()
}

/// The lines of a recorded file; an empty line is the empty key.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.strip_suffix('\n').unwrap_or(text).split('\n')
}

/// The bytes of a text in which `\xNN` stands for one byte.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// Positions as the recorded answers write them.
pub(crate) fn joined(owners: &[TargetIdx]) -> String {
    let positions: Vec<String> =
        owners.iter().map(|&owner| usize::from(owner).to_string()).collect();
    positions.join(".")
}

/// The digest of a ring in the recorded files: `position:owner` and LF for each point.
pub(crate) fn ring_sha256(points: &[Point], space: Space) -> String {
    let line =
        |point: &Point| format!("{}:{}\n", space.signed(point.position), usize::from(point.owner));
    let text: String = points.iter().map(line).collect();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A target of weight 1 that is its place.
pub(crate) fn placed(id: &str, place: Place) -> Member {
    Member { place, ..member(id, 1, None) }
}

/// Targets, each with its own host, port and index.
pub(crate) fn placed_members(count: u16) -> Members {
    let place = |i: u16| Place {
        host: format!("10.0.{}.{}", i / 250, i % 250),
        port: 2003,
        instance: None,
        index: Some(i),
    };
    Members::try_new((0..count).map(|i| placed(&format!("store-{i}"), place(i))).collect()).unwrap()
}

/// For each of the first slots, the ids of its owners, primary first.
pub(crate) fn owner_ids(members: &Members, replicas: usize, slots: usize) -> Vec<Vec<&str>> {
    let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    owners_of_slots(members, replicas, 0..slots)
        .chunks_exact(replicas)
        .map(|owners| owners.iter().map(|&owner| ids[usize::from(owner)]).collect())
        .collect()
}

/// The same members in the same order, but one.
pub(crate) fn without(members: &Members, id: &str) -> Members {
    Members::try_new(members.iter().filter(|m| m.id != id).cloned().collect()).unwrap()
}

/// Checks that `id` came in and moved nothing else; in how many slots it came in.
pub(crate) fn check_joined(before: &[Vec<&str>], after: &[Vec<&str>], id: &str) -> usize {
    let mut came = 0;
    for (slot, (before, after)) in before.iter().zip(after).enumerate() {
        let kept: Vec<_> = after.iter().copied().filter(|&owner| owner != id).collect();
        assert!(before.starts_with(&kept), "slot {slot}: {before:?} became {after:?} with {id}");
        came += usize::from(kept.len() < after.len());
    }
    came
}
