//! What every ring promises, whatever its algorithm, tried on random members and keys.

use super::*;
use crate::testing::{placed, placed_members};
use crate::{CarbonHash, CharSign, Member, Place};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeSet;

/// Every algorithm with every parameter.
fn algorithms() -> Vec<Algorithm> {
    let mut all = vec![
        Algorithm::Coco,
        Algorithm::CRelayCarbonCh,
        Algorithm::NanotubeJump,
        Algorithm::RelayNgV1,
        Algorithm::RelayNgV2,
    ];
    for hash in [CarbonHash::CarbonCh, CarbonHash::Fnv1aCh, CarbonHash::Mmh3Ch] {
        for diverse in [false, true] {
            all.push(Algorithm::Carbon { hash, diverse });
            all.push(Algorithm::CarbonFast { hash, diverse });
        }
    }
    for char in [CharSign::Signed, CharSign::Unsigned] {
        all.extend([
            Algorithm::CRelayFnv1aCh(char),
            Algorithm::CRelayJump(char),
            Algorithm::CRelayAnyOf(char),
        ]);
    }
    all
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(algorithms())
}

/// From 1 to 12 members in any order, no two in one place, indices complete.
fn any_members() -> impl Strategy<Value = Members> {
    let instance = proptest::option::of("[0-9]{1,2}|[a-z\u{e9}']{1,3}");
    btree_map(("[a-d]", instance), any::<u16>(), 1..=12)
        .prop_map(|map| {
            let list = map.into_iter().enumerate().map(|(at, ((host, instance), port))| {
                let at = u16::try_from(at).unwrap();
                let port = port / 16 * 16 + at; // no two are equal
                placed(&format!("t{at}"), Place { host, port, instance, index: Some(at) })
            });
            list.collect::<Vec<_>>()
        })
        .prop_shuffle()
        .prop_map(|list| Members::try_new(list).unwrap())
}

fn any_keys() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..70), 1..60)
}

/// The ring with as many replicas as it may have up to this number; `None` where the original is in trouble.
fn ring(algorithm: Algorithm, members: &Members, replicas: usize) -> Option<Ring> {
    let replicas = if algorithm.traits().replicas { replicas.min(members.len()) } else { 1 };
    match Ring::build(algorithm, members, replicas) {
        Ok(ring) => Some(ring),
        Err(RingError::TooFewOwners { .. } | RingError::SameHash { .. }) => None,
        Err(error) => panic!("{algorithm}: {error}"),
    }
}

fn owner_ids(ring: &Ring, key: &[u8]) -> Vec<String> {
    ring.owners(&Key::new(key)).into_iter().map(|owner| ring.members().id(owner)).collect()
}

/// The ids by bucket of carbon-c-relay's jump.
fn buckets(ring: &Ring) -> Vec<String> {
    let order = crate::c_relay::order(ring.members());
    order.into_iter().map(|target| ring.members().id(target)).collect()
}

/// Gives a member one new trait.
type Change = fn(&mut Member);

fn with(members: &Members, at: usize, change: impl Fn(&mut Member)) -> Members {
    let mut list: Vec<Member> = members.iter().cloned().collect();
    change(&mut list[at]);
    Members::try_new(list).unwrap()
}

