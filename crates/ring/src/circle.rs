//! A ring of 32 bits: arcs, each with its owners.
//!
//! Invariant: every position lies on exactly one arc. An arc ends before a position, its end; whether that is the
//! point itself or the position after it is the one thing in which the rings of Coco 1.x and carbon differ here.

use crate::TargetIdx;
use crate::points::{Point, Rows};

/// Arcs around the space, each owned from one end to the next.
pub(crate) struct Circle {
    /// Where arcs end, exclusive, ascending; the last arc goes on to the end of the space and has none.
    ends: Box<[u32]>,
    /// `replicas` owners for each arc.
    owners: Box<[TargetIdx]>,
    replicas: usize,
    /// For each value of a position's top bits, how many arcs end below the first position that has them.
    below: Box<[u32]>,
    /// 32 less these bits.
    shift: u32,
    /// 1 where a point owns its own position, 0 where that belongs to the next point.
    reach: u32,
    /// The point of the last arc: one beyond the space, or the first of all.
    last: u64,
}

impl Circle {
    /// So many steps at least that a small ring is found with one look.
    const INDEX_BITS_MIN: u32 = 12;

    /// The points are sorted by position, each of which occurs once; `own` says whether a point owns its own position.
    pub(crate) fn build(points: &[Point], rows: &Rows, own: bool) -> Self {
        let reach = u32::from(own);
        let ends: Box<[u32]> = points
            .iter()
            .map_while(|point| u32::try_from(point.position + u64::from(reach)).ok())
            .collect();
        let last = if ends.len() < points.len() { ends.len() } else { 0 };
        let arcs = (0..ends.len()).chain([last]);
        let bits = points.len().max(1).ilog2().max(Self::INDEX_BITS_MIN);
        Self {
            owners: arcs.flat_map(|point| rows.of(point)).copied().collect(),
            replicas: rows.replicas,
            below: index(&ends, bits),
            ends,
            shift: u32::BITS - bits,
            reach,
            last: points[last].position,
        }
    }

    #[inline]
    fn arc(&self, position: u32) -> usize {
        let below = self.below[(position >> self.shift) as usize] as usize;
        below + self.ends[below..].iter().take_while(|&&end| end <= position).count()
    }

    /// The owners of a position.
    #[inline]
    pub(crate) fn owners(&self, position: u32) -> &[TargetIdx] {
        let start = self.arc(position) * self.replicas;
        &self.owners[start..start + self.replicas]
    }

    /// The point that a position belongs to.
    pub(crate) fn point(&self, position: u32) -> u64 {
        let end = self.ends.get(self.arc(position));
        end.map_or(self.last, |&end| u64::from(end - self.reach))
    }

    /// Where arcs begin, ascending, the first one 0.
    pub(crate) fn arcs(&self) -> Vec<u64> {
        let mut starts: Vec<u64> =
            std::iter::once(0).chain(self.ends.iter().map(|&end| end.into())).collect();
        starts.dedup();
        starts
    }

    /// The owners of all arcs, one after the other.
    pub(crate) fn all_owners(&self) -> &[TargetIdx] {
        &self.owners
    }
}

/// For each value of a position's top `bits`, how many arcs end below the first position that has them.
fn index(ends: &[u32], bits: u32) -> Box<[u32]> {
    (0..1_u32 << bits)
        .map(|top| ends.partition_point(|&end| end < top << (u32::BITS - bits)))
        .map(|below| u32::try_from(below).unwrap_or(u32::MAX)) // at most 409,600
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plain_members;
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    /// Anywhere, and close to both ends of the space, beyond its end too.
    fn any_position() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u32>().prop_map(u64::from), 0..9_u64, (1 << 32) - 9..(1 << 32) + 9_u64]
    }

    proptest! {
        #[test]
        fn a_circle_equals_a_scan_of_its_points(
            positions in btree_set(any_position(), 1..60),
            asked in btree_set(any_position(), 1..60),
            own in any::<bool>(),
        ) {
            let members = plain_members(positions.len());
            let owners = TargetIdx::each(&members).map(|(target, _)| target);
            let points: Vec<_> = positions
                .into_iter()
                .zip(owners)
                .map(|(position, owner)| Point { position, owner })
                .collect();
            let owners = points.iter().map(|point| point.owner).collect();
            let circle = Circle::build(&points, &Rows { owners, replicas: 1 }, own);
            let near = points.iter().flat_map(|p| [p.position.wrapping_sub(1), p.position, p.position + 1]);
            for position in asked.into_iter().chain(near) {
                let Ok(asked) = u32::try_from(position) else { continue };
                let next = points.iter().find(|point| {
                    point.position > position || own && point.position == position
                });
                let next = next.unwrap_or(&points[0]);
                prop_assert_eq!(circle.owners(asked), [next.owner]);
                prop_assert_eq!(circle.point(asked), next.position);
            }
        }
    }
}
