//! The placement of nanotube: jump hash over targets in the order of their indices.
//!
//! Invariant: every target has an index and the indices are 0, 1, 2, …, each once; all else is refused, since nothing
//! says what it would mean. Hosts and the order listed do not count.

use crate::ring::RingError;
use crate::{Members, TargetIdx};

/// The targets by bucket.
pub(crate) fn order(members: &Members) -> Result<Vec<TargetIdx>, RingError> {
    let mut by_index: Vec<Option<TargetIdx>> = vec![None; members.len()];
    for (target, member) in TargetIdx::each(members) {
        let id = || member.id.clone();
        let Some(index) = member.place.index else {
            return Err(RingError::NoIndex { id: id(), last: members.len() - 1 });
        };
        let Some(place) = by_index.get_mut(usize::from(index)) else {
            return Err(RingError::IndexBeyond { id: id(), index, last: members.len() - 1 });
        };
        if let Some(first) = place.replace(target) {
            let first = members.id(first);
            return Err(RingError::SameIndex { first, second: id(), index });
        }
    }
    Ok(by_index.into_iter().flatten().collect()) // as many as members, each its own: none is missing
}
