//! Weighted rendezvous: which members own a slot.
//!
//! Every member draws a number for every slot; the cheapest members, by draw and weight, own it. A member's draw
//! depends on nothing but the slot and its id, so members come and go without moving anything between the others.
//!
//! Invariant: all is exact integer arithmetic, so every CPU gives the same order. The constants and formulas are
//! frozen; they are written out in `testdata/README.md`. How keys become slots is not known here.

#[cfg(test)]
mod tests;

use crate::{Member, Members, TargetIdx};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use twox_hash::XxHash3_64;

/// Seeds of the three XXH3-64 hashes that make a draw. Frozen.
const SEED_SLOT: u64 = 0;
const SEED_MASK: u64 = 1;
const SEED_FACTOR: u64 = 2;

/// The members, prepared for being asked about many slots.
pub(crate) struct Rendezvous {
    /// In the order of `entries`, apart from them because the inner loop reads only this.
    tickets: Vec<Ticket>,
    entries: Vec<Entry>,
    /// The heaviest first, so that few of the others need a logarithm.
    groups: Vec<Group>,
    replicas: usize,
}

impl Rendezvous {
    pub(crate) fn new(members: &Members, replicas: usize) -> Self {
        let zones = number_zones(members);
        let zones_suffice = zones.iter().collect::<BTreeSet<_>>().len() >= replicas;
        let mut by_id: Vec<_> = TargetIdx::each(members).collect();
        by_id.sort_unstable_by_key(|(_, member)| member.id.as_bytes());
        let mut ranked: Vec<Ranked<'_>> = by_id.into_iter().enumerate().collect();
        // With one replica no zone is ever passed over.
        let zone_of = |member: &Member| member.zone.clone().filter(|_| replicas > 1);
        let group_of = |(_, (_, m)): &Ranked<'_>| (Reverse(m.weight), zone_of(m));
        ranked.sort_by_cached_key(group_of); // stable: by id within a group
        let mut end = 0;
        let groups = ranked.chunk_by(|a, b| group_of(a) == group_of(b)).map(|group| {
            let start = end;
            end += group.len();
            let one = zones_suffice && group.iter().all(|(_, (_, m))| zone_of(m).is_some());
            Group { members: start..end, keep: if one { 1 } else { replicas } }
        });
        let entry = |&(rank, (target, member)): &Ranked<'_>| {
            let zone = zones[usize::from(target)];
            Entry { target, rank, zone, weight: member.weight.get() }
        };
        Self {
            groups: groups.collect(),
            tickets: ranked.iter().map(|(_, (_, m))| Ticket::new(m.id.as_bytes())).collect(),
            entries: ranked.iter().map(entry).collect(),
            replicas,
        }
    }

    /// Appends the owners of a slot, primary first: exactly `replicas` of them, when there are that many members.
    pub(crate) fn owners(
        &self,
        slot: u64,
        found: &mut Vec<Candidate>,
        owners: &mut Vec<TargetIdx>,
    ) {
        let slot_hash = XxHash3_64::oneshot_with_seed(SEED_SLOT, &slot.to_le_bytes());
        found.clear();
        for group in &self.groups {
            self.best_of_group(slot_hash, group, found);
        }
        for _ in 0..self.replicas {
            let in_new_zone = cheapest(found, |candidate| !candidate.zone_taken);
            let Some(next) = in_new_zone.or_else(|| cheapest(found, |_| true)) else { return };
            let Entry { target, zone, .. } = found.remove(next).entry;
            owners.push(target);
            for candidate in found.iter_mut().filter(|candidate| candidate.entry.zone == zone) {
                candidate.zone_taken = true;
            }
        }
    }

    /// Appends the largest draws of a group, largest first, as many as the group keeps.
    #[inline]
    fn best_of_group(&self, slot_hash: u64, group: &Group, found: &mut Vec<Candidate>) {
        let start = found.len();
        let members = group.members.clone();
        let head = members.start..members.end.min(members.start + group.keep);
        let tail = head.end..members.end;
        found.extend(head.map(|at| self.candidate(at, self.tickets[at].draw(slot_hash))));
        let best = &mut found[start..];
        best.sort_by_key(|candidate| Reverse(candidate.draw)); // stable: equal draws by id
        let mut floor = best.last().map_or(0, |worst| worst.draw);
        for (at, ticket) in tail.clone().zip(&self.tickets[tail]) {
            let draw = ticket.draw(slot_hash);
            // Seldom true, so well predicted. Equal draws leave the earlier, smaller id in front.
            if draw > floor {
                floor = replace_worst(best, self.candidate(at, draw));
            }
        }
    }

    fn candidate(&self, at: usize, draw: u64) -> Candidate {
        Candidate { draw, log: None, zone_taken: false, entry: self.entries[at] }
    }
}

/// A member with its position in the order of id bytes.
type Ranked<'a> = (usize, (TargetIdx, &'a Member));