proptest! {
    #[test]
    fn a_key_that_several_rings_are_asked_for_falls_to_the_same_owners(
        algorithms in vec(any_algorithm(), 1..6),
        members in any_members(),
        keys in any_keys(),
    ) {
        let rings: Vec<_> =
            algorithms.into_iter().filter_map(|algorithm| ring(algorithm, &members, 2)).collect();
        for key in keys.iter().map(|key| Key::new(key)) {
            let mut fell = None;
            for ring in &rings {
                prop_assert_eq!(&ring.owners_again(&key, &mut fell)[..], &ring.owners(&key)[..]);
            }
        }
    }

    #[test]
    fn every_key_has_its_owners(
        algorithm in any_algorithm(),
        members in any_members(),
        replicas in 1..=6_usize,
        keys in any_keys(),
    ) {
        let Some(ring) = ring(algorithm, &members, replicas) else { return Ok(()) };
        let diverse = matches!(
            algorithm,
            Algorithm::Carbon { diverse: true, .. } | Algorithm::CarbonFast { diverse: true, .. }
        );
        for key in keys.iter().map(|key| Key::new(key)) {
            let (owners, located) = (ring.owners(&key), ring.locate(&key));
            prop_assert_eq!(owners.len(), ring.replicas());
            prop_assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), owners.len());
            prop_assert!(owners.iter().all(|&owner| usize::from(owner) < members.len()));
            prop_assert_eq!(&owners[..], &located.owners[..]);
            prop_assert_eq!(&owners[..], &ring.owners_at(located.position)[..]);
            let bits = ring.space().bits();
            prop_assert!(bits == 64 || located.position < 1 << bits);
            if diverse {
                let hosts: BTreeSet<_> =
                    owners.iter().map(|&owner| &members.get(owner).unwrap().place.host).collect();
                prop_assert_eq!(hosts.len(), owners.len());
            }
        }
    }

    #[test]
    fn the_order_listed_counts_only_where_it_is_said_to(
        algorithm in any_algorithm(),
        (members, other) in any_members().prop_flat_map(|members| {
            let list: Vec<Member> = members.iter().cloned().collect();
            (Just(members), Just(list).prop_shuffle())
        }),
        replicas in 1..=3_usize,
        keys in any_keys(),
    ) {
        let other = Members::try_new(other).unwrap();
        let Some(ring) = ring(algorithm, &members, replicas) else { return Ok(()) };
        let other = Ring::build(algorithm, &other, ring.replicas_asked()).unwrap();
        let same = match algorithm {
            Algorithm::CRelayJump(_) => buckets(&ring) == buckets(&other),
            _ if algorithm.traits().order => ring.members() == other.members(),
            _ => true,
        };
        prop_assert_eq!(ring.digest() == other.digest(), same);
        if same {
            for key in &keys {
                prop_assert_eq!(owner_ids(&ring, key), owner_ids(&other, key));
            }
        }
    }

    #[test]
    fn only_what_is_said_to_count_counts(
        algorithm in any_algorithm(),
        members in any_members(),
        replicas in 1..=3_usize,
        index in any::<Index>(),
        keys in any_keys(),
    ) {
        let Some(ring) = ring(algorithm, &members, replicas) else { return Ok(()) };
        let traits = algorithm.traits();
        // Each with a value that no other member has.
        let changes: [(bool, Change); 5] = [
            (traits.weights, |member| member.zone = Some("z".to_owned())),
            (traits.host, |member| member.place.host += "x"),
            (traits.port, |member| member.place.port ^= 1 << 15),
            (traits.instance, |member| member.place.instance = Some("new".to_owned())),
            (traits.index, |member| member.place.index = member.place.index.map(|i| i + 100)),
        ];
        for (counts, change) in changes {
            let changed = with(&members, index.index(members.len()), change);
            match Ring::build(algorithm, &changed, ring.replicas_asked()) {
                Ok(changed) if counts => prop_assert_ne!(ring.digest(), changed.digest()),
                Ok(changed) => {
                    prop_assert_eq!(ring.digest(), changed.digest());
                    for key in &keys {
                        prop_assert_eq!(owner_ids(&ring, key), owner_ids(&changed, key));
                    }
                }
                Err(error) => prop_assert!(counts, "{}", error),
            }
        }
    }

    #[test]
    fn owners_change_only_at_cuts(
        algorithm in any_algorithm(),
        members in any_members(),
        replicas in 1..=3_usize,
        positions in vec(any::<u32>(), 1..100),
    ) {
        let Some(ring) = ring(algorithm, &members, replicas) else { return Ok(()) };
        let positions = positions.into_iter().map(u64::from);
        match ring.cuts() {
            Cuts::Each => prop_assert_eq!(ring.space().bits(), 16),
            Cuts::Jump => prop_assert_eq!(ring.space().bits(), 64),
            Cuts::Modulo(period) => for position in positions {
                prop_assert_eq!(&ring.owners_at(position)[..], &ring.owners_at(position % period)[..]);
            },
            Cuts::Arcs(starts) => {
                prop_assert_eq!(starts[0], 0);
                prop_assert!(starts.is_sorted_by(|a, b| a < b));
                let start = |position| starts[starts.partition_point(|&start| start <= position) - 1];
                let ends = starts.iter().skip(1).map(|&start| start - 1).chain([u32::MAX.into()]);
                for position in positions.chain(ends) {
                    prop_assert_eq!(&ring.owners_at(position)[..], &ring.owners_at(start(position))[..]);
                }
            }
        }
    }
}

