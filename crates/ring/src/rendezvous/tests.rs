//! What rendezvous promises of any members: it equals its definition and moves no more than it must.
//!
//! The properties run on random members over the first slots; `slots/tests.rs` counts over all of them.

use super::*;
use crate::testing::{check_joined, member, owner_ids, plain_members, without};
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::Index;

const SLOTS: usize = 1 << 9;

fn any_weight() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1), Just(2), Just(100), 1..=100_u64]
}

fn any_zone() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[abc]")
}

fn no_zone() -> impl Strategy<Value = Option<String>> {
    Just(None)
}

/// From 4 to 12 members in any order.
fn any_members(
    weight: impl Strategy<Value = u64>,
    zone: impl Strategy<Value = Option<String>>,
) -> impl Strategy<Value = Members> {
    btree_map("[ -~]{0,9}", (weight, zone), 4..=12)
        .prop_map(|map| {
            map.into_iter().map(|(id, (w, z))| member(&id, w, z.as_deref())).collect::<Vec<_>>()
        })
        .prop_shuffle()
        .prop_map(|list| Members::try_new(list).unwrap())
}

fn at(members: &Members, index: Index) -> &Member {
    members.iter().nth(index.index(members.len())).unwrap()
}

/// The definition, word for word: every member is drawn for, priced and sorted, then the zones are walked.
fn naive_owners(members: &Members, replicas: usize, slot: u64) -> Vec<&str> {
    let mut order: Vec<&Member> = members.iter().collect();
    let draw = |m: &Member| {
        let id = m.id.as_bytes();
        let mask = u128::from(XxHash3_64::oneshot_with_seed(1, id));
        let factor = u128::from(XxHash3_64::oneshot_with_seed(2, id) | 1);
        let hash = u128::from(XxHash3_64::oneshot_with_seed(0, &slot.to_le_bytes()));
        let product = (hash ^ mask) * factor;
        u64::try_from((product >> 64) ^ (product & u128::from(u64::MAX))).unwrap()
    };
    order.sort_by(|a, b| {
        let log = |m| u128::from(neglog2(draw(m)));
        let weight = |m: &Member| u128::from(m.weight.get());
        (log(a) * weight(b))
            .cmp(&(log(b) * weight(a)))
            .then(draw(b).cmp(&draw(a)))
            .then(a.id.as_bytes().cmp(b.id.as_bytes()))
    });
    let zone = |m: &Member| m.zone.clone().ok_or(m.id.clone());
    let zones_all: BTreeSet<_> = order.iter().map(|m| zone(m)).collect();
    let mut zones_used = BTreeSet::new();
    let mut owners = Vec::new();
    while owners.len() < replicas {
        let spread = zones_used.len() < zones_all.len();
        let next = order.iter().position(|m| !spread || !zones_used.contains(&zone(m))).unwrap();
        let next = order.remove(next);
        zones_used.insert(zone(next));
        owners.push(next.id.as_str());
    }
    owners
}

