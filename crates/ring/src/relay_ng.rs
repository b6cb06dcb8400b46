//! The two rings of carbon-relay-ng: collided points stay (`v1`), or move past those of earlier targets (`v2`).
//!
//! Invariant: bit for bit those of carbon-relay-ng 1.1 and, `v2`, 1.5.17. An empty instance is none. Written from a
//! description. That no two targets of a `v1` ring have one host and instance is checked by the caller.

use crate::points::{POINTS_EACH, Point};
use crate::ring::{RingError, Space};
use crate::taken::Taken;
use crate::{Members, Place, TargetIdx};

/// What is hashed for each point of a target: Python's tuple, but without its escapes.
pub(crate) fn labels(place: &Place) -> Vec<Vec<u8>> {
    let node = match instance(place) {
        "" => format!("('{}', None)", place.host),
        instance => format!("('{}', '{instance}')", place.host),
    };
    (0..POINTS_EACH).map(|replica| format!("{node}:{replica}").into_bytes()).collect()
}

/// The instance; empty for none, which sorts first.
pub(crate) fn instance(place: &Place) -> &str {
    place.instance.as_deref().unwrap_or_default()
}

/// The points of a `v1` ring, sorted by position, then host, then instance.
pub(crate) fn points_v1(members: &Members, space: Space) -> Vec<Point> {
    let mut by_place: Vec<_> = TargetIdx::each(members).collect();
    by_place.sort_by_key(|(_, member)| (&*member.place.host, instance(&member.place)));
    let mut points = Vec::new();
    for (owner, member) in by_place {
        let positions = labels(&member.place).into_iter().map(|label| space.position_of(&label));
        points.extend(positions.map(|position| Point { position, owner }));
    }
    points.sort_by_key(|point| point.position); // stable
    points
}

/// The points of a `v2` ring, sorted; those at one position are of one target.
pub(crate) fn points_v2(members: &Members, space: Space) -> Result<Vec<Point>, RingError> {
    let end = 1 << space.bits();
    let mut taken = Taken::default();
    let mut points = Vec::new();
    for (owner, member) in TargetIdx::each(members) {
        let first = points.len();
        for label in labels(&member.place) {
            let free = free_from(&mut taken, space.position_of(&label), end);
            let Some(position) = free else {
                return Err(RingError::NoFreePoints { id: member.id.clone() });
            };
            points.push(Point { position, owner });
        }
        // Only now: among a target's own points collisions stay.
        points[first..].iter().for_each(|point| taken.take(point.position));
    }
    points.sort_by_key(|point| point.position);
    Ok(points)
}

/// The first free position from this one on, going on at 0 after the last.
fn free_from(taken: &mut Taken, position: u64, end: u64) -> Option<u64> {
    let free = taken.free_from(position);
    let free = if free < end { free } else { taken.free_from(0) };
    (free < end).then_some(free)
}
