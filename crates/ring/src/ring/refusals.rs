//! What a ring refuses, word for word.

use super::*;
use crate::testing::{member, placed, placed_members, plain_members};
use crate::{CarbonHash, CharSign, Member, Place};

const CARBON: Algorithm = Algorithm::Carbon { hash: CarbonHash::CarbonCh, diverse: true };
const FAST: Algorithm = Algorithm::CarbonFast { hash: CarbonHash::CarbonCh, diverse: true };
const FNV1A_CH: Algorithm = Algorithm::CRelayFnv1aCh(CharSign::Signed);

/// The message, and the target that it is about.
fn refusal(algorithm: Algorithm, members: &Members, replicas: usize) -> (String, Option<String>) {
    let error = Ring::build(algorithm, members, replicas).unwrap_err();
    (error.to_string(), error.target().map(str::to_owned))
}

fn message(algorithm: Algorithm, members: &Members, replicas: usize) -> String {
    refusal(algorithm, members, replicas).0
}

/// Targets `a`, `b`, … at these hosts and instances, each with its own port.
fn at(places: &[(&str, Option<&str>)]) -> Members {
    let list = ('a'..='z').zip(1..).zip(places).map(|((id, port), &(host, instance))| {
        let (host, instance) = (host.to_owned(), instance.map(str::to_owned));
        placed(&id.to_string(), Place { host, port, instance, index: None })
    });
    Members::try_new(list.collect()).unwrap()
}

/// Targets `a`, `b`, … with these indices.
fn indexed(indices: &[Option<u16>]) -> Members {
    let list = ('a'..='z')
        .zip(indices)
        .map(|(id, &index)| placed(&id.to_string(), Place { index, ..Place::default() }));
    Members::try_new(list.collect()).unwrap()
}

#[test]
fn replicas_are_1_to_16_and_no_more_than_the_members() {
    for algorithm in Algorithm::ALL {
        let message = |count, replicas| message(algorithm, &placed_members(count), replicas);
        assert_eq!(message(3, 0), "0 replicas: every key needs at least one owner");
        assert_eq!(message(20, 17), "17 replicas: a ring keeps at most 16");
        if !matches!(algorithm, Algorithm::Carbon { .. } | Algorithm::CarbonFast { .. }) {
            assert_eq!(message(3, 4), "4 replicas of 3 targets: add targets or ask for at most 3");
            assert!(message(3, usize::MAX).contains("of 3 targets"));
        }
    }
    let ring = Ring::build(Algorithm::Xxh3, &plain_members(16), 16).unwrap();
    assert_eq!(ring.owners(&Key::new(b"")).len(), 16);
}

#[test]
fn what_the_original_cannot_run_is_refused() {
    for algorithm in Algorithm::ALL {
        let (traits, original) = (algorithm.traits(), algorithm.original());
        if !traits.replicas {
            let want = format!(
                "hash \"{algorithm}\" with 2 replicas: {original} gives each key one owner; use 1, or \"xxh3\""
            );
            assert_eq!(message(algorithm, &placed_members(3), 2), want);
        }
        if let Ok(max) = u16::try_from(traits.targets_max) {
            assert!(Ring::build(algorithm, &placed_members(max), 1).is_ok());
            let (seen, more) = (max + 1, max + 1);
            let want = format!(
                "hash \"{algorithm}\" with {seen} targets: {original} itself fails with {more} or more targets; use at most {max}, or \"xxh3\""
            );
            assert_eq!(message(algorithm, &placed_members(seen), 1), want);
        }
        let heavy = placed_members(3).iter().cloned().collect::<Vec<Member>>();
        let [a, b, c] = <[Member; 3]>::try_from(heavy).unwrap();
        let (b, c) = (Member { weight: weight(5), ..b }, Member { weight: weight(6), ..c });
        let members = Members::try_new(vec![a, b, c]).unwrap();
        if !traits.weights {
            let want = format!(
                "hash \"{algorithm}\" with weight 5 of target \"store-1\": {original} has no weights; use 1, or \"xxh3\""
            );
            assert_eq!(refusal(algorithm, &members, 1), (want, Some("store-1".to_owned())));
        }
    }
    let message = message(Algorithm::Coco, &plain_members(101), 1);
    assert!(message.contains("coco 1.x itself fails with 101 or more targets"), "{message}");
}

fn weight(weight: u64) -> crate::Weight {
    member("", weight, None).weight
}

#[test]
fn zones_are_not_looked_at_by_other_relays() {
    let zoned = |member: &Member| Member { zone: Some("z".to_owned()), ..member.clone() };
    let zoned = Members::try_new(placed_members(4).iter().map(zoned).collect()).unwrap();
    for algorithm in Algorithm::ALL {
        assert!(Ring::build(algorithm, &zoned, 1).is_ok(), "{algorithm}");
    }
}

#[test]
fn a_host_is_needed_where_it_is_hashed() {
    let members = at(&[("h", None), ("", Some("i"))]);
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.traits().host) {
        let original = algorithm.original();
        let want = format!(
            "hash \"{algorithm}\" with target \"b\" without a host: {original} hashes hosts, not ids; give it the host that {original} has for it"
        );
        assert_eq!(refusal(algorithm, &members, 1), (want, Some("b".to_owned())));
    }
}

