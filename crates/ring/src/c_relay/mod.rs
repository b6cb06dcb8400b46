//! The placements of carbon-c-relay: two rings on which collided points share an owner, and a jump.
//!
//! Invariant: bit for bit those of carbon-c-relay 3.9. The order of targets does not count on its rings, but for
//! targets that its sorting cannot tell apart ([`rank`]). Written from a description. `any_of`, a modulo in the order
//! listed, needs nothing of this.

mod order;

pub(crate) use order::order;

use crate::points::{POINTS_EACH, Point};
use crate::ring::Space;
use crate::{Members, Place, TargetIdx};

/// It prints a label into 256 bytes, the last of which is NUL.
const LABEL_BYTES_MAX: usize = 255;

/// What is hashed for each point of a target of a `carbon_ch` ring: Python's tuple, but without its escapes.
pub(crate) fn carbon_labels(place: &Place) -> Vec<Vec<u8>> {
    let node = match &place.instance {
        Some(instance) => format!("('{}', '{instance}')", place.host),
        None => format!("('{}', None)", place.host),
    };
    labels(|replica| format!("{node}:{replica}"))
}

/// What is hashed for each point of a target of an `fnv1a_ch` ring: the instance, or else host and port.
pub(crate) fn fnv1a_labels(place: &Place) -> Vec<Vec<u8>> {
    let name = match &place.instance {
        Some(instance) => instance.clone(),
        None => format!("{}:{}", place.host, place.port),
    };
    labels(|replica| format!("{replica}-{name}"))
}

fn labels(label: impl Fn(u32) -> String) -> Vec<Vec<u8>> {
    let cut = |label: String| {
        let mut label = label.into_bytes();
        label.truncate(LABEL_BYTES_MAX);
        label
    };
    (0..POINTS_EACH).map(|replica| cut(label(replica))).collect()
}

/// What tells targets apart whose points have one position.
#[derive(Clone, Copy)]
pub(crate) enum Tie {
    /// `carbon_ch`: by host, then by instance, those without one last.
    Instance,
    /// `fnv1a_ch`: by host, then by port.
    Port,
}

impl Tie {
    /// Sorts as the original does.
    fn key(self, place: &Place) -> (&[u8], bool, &[u8], u16) {
        let Place { host, port, instance, .. } = place;
        let instance = instance.as_deref();
        match self {
            Self::Instance => {
                (host.as_bytes(), instance.is_none(), instance.unwrap_or_default().as_bytes(), 0)
            }
            Self::Port => (host.as_bytes(), false, &[], *port),
        }
    }
}

/// A ring's points, sorted; those at one position all belong to the first of them.
pub(crate) fn points(
    members: &Members,
    labels: impl Fn(&Place) -> Vec<Vec<u8>>,
    tie: Tie,
    space: Space,
) -> Vec<Point> {
    let mut by_place: Vec<_> = TargetIdx::each(members).collect();
    by_place.sort_by(|(_, a), (_, b)| tie.key(&a.place).cmp(&tie.key(&b.place))); // stable
    let mut points = Vec::new();
    for (owner, member) in by_place {
        let positions = labels(&member.place).into_iter().map(|label| space.position_of(&label));
        points.extend(positions.map(|position| Point { position, owner }));
    }
    points.sort_by_key(|point| point.position); // stable
    for at in 1..points.len() {
        if points[at].position == points[at - 1].position {
            points[at].owner = points[at - 1].owner;
        }
    }
    points
}

/// How many targets listed before this one are its equals to the sorting, so that order decides between them.
pub(crate) fn rank(members: &Members, target: TargetIdx, tie: Tie) -> usize {
    let own = members.get(target).map(|member| tie.key(&member.place));
    let before = members.iter().take(target.into());
    before.filter(|member| Some(tie.key(&member.place)) == own).count()
}
