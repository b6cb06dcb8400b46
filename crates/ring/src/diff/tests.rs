//! The promises of a comparison, for every algorithm.

use super::*;
use crate::testing::plain_members;
use crate::{Algorithm, Member, Members, Place, Weight};
use proptest::prelude::*;
use std::collections::HashSet;

/// Every random key comes from it; printed with each failure.
const SEED: u64 = 20_261_123;

/// Key number `index` of the tests, which is none of the keys that stand for all.
fn random_key(index: u64) -> [u8; 16] {
    sample::key(SEED.wrapping_mul(1 << 32).wrapping_add(index))
}

/// What distinguishes target `number` at `position`, as far as the algorithm looks at it.
fn target(algorithm: Algorithm, number: u64, position: u16) -> Member {
    let traits = algorithm.traits();
    let weight = if traits.weights { number % 3 + 1 } else { 1 };
    Member {
        id: format!("store-{number}"),
        weight: Weight::try_new(weight).unwrap(),
        zone: None,
        place: Place {
            host: format!("10.0.{}.{}", number / 250, number % 250 + 1),
            port: 2003,
            instance: traits.instance.then(|| format!("i{number:04}")),
            index: traits.index.then_some(position),
        },
    }
}

/// A ring over these targets with so many replicas, if the algorithm has any.
fn ring(algorithm: Algorithm, numbers: impl IntoIterator<Item = u64>, replicas: usize) -> Ring {
    let members = numbers.into_iter().zip(0..).map(|(n, position)| target(algorithm, n, position));
    let members = Members::try_new(members.collect()).unwrap();
    let replicas = if algorithm.traits().replicas { replicas.min(members.len()) } else { 1 };
    Ring::build(algorithm, &members, replicas).unwrap()
}

fn ids<'r>(ring: &'r Ring, owners: &[crate::TargetIdx]) -> Vec<&'r str> {
    let id = |at: usize| ring.members().iter().nth(at).unwrap().id.as_str();
    owners.iter().map(|&owner| id(owner.into())).collect()
}

/// The definition of a move by sets of ids.
fn brute_force<'r>(old: &'r Ring, new: &'r Ring, key: &Key<'_>) -> Vec<(&'r str, &'r str)> {
    let (before, after) = (ids(old, &old.owners(key)), ids(new, &new.owners(key)));
    let mut gave_way = before.iter().copied().filter(|id| !after.contains(id));
    let came = after.iter().copied().filter(|id| !before.contains(id));
    came.map(|id| (gave_way.next().unwrap_or(before[0]), id)).collect()
}

fn listed<'r>(old: &'r Ring, new: &'r Ring, moves: Moves<'_>) -> Vec<(&'r str, &'r str)> {
    moves.map(|one| (ids(old, &[one.from])[0], ids(new, &[one.to])[0])).collect()
}

/// `part` of `count` draws, give or take six standard errors (of both, if `due` was estimated too).
fn assert_near(part: u64, count: u64, due: f64, basis: Basis, what: &str) {
    let float = |n: u64| f64::from(u32::try_from(n).unwrap());
    let seen = float(part) / float(count);
    let inverse = match basis {
        Basis::Exact => 1.0 / float(count),
        Basis::Sampled { keys } => 1.0 / float(count) + 1.0 / float(keys),
    };
    let bound = 6.0 * (due * (1.0 - due) * inverse).sqrt() + 1e-9;
    assert!((seen - due).abs() <= bound, "{what}: {seen} for {due} +- {bound}, seed {SEED}");
}

