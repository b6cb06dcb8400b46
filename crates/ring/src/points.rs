//! The points of a ring, and who owns a key that comes to one.
//!
//! Invariant: points are sorted as their original sorts them, so "the first point at or after a position, else the
//! first of all" is a binary search. Positions are those of the ring's [`Space`](crate::Space), and may lie beyond its
//! end where the original moves points up. How points come to be is said by `carbon`, `c_relay` and `relay_ng`.

use crate::TargetIdx;

/// Points that each target has on the rings of carbon and of those that took after it.
pub(crate) const POINTS_EACH: u32 = 100;

/// A place on a ring, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) position: u64,
    pub(crate) owner: TargetIdx,
}

/// What all placements by points share once they are sorted.
pub(crate) struct Rows {
    /// `replicas` owners for each point.
    pub(crate) owners: Vec<TargetIdx>,
    pub(crate) replicas: usize,
}

impl Rows {
    /// For each point the first `replicas` owners met from it on, around the ring, no two of one group.
    ///
    /// `groups` has a number for each target. There must be as many groups among the owners as replicas. One step
    /// takes the row of the next point, puts the owner in front and drops who was of its group, so that a ring on
    /// which others are far away costs no more than any.
    pub(crate) fn build(points: &[Point], groups: &[usize], replicas: usize) -> Self {
        let group = |owner: TargetIdx| groups[usize::from(owner)];
        let mut owners: Vec<_> =
            points.iter().flat_map(|point| std::iter::repeat_n(point.owner, replicas)).collect();
        let mut row = Vec::with_capacity(replicas + 1);
        // Twice around: only then does the last point know what follows it.
        for at in (0..points.len()).rev().chain((0..points.len()).rev()) {
            let owner = points[at].owner;
            row.retain(|&later| group(later) != group(owner));
            row.insert(0, owner);
            row.truncate(replicas);
            owners[at * replicas..][..row.len()].copy_from_slice(&row);
        }
        Self { owners, replicas }
    }

    /// The owners of the n-th point.
    pub(crate) fn of(&self, point: usize) -> &[TargetIdx] {
        &self.owners[point * self.replicas..][..self.replicas]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plain_members;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The definition: from a point on, around the ring, everyone of a group not met yet.
    fn naive_row(owners: &[usize], groups: &[usize], replicas: usize, from: usize) -> Vec<usize> {
        let mut met = Vec::new();
        let mut row = Vec::new();
        for &owner in owners[from..].iter().chain(&owners[..from]) {
            if row.len() < replicas && !met.contains(&groups[owner]) {
                met.push(groups[owner]);
                row.push(owner);
            }
        }
        row
    }

    proptest! {
        #[test]
        fn rows_equal_their_definition(
            owners in vec(0..8_usize, 1..60),
            groups in vec(0..4_usize, 8),
            replicas in 1..=4_usize,
        ) {
            let targets: Vec<_> = TargetIdx::each(&plain_members(8)).map(|(t, _)| t).collect();
            let mut there: Vec<_> = owners.iter().map(|&owner| groups[owner]).collect();
            there.sort_unstable();
            there.dedup();
            let replicas = replicas.min(there.len());
            let points: Vec<_> = owners
                .iter()
                .map(|&owner| Point { position: 0, owner: targets[owner] })
                .collect();
            let rows = Rows::build(&points, &groups, replicas);
            for at in 0..owners.len() {
                let row: Vec<_> = rows.of(at).iter().map(|&owner| usize::from(owner)).collect();
                prop_assert_eq!(row, naive_row(&owners, &groups, replicas, at));
            }
        }
    }
}
