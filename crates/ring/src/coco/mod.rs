//! The ring of Coco 1.x, bit for bit.
//!
//! Invariant: the owner of every key is the one that Coco 1.0.1 (github.com/jessereynolds/coco, commit afa5a3e) gives
//! it, its surprises included: only the number of targets and their order count, a key that hashes exactly onto a
//! point goes to the next one, and the number of points for each target comes from a table of odd numbers. Written
//! from a description; no code of the original is used but that table. Weights, replicas and zones do not exist here.

#[cfg(test)]
mod tests;

use crate::circle::Circle;
use crate::points::{Point, Rows};
use crate::{Members, TargetIdx};
use std::collections::BTreeMap;

/// A circle of CRC-32 values; each point owns the arc before it.
pub(crate) struct CocoRing {
    circle: Circle,
    /// The names that stand for the targets on the circle, in their order.
    shadows: Box<[char]>,
    virtual_replicas: u8,
}

impl CocoRing {
    /// Where Coco 1.x's own table ends.
    const TARGETS_MAX: usize = VIRTUAL_REPLICAS.len() - 1;

    /// The caller makes sure that there are at most [`Self::TARGETS_MAX`] members.
    pub(crate) fn build(members: &Members) -> Self {
        let virtual_replicas = VIRTUAL_REPLICAS[members.len().min(Self::TARGETS_MAX)];
        let points = points(members, virtual_replicas);
        let owners = points.iter().map(|point| point.owner).collect();
        // A point that equals a key's hash is passed over: the original searches for a greater one.
        let circle = Circle::build(&points, &Rows { owners, replicas: 1 }, false);
        let shadows = TargetIdx::each(members).map(|(target, _)| shadow(target)).collect();
        Self { circle, shadows, virtual_replicas }
    }

    /// The owner of a key, as a slice of one.
    #[inline]
    pub(crate) fn owners(&self, key: &[u8]) -> &[TargetIdx] {
        self.circle.owners(crc32fast::hash(key))
    }

    /// Where keys find their owners, by their CRC-32.
    pub(crate) fn circle(&self) -> &Circle {
        &self.circle
    }

    /// Points for each target.
    pub(crate) fn virtual_replicas(&self) -> usize {
        self.virtual_replicas.into()
    }

    /// The names that stand for the targets on the circle, in their order.
    pub(crate) fn shadows(&self) -> Vec<String> {
        self.shadows.iter().map(char::to_string).collect()
    }
}

/// All points, sorted, no two at one position.
fn points(members: &Members, virtual_replicas: u8) -> Vec<Point> {
    let mut circle = BTreeMap::new();
    for (target, _) in TargetIdx::each(members) {
        for replica in 0..virtual_replicas {
            let name = format!("{replica}{}", shadow(target));
            // Where two points collide the target added later owns both.
            circle.insert(crc32fast::hash(name.as_bytes()), target);
        }
    }
    circle.into_iter().map(|(at, owner)| Point { position: at.into(), owner }).collect()
}

/// Coco 1.x hashes, in place of a target's address, the character whose code point is the target's position.
fn shadow(target: TargetIdx) -> char {
    // No position of at most 100 targets lies where Unicode has no characters.
    char::from_u32(u16::from(target).into()).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Virtual replicas for each target, by the number of targets.
///
/// From Coco 1.x (github.com/jessereynolds/coco, commit afa5a3e), Copyright (c) 2015 Bulletproof Networks, under the
/// MIT licence in `LICENSE-coco-1.x` of this crate. Whatever the numbers are good for, they decide where data is.
const VIRTUAL_REPLICAS: [u8; 101] = [
    20, 20, 90, 96, 58, 18, 19, 17, 34, 64, 93, 100, 11, 100, 100, 98, 76, 84, 4, 4, 4, 97, 4, 4,
    4, 74, 84, 83, 52, 83, 83, 91, 100, 10, 94, 95, 94, 93, 93, 99, 100, 33, 33, 33, 32, 34, 60,
    31, 52, 32, 33, 33, 44, 44, 44, 33, 33, 33, 33, 33, 17, 17, 44, 44, 58, 60, 44, 60, 44, 44, 44,
    44, 66, 65, 62, 62, 62, 54, 54, 52, 52, 52, 52, 52, 52, 51, 51, 52, 52, 52, 51, 51, 51, 51, 51,
    51, 51, 51, 51, 51, 51,
];