/// A run of `entries` with one weight and, if zones count, one zone: among them a larger draw is all that matters.
struct Group {
    members: Range<usize>,
    /// How many of the largest draws can be owners: only one where every owner gets a zone of its own.
    keep: usize,
}

/// What a member brings to every draw.
struct Ticket {
    mask: u64,
    factor: u64,
}

impl Ticket {
    fn new(id: &[u8]) -> Self {
        Self {
            mask: XxHash3_64::oneshot_with_seed(SEED_MASK, id),
            // Odd, so that the low half of the product is a permutation of the slots' hashes.
            factor: XxHash3_64::oneshot_with_seed(SEED_FACTOR, id) | 1,
        }
    }

    /// A uniform 64-bit number for this slot and member: the folded multiplication of wyhash (public domain).
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product are folded")]
    fn draw(&self, slot_hash: u64) -> u64 {
        let product = u128::from(slot_hash ^ self.mask) * u128::from(self.factor);
        (product >> 64) as u64 ^ product as u64
    }
}

/// A member as the order of cost needs it.
#[derive(Clone, Copy)]
struct Entry {
    target: TargetIdx,
    /// Position in the order of id bytes: the last tie-break.
    rank: usize,
    zone: usize,
    weight: u64,
}

/// A member with its draw for the slot in hand.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    draw: u64,
    /// `neglog2` of the draw, once somebody has asked for it: few ever need it.
    log: Option<u64>,
    /// Another target of its zone is an owner already.
    zone_taken: bool,
    entry: Entry,
}

impl Candidate {
    fn log(&mut self) -> u64 {
        *self.log.get_or_insert_with(|| neglog2(self.draw))
    }

    /// Cheapest first: log / weight, compared exactly; then the larger draw, then the smaller id.
    fn cmp_cost(&mut self, other: &mut Self) -> Ordering {
        let by_draw = other.draw.cmp(&self.draw);
        // The logarithm keeps order, so who draws more and weighs no less is cheaper, or first among equals.
        match (by_draw, other.entry.weight.cmp(&self.entry.weight)) {
            (Ordering::Less, Ordering::Less | Ordering::Equal) => return Ordering::Less,
            (Ordering::Greater, Ordering::Greater | Ordering::Equal) => return Ordering::Greater,
            _ => {}
        }
        // A log is at most 2^38 and a weight at most 100, so the products stay below 2^45.
        (self.log() * other.entry.weight)
            .cmp(&(other.log() * self.entry.weight))
            .then(by_draw)
            .then(self.entry.rank.cmp(&other.entry.rank))
    }
}

/// The position of the cheapest candidate among those that are wanted.
fn cheapest(found: &mut [Candidate], wanted: impl Fn(&Candidate) -> bool) -> Option<usize> {
    let mut best: Option<(usize, &mut Candidate)> = None;
    for (at, candidate) in found.iter_mut().enumerate().filter(|(_, candidate)| wanted(candidate)) {
        let cheaper = match &mut best {
            Some((_, best)) => candidate.cmp_cost(best).is_lt(),
            None => true,
        };
        if cheaper {
            best = Some((at, candidate));
        }
    }
    best.map(|(at, _)| at)
}

/// Puts a candidate in its place among the best and drops the last of them; the new smallest draw.
fn replace_worst(best: &mut [Candidate], new: Candidate) -> u64 {
    let place = best.partition_point(|kept| kept.draw >= new.draw);
    best[place..].rotate_right(1);
    best[place] = new;
    best.last().map_or(0, |worst| worst.draw)
}

/// -log2((draw + 1) / 2^64) in units of 2^-32: 0..=2^38.
///
/// Repeated squaring (Knuth, The Art of Computer Programming 1, section 1.2.2) of a mantissa in [1, 2) with 63
/// fractional bits, cut and not rounded. Squaring, cutting and halving all keep order, so a larger draw never has
/// the larger result.
fn neglog2(draw: u64) -> u64 {
    const FRACTION_BITS: u32 = 32;
    let Some(number) = draw.checked_add(1) else { return 0 };
    let mut mantissa = number << number.leading_zeros();
    let mut log = u64::from(number.ilog2());
    for _ in 0..FRACTION_BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let at_least_2 = square >> 127;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the square is below 2^128, so this fits"
        )]
        let (bit, halved) = (at_least_2 as u64, (square >> (63 + at_least_2)) as u64);
        log = log << 1 | bit;
        mantissa = halved;
    }
    (64 << FRACTION_BITS) - log
}

/// One number for each zone, and one for each target without: such a target fails alone.
fn number_zones(members: &Members) -> Vec<usize> {
    let mut numbers = HashMap::new();
    members
        .iter()
        .enumerate()
        .map(|(position, member)| match &member.zone {
            Some(zone) => *numbers.entry(zone.as_str()).or_insert(position),
            None => position,
        })
        .collect()
}