fn check_definition(members: &Members, replicas: usize) {
    for (slot, owners) in owner_ids(members, replicas, SLOTS).iter().enumerate() {
        assert_eq!(owners, &naive_owners(members, replicas, slot as u64), "slot {slot}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_build_equals_its_definition(
        members in any_members(any_weight(), any_zone()),
        replicas in 1..=4_usize,
    ) {
        check_definition(&members, replicas);
    }

    /// No logarithm is taken here.
    #[test]
    fn the_build_equals_its_definition_for_equal_weights(
        members in any_members(Just(7), any_zone()),
        replicas in 1..=4_usize,
    ) {
        check_definition(&members, replicas);
    }

    /// Read backwards: a member that leaves moves only what it had.
    #[test]
    fn a_member_that_joins_moves_keys_only_to_itself(
        members in any_members(any_weight(), no_zone()),
        replicas in 1..=3_usize,
        who in any::<Index>(),
    ) {
        let id = &at(&members, who).id;
        let fewer = without(&members, id);
        let (before, after) =
            (owner_ids(&fewer, replicas, SLOTS), owner_ids(&members, replicas, SLOTS));
        check_joined(&before, &after, id);
    }

    /// With zones the others may change places among the owners of a key, but none of them gains a key.
    #[test]
    fn a_member_that_joins_a_zone_gives_no_other_a_new_key(
        members in any_members(any_weight(), any_zone()),
        replicas in 1..=3_usize,
        who in any::<Index>(),
    ) {
        let id = &at(&members, who).id;
        let fewer = without(&members, id);
        let (before, after) =
            (owner_ids(&fewer, replicas, SLOTS), owner_ids(&members, replicas, SLOTS));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(
                after.iter().all(|owner| owner == id || before.contains(owner)),
                "{:?} became {:?} with {}", before, after, id
            );
        }
    }

    #[test]
    fn the_order_of_members_moves_nothing(
        (members, shuffled) in any_members(any_weight(), any_zone()).prop_flat_map(|members| {
            let list = members.iter().cloned().collect::<Vec<_>>();
            (Just(members), Just(list).prop_shuffle())
        }),
        replicas in 1..=3_usize,
    ) {
        let shuffled = Members::try_new(shuffled).unwrap();
        prop_assert_eq!(
            owner_ids(&members, replicas, SLOTS),
            owner_ids(&shuffled, replicas, SLOTS)
        );
    }

    #[test]
    fn a_member_that_gains_weight_moves_keys_only_to_itself(
        members in any_members(1..=99_u64, no_zone()),
        replicas in 1..=3_usize,
        who in any::<Index>(),
        more in 1..=100_u64,
    ) {
        let heavy = at(&members, who);
        let weight = (heavy.weight.get() + more).min(100);
        let list = members.iter().map(|m| match m.id == heavy.id {
            true => member(&m.id, weight, None),
            false => m.clone(),
        });
        let raised = Members::try_new(list.collect()).unwrap();
        let others = |owners: &[&str]| -> Vec<String> {
            owners.iter().filter(|&&id| id != heavy.id).map(|&id| id.to_owned()).collect()
        };
        let (before, after) =
            (owner_ids(&members, replicas, SLOTS), owner_ids(&raised, replicas, SLOTS));
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(others(before).starts_with(&others(after)), "{:?} {:?}", before, after);
            let place = |owners: &[&str]| owners.iter().position(|&id| id == heavy.id);
            let lost_rank = place(before).is_some_and(|b| place(after).is_none_or(|a| a > b));
            prop_assert!(!lost_rank, "{:?} became {:?}", before, after);
        }
    }

    #[test]
    fn owners_are_distinct_and_so_are_zones_while_there_are_enough(
        members in any_members(any_weight(), any_zone()),
        replicas in 1..=4_usize,
    ) {
        let zone = |id: &str| {
            let found = members.iter().find(|m| m.id == id).unwrap();
            found.zone.clone().ok_or(id.to_owned())
        };
        let zones_all: BTreeSet<_> = members.iter().map(|m| zone(&m.id)).collect();
        for owners in owner_ids(&members, replicas, SLOTS) {
            prop_assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), replicas);
            let zones: BTreeSet<_> = owners.iter().map(|id| zone(id)).collect();
            prop_assert_eq!(zones.len(), replicas.min(zones_all.len()), "{:?}", owners);
        }
    }

    #[test]
    fn a_larger_draw_never_costs_more(a in any::<u64>(), b in any::<u64>(), near in 0..1_000_u64) {
        prop_assert!(neglog2(a.max(b)) <= neglog2(a.min(b)));
        prop_assert!(neglog2(a.saturating_add(near)) <= neglog2(a));
    }

    #[test]
    fn the_logarithm_is_near_that_of_floating_point(draw in any::<u64>(), shift in 0..64_u32) {
        let draw = draw >> shift;
        let want = (64.0 - (draw as f64 + 1.0).log2()) * f64::from(32).exp2();
        let error = neglog2(draw) as f64 - want;
        // An f64 near 64 is itself only good to 2^-46, 2^-14 of our unit.
        prop_assert!((-0.01..=1.01).contains(&error), "{} {}", draw, error);
    }
}

#[test]
fn the_logarithm_of_a_power_of_two_is_exact() {
    for exponent in 0..64_u32 {
        assert_eq!(neglog2((1 << exponent) - 1), u64::from(64 - exponent) << 32);
    }
    assert_eq!(neglog2(u64::MAX), 0);
}

/// Too rare to be met by chance: draws that are equal, and costs that are.
#[test]
fn ties_go_to_the_larger_draw_and_then_to_the_smaller_id() {
    let target = TargetIdx::each(&plain_members(1)).next().unwrap().0;
    let candidate = |draw, log, rank, weight| Candidate {
        draw,
        log: Some(log),
        zone_taken: false,
        entry: Entry { target, rank, zone: 0, weight },
    };
    let check_cheaper = |mut a: Candidate, mut b: Candidate| {
        assert_eq!(a.cmp_cost(&mut b), Ordering::Less);
        assert_eq!(b.cmp_cost(&mut a), Ordering::Greater);
        assert_eq!(cheapest(&mut [a, b], |_| true), Some(0));
        assert_eq!(cheapest(&mut [b, a], |_| true), Some(1));
    };
    check_cheaper(candidate(5, 10, 1, 2), candidate(9, 6, 0, 1)); // 10 / 2 before 6 / 1
    check_cheaper(candidate(9, 6, 1, 1), candidate(5, 12, 0, 2)); // equal cost
    check_cheaper(candidate(9, 6, 1, 1), candidate(5, 6, 0, 1)); // equal log
    check_cheaper(candidate(5, 6, 1, 2), candidate(5, 6, 0, 1)); // equal draw, more weight
    check_cheaper(candidate(5, 6, 0, 1), candidate(5, 6, 1, 1)); // equal draw and weight
    check_cheaper(candidate(u64::MAX, 0, 0, 1), candidate(u64::MAX, 0, 1, 2)); // free
    let mut best = [candidate(9, 0, 0, 1), candidate(5, 0, 1, 1), candidate(3, 0, 2, 1)];
    assert_eq!(replace_worst(&mut best, candidate(5, 0, 3, 1)), 5);
    assert_eq!(best.map(|kept| kept.entry.rank), [0, 1, 3]);
}