#[test]
fn a_host_with_a_colon_is_refused_where_the_original_cuts_it() {
    let members = at(&[("h", None), ("2001:db8::1", Some("i"))]);
    for algorithm in Algorithm::ALL.into_iter().filter(|hash| *hash != Algorithm::NanotubeJump) {
        if !matches!(algorithm, Algorithm::RelayNgV1 | Algorithm::RelayNgV2) {
            assert!(Ring::build(algorithm, &members, 1).is_ok(), "{algorithm}");
            continue;
        }
        let want = format!(
            "hash \"{algorithm}\" with target \"b\" at host \"2001:db8::1\": carbon-relay-ng takes the text before the first colon for the host, so that IPv6 addresses do not work there; give the target a host without colons, or use \"xxh3\""
        );
        assert_eq!(refusal(algorithm, &members, 1), (want, Some("b".to_owned())));
    }
}

#[test]
fn two_targets_in_one_place_are_refused_where_nothing_tells_them_apart() {
    let members = at(&[("h", Some("i")), ("h", None), ("g", Some("i")), ("h", Some("i"))]);
    for algorithm in [CARBON, FAST] {
        let want = format!(
            "hash \"{algorithm}\" with target \"d\" at host \"h\" with instance \"i\", where target \"a\" is: carbon refuses to start with both; give each its own instance"
        );
        assert_eq!(refusal(algorithm, &members, 1), (want, Some("d".to_owned())));
    }
    // To carbon-relay-ng an empty instance is none.
    let members = at(&[("h", None), ("h", Some(""))]);
    assert_eq!(
        message(Algorithm::RelayNgV1, &members, 1),
        "hash \"relay-ng/v1\" with target \"b\" at host \"h\" without instance, where target \"a\" is: carbon-relay-ng leaves open which of them gets the keys; give each its own instance"
    );
    for algorithm in [CARBON, Algorithm::RelayNgV2, Algorithm::CRelayCarbonCh] {
        assert!(Ring::build(algorithm, &members, 1).is_ok(), "{algorithm}");
    }
}

#[test]
fn a_tie_in_a_list_is_refused() {
    // Of so many targets two have the same 16 bits.
    let (message, target) = refusal(FAST, &placed_members(800), 1);
    let (first, second, hash) = ("store-345", "store-367", 2_927);
    let want = format!(
        "hash \"carbon/fast\" with targets {first:?} and {second:?}, both of which hash to {hash}: carbon leaves open which of them comes first; change the host or instance of one, or use \"xxh3\""
    );
    assert_eq!((message, target), (want, Some(second.to_owned())));
}

#[test]
fn replicas_that_would_hang_carbon_c_relay_are_refused() {
    let one_host = at(&[("h", None), ("h", None), ("g", None)]);
    assert!(Ring::build(Algorithm::CRelayCarbonCh, &one_host, 2).is_ok());
    let want = |algorithm, id: &str| {
        let message = format!(
            "hash \"{algorithm}\" with 3 replicas where only 2 of the targets own points: carbon-c-relay then hangs on its first line; target {id:?} has all its points in common with others, so give it its own instance, or ask for at most 2"
        );
        (message, Some(id.to_owned()))
    };
    let algorithm = Algorithm::CRelayCarbonCh;
    assert_eq!(refusal(algorithm, &one_host, 3), want(algorithm, "b"));
    // Of one instance the first by host has all points.
    let one_instance = at(&[("h", Some("i")), ("g", Some("i")), ("f", None)]);
    assert_eq!(refusal(FNV1A_CH, &one_instance, 3), want(FNV1A_CH, "a"));
    assert!(Ring::build(FNV1A_CH, &one_host, 3).is_ok()); // ports differ
}

#[test]
fn a_full_ring_of_carbon_relay_ng_is_refused() {
    assert!(Ring::build(Algorithm::RelayNgV2, &placed_members(700), 1).is_ok());
    let (message, target) = refusal(Algorithm::RelayNgV2, &placed_members(701), 1);
    assert_eq!(
        message,
        "hash \"relay-ng/v2\" with target \"store-700\": the targets before it take all 65536 positions, and carbon-relay-ng hangs looking for one; use fewer targets, or \"xxh3\""
    );
    assert_eq!(target, Some("store-700".to_owned()));
}

#[test]
fn the_indices_of_nanotube_are_complete() {
    let refusal = |indices: &[_]| refusal(Algorithm::NanotubeJump, &indexed(indices), 1);
    assert!(Ring::build(Algorithm::NanotubeJump, &indexed(&[Some(1), Some(0)]), 1).is_ok());
    let want = |message: &str, id: &str| {
        (format!("hash \"nanotube/jump\" with {message}"), Some(id.to_owned()))
    };
    assert_eq!(
        refusal(&[Some(0), None, Some(0)]),
        want(
            "target \"b\" without an index: nanotube orders targets by index; number them 0 to 2",
            "b"
        )
    );
    assert_eq!(
        refusal(&[Some(0), Some(1), Some(0)]),
        want(
            "index 0 of target \"c\", which is that of target \"a\": nanotube orders targets by index; give each its own",
            "c"
        )
    );
    assert_eq!(
        refusal(&[Some(0), Some(3), Some(1)]),
        want(
            "index 3 of target \"b\": nanotube has a bucket for each index, and none may be missing; number the targets 0 to 2",
            "b"
        )
    );
}
