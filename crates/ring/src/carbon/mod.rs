//! The placements of carbon, the relay of Graphite: a ring on which points move up, and a list without points.
//!
//! Invariant: bit for bit those of carbon 1.1.10. Rings depend on the order of targets, because a point whose position
//! is taken moves to the next free one, beyond the end of the space if need be; a list does not. Written from a
//! description. That no two targets have one host and instance is checked by the caller.

mod repr;

use crate::points::{POINTS_EACH, Point};
use crate::ring::{RingError, Space};
use crate::taken::Taken;
use crate::{Algorithm, CarbonHash, Member, Members, Place, TargetIdx};
use repr::repr;
use std::collections::HashMap;

/// What is hashed for each point of a target.
pub(crate) fn labels(place: &Place, hash: CarbonHash) -> Vec<Vec<u8>> {
    let node = node(place);
    let instance = place.instance.as_deref().unwrap_or("None");
    let label = |replica| match hash {
        CarbonHash::Fnv1aCh => format!("{replica}-{instance}"),
        CarbonHash::CarbonCh | CarbonHash::Mmh3Ch => format!("{node}:{replica}"),
    };
    (0..POINTS_EACH).map(|replica| label(replica).into_bytes()).collect()
}

/// A ring's points, sorted, no two at one position.
pub(crate) fn points(members: &Members, hash: CarbonHash, space: Space) -> Vec<Point> {
    let mut taken = Taken::default();
    let mut points = Vec::new();
    for (owner, member) in TargetIdx::each(members) {
        for label in labels(&member.place, hash) {
            let position = taken.free_from(space.position_of(&label));
            taken.take(position);
            points.push(Point { position, owner });
        }
    }
    points.sort_unstable_by_key(|point| point.position);
    points
}

/// The list of `fast-hashing`: each target at the position of its name, in their order.
pub(crate) fn list(
    members: &Members,
    algorithm: Algorithm,
    space: Space,
) -> Result<Vec<Point>, RingError> {
    let at = |(owner, member): (_, &Member)| Point {
        position: space.position_of(node(&member.place).as_bytes()),
        owner,
    };
    let mut list: Vec<Point> = TargetIdx::each(members).map(at).collect();
    list.sort_by_key(|point| point.position); // stable, so that the first of a tie is the earlier
    let tie = list.windows(2).find(|pair| pair[0].position == pair[1].position);
    match tie {
        None => Ok(list),
        Some(pair) => Err(RingError::SameHash {
            algorithm,
            first: members.id(pair[0].owner),
            second: members.id(pair[1].owner),
            hash: space.signed(pair[0].position),
        }),
    }
}

/// A number for each target, the same for targets on one host; hosts are equal if their texts are.
pub(crate) fn hosts(members: &Members) -> Vec<usize> {
    let mut numbers = HashMap::new();
    let hosts = members.iter().map(|member| member.place.host.as_str());
    hosts
        .map(|host| {
            let next = numbers.len();
            *numbers.entry(host).or_insert(next)
        })
        .collect()
}

/// A target as Python prints a tuple.
fn node(Place { host, instance, .. }: &Place) -> String {
    let instance = instance.as_deref().map_or_else(|| "None".to_owned(), repr);
    format!("({}, {instance})", repr(host))
}
