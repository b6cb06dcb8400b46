//! A ring of 16 bits as a table: the owners of each of its 65,536 positions.
//!
//! Invariant: a position belongs to the first point at or after it, or to the first of all. A lookup is one read that
//! cannot fail. What the points mean and how keys are hashed is not known here.

use crate::TargetIdx;
use crate::points::{Point, Rows};

/// The owners of each position, position after position.
pub(crate) struct Table {
    owners: Box<[TargetIdx]>,
    replicas: usize,
    /// Ascending, in the end perhaps some beyond the last position: only for [`Self::point`].
    points: Box<[u32]>,
}

impl Table {
    const POSITIONS: u64 = 1 << 16;

    /// The points are sorted by position; of several at one position the first counts.
    pub(crate) fn build(points: &[Point], rows: &Rows) -> Self {
        let mut owners = Vec::with_capacity(rows.replicas << 16);
        let mut next = 0;
        for position in 0..Self::POSITIONS {
            while points.get(next).is_some_and(|point| point.position < position) {
                next += 1;
            }
            owners.extend_from_slice(rows.of(if next < points.len() { next } else { 0 }));
        }
        let points = points.iter().map(|point| u32::try_from(point.position).unwrap_or(u32::MAX));
        Self { owners: owners.into(), replicas: rows.replicas, points: points.collect() }
    }

    /// The owners of a position, of which only the lower 16 bits are looked at.
    #[inline]
    pub(crate) fn owners(&self, position: u64) -> &[TargetIdx] {
        let start = (position % Self::POSITIONS) as usize * self.replicas;
        &self.owners[start..start + self.replicas]
    }

    /// The point that a position belongs to.
    pub(crate) fn point(&self, position: u64) -> u64 {
        let next = self.points.partition_point(|&point| u64::from(point) < position);
        self.points.get(next).or(self.points.first()).map_or(0, |&point| point.into())
    }

    /// The owners of all positions, one after the other.
    pub(crate) fn all_owners(&self) -> &[TargetIdx] {
        &self.owners
    }
}
