//! A few lines that are routed together, so that what the tables say of each is waited for at once.

use arrayvec::ArrayVec;
use coco_ring::{Key, Space};
use coco_wire::line::Line;

/// Lines to be routed together: as many cache misses as a core can wait for at once, twice over.
pub(super) type Block<'a> = ArrayVec<Pending<'a>, 32>;

/// A line on its way to its owners.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    pub(super) line: Line<'a>,
    /// Its name, with its tags in order.
    pub(super) key: Key<'a>,
    /// Where the key fell, if a ring was asked that takes its time to hash.
    pub(super) fell: Option<(Space, u64)>,
}
