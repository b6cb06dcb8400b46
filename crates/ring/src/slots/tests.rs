//! What the whole table promises: fair shares, and joins and leaves that move exactly what they must.
//!
//! All counts are exact, over every slot; nothing here is random, so a bound once held is held for ever.

use super::*;
use crate::testing::{check_joined, member, owner_ids, plain_members, without};
use crate::{Key, Member};

/// Slots for which each target is the primary owner, by `TargetIdx`.
fn shares(members: &Members) -> Vec<usize> {
    let mut shares = vec![0; members.len()];
    for &owner in &Slots::build(members, 1).owners {
        shares[usize::from(owner)] += 1;
    }
    shares
}

fn equal_members(count: usize, id: impl Fn(usize) -> String) -> Members {
    Members::try_new((0..count).map(|i| member(&id(i), 1, None)).collect()).unwrap()
}

/// An id without any pattern, as UUIDs are.
fn uuid(i: usize) -> String {
    let hash = |text: String| Key::new(text.as_bytes()).xxh3();
    format!("{:016x}-{:016x}", hash(format!("a{i}")), hash(format!("b{i}")))
}

fn check_busiest(count: usize, bound: f64) {
    let patterns: [fn(usize) -> String; 4] = [
        |i| format!("10.0.{}.{}:2003", i / 256, i % 256),
        |i| format!("store-{i}"),
        |i| format!("{i:04}"),
        uuid,
    ];
    for id in patterns {
        let shares = shares(&equal_members(count, id));
        let busiest = shares.iter().copied().max().unwrap();
        let ratio = busiest as f64 / (Slots::COUNT as f64 / count as f64);
        println!("{count} targets like {}: busiest / mean {ratio:.3}", id(1));
        assert!(ratio <= bound, "{} {ratio}", id(1));
    }
}

#[test]
fn the_busiest_of_64_equal_targets_has_5_percent_more_than_the_mean_at_most() {
    check_busiest(64, 1.05);
}

#[test]
fn the_busiest_of_1000_equal_targets_has_25_percent_more_than_the_mean_at_most() {
    check_busiest(1_000, 1.25);
}

#[test]
fn shares_follow_weights_within_5_percent() {
    let lists: [&[u64]; 6] = [
        &[1, 2],
        &[1, 1, 2, 4, 8],
        &[100, 100, 50, 50, 25],
        &[10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
        &[1, 100],
        &[4, 1, 3, 1, 2, 2, 1, 4, 1, 3, 1, 2, 2, 1, 4, 1, 3, 1, 2, 2, 1],
    ];
    for weights in lists {
        let list = weights.iter().enumerate();
        let members =
            Members::try_new(list.map(|(i, &w)| member(&format!("store-{i}"), w, None)).collect());
        let total: u64 = weights.iter().sum();
        for (share, &weight) in shares(&members.unwrap()).into_iter().zip(weights) {
            let want = Slots::COUNT as f64 * weight as f64 / total as f64;
            let ratio = share as f64 / want;
            assert!((0.95..=1.05).contains(&ratio), "weight {weight} of {weights:?}: {ratio}");
        }
    }
}

/// Chi-squared over all ordered pairs of owners: no target is any other's preferred stand-in, so the keys of one
/// that leaves spread over all the others. Expected 4,032 cells with a standard deviation of about 90.
#[test]
fn second_owners_are_spread_evenly_behind_each_first() {
    let slots = Slots::build(&plain_members(64), 2);
    let mut pairs = vec![0_u32; 64 * 64];
    for owners in slots.owners.chunks_exact(2) {
        pairs[usize::from(owners[0]) * 64 + usize::from(owners[1])] += 1;
    }
    let expected = Slots::COUNT as f64 / (64.0 * 63.0);
    let chi_squared: f64 = (0..64 * 64)
        .filter(|pair| pair / 64 != pair % 64)
        .map(|pair| (f64::from(pairs[pair]) - expected).powi(2) / expected)
        .sum();
    assert!((4_032.0 - 450.0..4_032.0 + 450.0).contains(&chi_squared), "{chi_squared}");
}

#[test]
fn a_join_over_all_slots_takes_its_share_and_moves_nothing_else() {
    let list = |weights: [u64; 6]| -> Vec<Member> {
        weights.iter().enumerate().map(|(i, &w)| member(&format!("store-{i}"), w, None)).collect()
    };
    for weights in [[1; 6], [1, 2, 4, 1, 2, 4]] {
        for replicas in 1..=3 {
            let members = Members::try_new(list(weights)).unwrap();
            let fewer = without(&members, "store-2");
            let before = owner_ids(&fewer, replicas, Slots::COUNT);
            let after = owner_ids(&members, replicas, Slots::COUNT);
            let came = check_joined(&before, &after, "store-2");
            let had = after.iter().filter(|owners| owners.contains(&"store-2")).count();
            assert_eq!(came, had, "{weights:?} {replicas}");
            assert!(came > Slots::COUNT / 7 * replicas, "{weights:?} {replicas}");
        }
    }
}

#[test]
fn a_key_falls_to_the_slot_of_its_top_bits() {
    let slots = Slots::build(&plain_members(9), 2);
    let slot = |n: usize| &slots.owners[2 * n..2 * n + 2];
    assert_eq!(slots.owners(0), slot(0));
    assert_eq!(slots.owners((1 << 45) - 1), slot(0));
    assert_eq!(slots.owners(1 << 45), slot(1));
    assert_eq!(slots.owners(u64::MAX), slot(Slots::COUNT - 1));
}