/// A million random keys, one by one, against the diff of both rings.
fn assert_counts_agree(old: &Ring, new: &Ring) {
    const KEYS: u64 = 1_000_000;
    let comparison = Comparison::new(old, new);
    let diff = comparison.diff();
    let (mut moved, mut given_up) = (0, 0);
    let mut after = vec![0; new.members().len()];
    for index in 0..KEYS {
        let bytes = random_key(index);
        let key = Key::new(&bytes);
        let moves = comparison.moves(&key, &key);
        given_up += u64::try_from(moves.given_up()).unwrap();
        moved += u64::try_from(moves.count()).unwrap();
        new.owners(&key).iter().for_each(|owner| after[usize::from(*owner)] += 1);
    }
    let what = format!("{old:?} -> {new:?}");
    let copies = |ring: &Ring| KEYS * u64::try_from(ring.replicas()).unwrap();
    assert_near(moved, copies(new), diff.moved, diff.basis, &what);
    assert_near(given_up, copies(old), diff.given_up, diff.basis, &what);
    for (count, share) in after.into_iter().zip(&diff.after) {
        assert_near(count, copies(new), *share, diff.basis, &what);
    }
}

fn assert_adds_up(diff: &Diff) {
    let near = |shares: &mut dyn Iterator<Item = f64>, due: f64| {
        let sum: f64 = shares.sum();
        assert!((sum - due).abs() < 1e-9, "{sum} for {due} in {diff:?}");
    };
    near(&mut diff.flows.iter().map(|flow| flow.share).chain([diff.rest]), diff.moved);
    near(&mut diff.before.iter().copied(), 1.0);
    near(&mut diff.after.iter().copied(), 1.0);
    assert!(diff.flows.is_sorted_by(|a, b| a.share >= b.share), "{diff:?}");
}

#[test]
fn the_share_is_what_a_million_random_keys_show() {
    for algorithm in Algorithm::ALL {
        assert_counts_agree(&ring(algorithm, 0..10, 2), &ring(algorithm, 0..11, 2));
    }
    let (xxh3, coco) = (ring(Algorithm::Xxh3, 0..7, 1), ring(Algorithm::Coco, 0..7, 1));
    assert_counts_agree(&xxh3, &coco);
}

#[test]
fn rings_of_one_space_that_can_be_walked_are_compared_exactly() {
    for algorithm in Algorithm::ALL {
        let diff = Comparison::new(&ring(algorithm, 0..4, 1), &ring(algorithm, 0..5, 1)).diff();
        // A jump has neither slots nor arcs.
        let jumps = matches!(algorithm, Algorithm::CRelayJump(_) | Algorithm::NanotubeJump);
        let due = if jumps { Basis::Sampled { keys: 1 << 20 } } else { Basis::Exact };
        assert_eq!(diff.basis, due, "{algorithm}");
    }
    let other = Comparison::new(&ring(Algorithm::Coco, 0..4, 1), &ring(Algorithm::Xxh3, 0..4, 1));
    assert_eq!(other.diff().basis, Basis::Sampled { keys: 1 << 20 });
}

#[test]
fn keys_that_changed_move_as_if_by_chance() {
    let members = plain_members(4);
    let ring = Ring::build(Algorithm::Xxh3, &members, 1).unwrap();
    let diff = Comparison::new(&ring, &ring).diff_of_unrelated_keys();
    assert!((diff.moved - 0.75).abs() < 0.01, "{}", diff.moved);
    assert_eq!((diff.ideal, diff.basis), (0.0, Basis::Sampled { keys: 1 << 20 }));
}

#[test]
fn the_keys_that_stand_for_all_are_distinct() {
    let keys: HashSet<_> = (0..100_000).map(sample::key).collect();
    assert_eq!(keys.len(), 100_000);
    assert!(sample::positions(9, 64).is_sorted_by(|a, b| a != b));
}

#[test]
fn a_thousand_targets_are_compared() {
    let old = Ring::build(Algorithm::Xxh3, &plain_members(999), 1).unwrap();
    let new = Ring::build(Algorithm::Xxh3, &plain_members(1_000), 1).unwrap();
    let diff = Comparison::new(&old, &new).diff();
    assert_adds_up(&diff);
    assert_eq!(diff.moved, diff.after[999]);
}

#[test]
fn of_very_many_flows_the_rest_is_summed_up() {
    let (old, new) = (ring(Algorithm::Xxh3, 0..600, 3), ring(Algorithm::Coco, 0..100, 1));
    assert_eq!(Comparison::new(&old, &new).diff().rest, 0.0, "60,000 pairs");
    let nanotube = ring(Algorithm::NanotubeJump, 0..600, 1);
    let diff = Comparison::new(&old, &nanotube).diff();
    assert_eq!((diff.flows.len(), diff.basis), (1 << 16, Basis::Sampled { keys: (1 << 20) / 3 }));
    assert!(diff.rest > 0.5 && diff.rest < diff.moved, "{} of {}", diff.rest, diff.moved);
    assert_adds_up(&diff);
}