/// The other half of what the traits say: where order is said to count, it does.
#[test]
fn where_the_order_counts_another_one_moves_keys() {
    let members = placed_members(64);
    let reversed = Members::try_new(members.iter().rev().cloned().collect()).unwrap();
    // Among 32 bits points collide too seldom for a test.
    for algorithm in algorithms().into_iter().filter(|a| a.space() != Space::Murmur3) {
        let [ring, other] =
            [&members, &reversed].map(|members| Ring::build(algorithm, members, 1).unwrap());
        let keys = (0..20_000).map(|i| format!("servers.host-{i}.cpu"));
        let moved = keys
            .filter(|key| owner_ids(&ring, key.as_bytes()) != owner_ids(&other, key.as_bytes()))
            .count();
        assert_eq!(moved > 0, algorithm.traits().order, "{algorithm:?}: {moved}");
    }
}

/// Where carbon-c-relay cannot tell targets apart their order counts after all, and the digest says so.
#[test]
fn the_order_of_equals_is_in_the_digest() {
    let place = |port| Place { host: "h".to_owned(), port, ..Place::default() };
    let list = [placed("a", place(1)), placed("b", place(2)), placed("c", place(3))];
    let ring = |order: [usize; 3]| {
        let list = order.map(|at| list[at].clone()).to_vec();
        Ring::build(Algorithm::CRelayCarbonCh, &Members::try_new(list).unwrap(), 1).unwrap()
    };
    let (first, other) = (ring([0, 1, 2]), ring([1, 0, 2]));
    assert_eq!(
        (owner_ids(&first, b"k"), owner_ids(&other, b"k")),
        (vec!["a".into()], vec!["b".into()])
    );
    assert_ne!(first.digest(), other.digest());
}

/// carbon-c-relay's jump goes by instances: only where these are missing or equal does the list decide.
#[test]
fn the_digest_of_a_jump_has_the_order_of_its_buckets() {
    let digest = |places: [(&str, Option<&str>); 3]| {
        let list = places.map(|(id, instance)| {
            placed(id, Place { instance: instance.map(str::to_owned), ..Place::default() })
        });
        let members = Members::try_new(list.to_vec()).unwrap();
        Ring::build(Algorithm::CRelayJump(CharSign::Signed), &members, 1).unwrap().digest()
    };
    let [a, b, c] = [("a", Some("2")), ("b", Some("10")), ("c", Some("3"))];
    assert_eq!(digest([a, b, c]), digest([b, c, a]));
    let [c, d] = [("c", None), ("d", None)];
    assert_eq!(digest([a, c, d]), digest([c, a, d]));
    assert_ne!(digest([a, c, d]), digest([a, d, c]));
}

#[test]
fn parameters_are_in_the_digest() {
    let members = placed_members(3);
    let digests: BTreeSet<String> = algorithms()
        .into_iter()
        .chain([Algorithm::Xxh3])
        .map(|algorithm| Ring::build(algorithm, &members, 1).unwrap().digest())
        .collect();
    assert_eq!(digests.len(), algorithms().len() + 1);
}

#[test]
fn our_own_digest_has_weights_and_zones() {
    let members = placed_members(3);
    let digest = |members: &Members| Ring::build(Algorithm::Xxh3, members, 1).unwrap().digest();
    let change = |change: Change| digest(&with(&members, 0, change));
    let plain = digest(&members);
    assert_eq!(change(|member| member.place = Place::default()), plain);
    assert_ne!(change(|member| member.zone = Some(String::new())), plain);
    assert_ne!(change(|member| member.weight = crate::Weight::try_new(2).unwrap()), plain);
    let reversed = Members::try_new(members.iter().rev().cloned().collect()).unwrap();
    assert_eq!(digest(&reversed), plain);
}
