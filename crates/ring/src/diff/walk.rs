//! The keys that two rings are compared by.
//!
//! Invariant: when the answer is [`Basis::Exact`], the weights sum up to the size of the space, and both rings have
//! one set of owners over all that a weight stands for.

use super::{Basis, sample, tally::Tally};
use crate::{Cuts, Key, Ring};

/// Spaces up to 2 to this power are walked position by position, whatever their cuts.
const BITS_MAX: u32 = 20;

/// More residues than this take longer than they are worth.
const RESIDUES_MAX: u64 = 1 << 24;

/// Tallies all keys, or keys that stand for all.
pub(super) fn walk<'c>(old: &'c Ring, new: &'c Ring, tally: &mut Tally<'c>) -> Basis {
    let bits = old.space().bits();
    if old.space() != new.space() {
        return keys(old, new, tally, 0);
    }
    if bits <= BITS_MAX {
        weighed((0..1 << bits).map(|position| (position, 1)), old, new, tally);
        return Basis::Exact;
    }
    match (old.cuts(), new.cuts()) {
        (Cuts::Arcs(cuts), Cuts::Arcs(more)) => {
            weighed(arcs(cuts, more, bits), old, new, tally);
            Basis::Exact
        }
        (Cuts::Modulo(n), Cuts::Modulo(m)) if lcm(n, m).is_some_and(|l| l <= RESIDUES_MAX) => {
            weighed(residues(lcm(n, m).unwrap_or(1), bits), old, new, tally);
            Basis::Exact
        }
        (Cuts::Each | Cuts::Arcs(_) | Cuts::Modulo(_) | Cuts::Jump, _) => {
            let keys = count(old, new);
            let positions = sample::positions(keys, bits);
            weighed(positions.map(|position| (position, 1)), old, new, tally);
            Basis::Sampled { keys }
        }
    }
}

/// Tallies keys that were replaced by others.
pub(super) fn unrelated_keys<'c>(old: &'c Ring, new: &'c Ring, tally: &mut Tally<'c>) -> Basis {
    keys(old, new, tally, count(old, new))
}

/// The new ring is asked for keys that come `later` in the row than those of the old one.
fn keys<'c>(old: &'c Ring, new: &'c Ring, tally: &mut Tally<'c>, later: u64) -> Basis {
    let keys = count(old, new);
    for index in 0..keys {
        let (before, after) = (sample::key(index), sample::key(index + later));
        tally.add(1, old.owners(&Key::new(&before)), new.owners(&Key::new(&after)));
    }
    Basis::Sampled { keys }
}

/// How many keys stand for all.
fn count(old: &Ring, new: &Ring) -> u64 {
    sample::count(old.replicas().max(new.replicas()))
}

/// Tallies positions, each with how many it stands for.
fn weighed<'c>(
    positions: impl Iterator<Item = (u64, u128)>,
    old: &'c Ring,
    new: &'c Ring,
    tally: &mut Tally<'c>,
) {
    for (position, weight) in positions {
        tally.add(weight, old.owners_at(position), new.owners_at(position));
    }
}

/// The arcs between the cuts of both rings.
fn arcs(mut cuts: Vec<u64>, more: Vec<u64>, bits: u32) -> impl Iterator<Item = (u64, u128)> {
    cuts.extend(more);
    cuts.sort();
    cuts.dedup();
    let ends: Vec<u128> = cuts.iter().skip(1).copied().map(u128::from).chain([1 << bits]).collect();
    cuts.into_iter().zip(ends).map(|(start, end)| (start, end - u128::from(start)))
}

/// Each remainder by `modulus`, and how many positions have it.
fn residues(modulus: u64, bits: u32) -> impl Iterator<Item = (u64, u128)> {
    let (each, rest) =
        ((1_u128 << bits) / u128::from(modulus), (1_u128 << bits) % u128::from(modulus));
    (0..modulus).map(move |residue| (residue, each + u128::from(u128::from(residue) < rest)))
}

fn lcm(n: u64, m: u64) -> Option<u64> {
    let (mut divisor, mut rest) = (n, m);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    n.checked_div(divisor)?.checked_mul(m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_cover_the_space_once() {
        let arcs: Vec<_> = arcs(vec![0, 10, 500], vec![0, 10, 20], 9).collect();
        assert_eq!(arcs, [(0, 10), (10, 10), (20, 480), (500, 12)]);
    }

    #[test]
    fn residues_cover_the_space_once() {
        assert_eq!(residues(3, 3).collect::<Vec<_>>(), [(0, 3), (1, 3), (2, 2)]);
        assert_eq!(residues(110, 32).map(|(_, weight)| weight).sum::<u128>(), 1 << 32);
    }

    #[test]
    fn the_least_common_multiple() {
        assert_eq!(lcm(10, 11), Some(110));
        assert_eq!(lcm(4096, 4096), Some(4096));
        assert_eq!(lcm(6, 4), Some(12));
        assert_eq!(lcm(0, 0), None);
        assert_eq!(lcm(u64::MAX, u64::MAX - 1), None);
    }
}