#[test]
fn with_many_replicas_fewer_keys_stand_for_all() {
    for (replicas, keys) in [(0, 1 << 20), (1, 1 << 20), (4, 1 << 18), (16, 1 << 16), (99, 1 << 16)]
    {
        assert_eq!(sample::count(replicas), keys);
    }
}

/// Distinct target numbers in any order.
fn numbers() -> impl Strategy<Value = Vec<u64>> {
    proptest::sample::subsequence((0..24).collect::<Vec<u64>>(), 1..=20).prop_shuffle()
}

proptest! {
    // A case builds rings of 2^19 slots.
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_ring_to_itself_moves_exactly_nothing(numbers in numbers(), replicas in 1..=4_usize) {
        for algorithm in Algorithm::ALL {
            let ring = ring(algorithm, numbers.clone(), replicas);
            let diff = Comparison::new(&ring, &ring).diff();
            prop_assert_eq!((diff.moved, diff.given_up, diff.ideal), (0.0, 0.0, 0.0));
            prop_assert!(diff.flows.is_empty());
            prop_assert_eq!(&diff.before, &diff.after);
        }
    }

    #[test]
    fn a_list_of_moves_is_what_sets_of_ids_say(
        before in numbers(),
        after in numbers(),
        replicas in (1..=4_usize, 1..=4_usize),
    ) {
        let rings = |numbers: &[u64], replicas| {
            Algorithm::ALL.map(|algorithm| ring(algorithm, numbers.iter().copied(), replicas))
        };
        let (olds, news) = (rings(&before, replicas.0), rings(&after, replicas.1));
        for (old, new) in olds.iter().flat_map(|old| news.iter().map(move |new| (old, new))) {
            let comparison = Comparison::new(old, new);
            for index in 0..200 {
                let bytes = random_key(index);
                let key = Key::new(&bytes);
                let moves = listed(old, new, comparison.moves(&key, &key));
                prop_assert_eq!(moves, brute_force(old, new, &key), "{:?} to {:?}", old, new);
            }
        }
        for (old, new) in olds.iter().zip(&news) {
            assert_adds_up(&Comparison::new(old, new).diff());
        }
    }

    #[test]
    fn a_target_that_comes_to_xxh3_takes_its_share_and_nothing_else_moves(
        numbers in numbers(),
        replicas in 1..=4_usize,
    ) {
        let replicas = replicas.min(numbers.len());
        let old = ring(Algorithm::Xxh3, numbers.clone(), replicas);
        let new = ring(Algorithm::Xxh3, numbers.iter().copied().chain([24]), replicas);
        let diff = Comparison::new(&old, &new).diff();
        let newest = numbers.len();
        prop_assert_eq!(diff.moved, diff.after[newest]);
        prop_assert_eq!(diff.moved, diff.given_up);
        prop_assert!(diff.flows.iter().all(|flow| flow.to == newest));
        // And back: what it had goes to the others, from it alone.
        let back = Comparison::new(&new, &old).diff();
        prop_assert_eq!(back.moved, diff.moved);
        prop_assert!(back.flows.iter().all(|flow| flow.from == newest));
    }

    #[test]
    fn another_replica_is_one_copy_more_from_an_owner(numbers in numbers()) {
        prop_assume!(numbers.len() > 1);
        let one = ring(Algorithm::Xxh3, numbers.clone(), 1);
        let two = ring(Algorithm::Xxh3, numbers, 2);
        let more = Comparison::new(&one, &two).diff();
        prop_assert_eq!((more.moved, more.given_up), (0.5, 0.0));
        let less = Comparison::new(&two, &one).diff();
        prop_assert_eq!((less.moved, less.given_up, less.ideal), (0.0, 0.5, 0.0));
    }
}
