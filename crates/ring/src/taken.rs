//! Which positions of a ring are taken, and the next free one above each.
//!
//! Invariant: asking for a free position costs a few steps however long a run of taken ones is, because each run is
//! crossed once and then leapt over (path compression, as in union-find). It has no end: wrapping is the caller's.

use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Taken {
    /// For each taken position a greater one below which none is free.
    leaps: HashMap<u64, u64>,
}

impl Taken {
    /// The first free position that is not below this one.
    pub(crate) fn free_from(&mut self, position: u64) -> u64 {
        let mut free = position;
        while let Some(&leap) = self.leaps.get(&free) {
            free = leap;
        }
        let mut at = position;
        while at != free {
            at = self.leaps.insert(at, free).unwrap_or(free);
        }
        free
    }

    /// Takes a position; again is no harm.
    pub(crate) fn take(&mut self, position: u64) {
        self.leaps.entry(position).or_insert(position + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_passed_over() {
        let mut taken = Taken::default();
        assert_eq!(taken.free_from(7), 7);
        for position in [7, 9, 8, 7, 11] {
            taken.take(position);
        }
        let free: Vec<u64> = (6..=12).map(|position| taken.free_from(position)).collect();
        assert_eq!(free, [6, 10, 10, 10, 10, 12, 12]);
        taken.take(10);
        assert_eq!(taken.free_from(7), 12);
    }
}
