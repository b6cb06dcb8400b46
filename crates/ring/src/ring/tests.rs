//! Our own golden vectors, and what a ring says of itself.

use super::*;
use crate::slots::owners_of_slots;
use crate::testing::{joined, lines, member, placed, placed_members, plain_members, unescape};
use crate::{CarbonHash, CharSign, Place};
use serde_json::Value;
use sha2::{Digest, Sha256};

const VECTORS: &str = include_str!("../../testdata/xxh3.jsonl");
const KEYS: &str = include_str!("../../testdata/xxh3-keys.txt");

const MMH3: Algorithm = Algorithm::Carbon { hash: CarbonHash::Mmh3Ch, diverse: true };
const FAST: Algorithm = Algorithm::CarbonFast { hash: CarbonHash::Mmh3Ch, diverse: true };

/// Calls `check` with each recorded ring, its members and its replicas.
fn each_recorded(mut check: impl FnMut(&Value, &Members, usize)) {
    let mut count = 0;
    for line in lines(VECTORS) {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let list = recorded["members"].as_array().unwrap().iter();
        let list =
            list.map(|m| member(m[0].as_str().unwrap(), m[1].as_u64().unwrap(), m[2].as_str()));
        let replicas = usize::try_from(recorded["replicas"].as_u64().unwrap()).unwrap();
        check(&recorded, &Members::try_new(list.collect()).unwrap(), replicas);
        count += 1;
    }
    assert!(count >= 12, "{count} rings");
}

#[test]
fn every_recorded_key_has_its_recorded_owners() {
    each_recorded(|recorded, members, replicas| {
        let ring = Ring::build(Algorithm::Xxh3, members, replicas).unwrap();
        let answers: Vec<&str> = recorded["want"].as_str().unwrap().split(' ').collect();
        assert_eq!(lines(KEYS).count(), answers.len());
        for (escaped, want) in lines(KEYS).zip(answers) {
            let bytes = unescape(escaped);
            let key = Key::new(&bytes);
            assert_eq!(joined(&ring.owners(&key)), want, "{} {escaped:?}", recorded["id"]);
            assert_eq!(ring.owner(&key), ring.owners(&key)[0]);
        }
    });
}

#[test]
fn the_first_recorded_slots_have_their_recorded_owners() {
    each_recorded(|recorded, members, replicas| {
        let slots = usize::try_from(recorded["slots"].as_u64().unwrap()).unwrap();
        let text: String = owners_of_slots(members, replicas, 0..slots)
            .chunks_exact(replicas)
            .map(|owners| joined(owners) + "\n")
            .collect();
        let digest: String =
            Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, recorded["slots_sha256"], "{}", recorded["id"]);
    });
}

#[test]
fn a_ring_tells_what_it_was_built_from() {
    let members = plain_members(8);
    let xxh3 = Ring::build(Algorithm::Xxh3, &members, 2).unwrap();
    assert_eq!((xxh3.algorithm(), xxh3.replicas()), (Algorithm::Xxh3, 2));
    assert_eq!(xxh3.virtual_replicas(), 65_536);
    assert_eq!(xxh3.shadows(), None);
    assert_eq!(xxh3.members(), &members);
    assert_eq!(format!("{xxh3:?}"), "Ring { algorithm: Xxh3, members: 8, replicas: 2, .. }");
    let coco = Ring::build(Algorithm::Coco, &members, 1).unwrap();
    assert_eq!((coco.algorithm(), coco.replicas()), (Algorithm::Coco, 1));
    assert_eq!(coco.virtual_replicas(), 34);
    assert_eq!(coco.shadows().unwrap()[7], "\u{7}");
    for (algorithm, virtual_replicas) in
        [(Algorithm::CRelayCarbonCh, 100), (MMH3, 100), (FAST, 1), (Algorithm::NanotubeJump, 1)]
    {
        let ring = Ring::build(algorithm, &placed_members(8), 1).unwrap();
        assert_eq!((ring.algorithm(), ring.virtual_replicas()), (algorithm, virtual_replicas));
        assert_eq!(ring.shadows(), None);
    }
}

#[test]
fn carbon_gives_as_many_owners_as_there_are() {
    let place = |host: &str, instance: &str| Place {
        host: host.to_owned(),
        instance: Some(instance.to_owned()),
        ..Place::default()
    };
    let list = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "z")].into_iter().enumerate();
    let list = list.map(|(at, (host, instance))| placed(&at.to_string(), place(host, instance)));
    let members = Members::try_new(list.collect()).unwrap();
    for hash in [CarbonHash::CarbonCh, CarbonHash::Fnv1aCh, CarbonHash::Mmh3Ch] {
        for (diverse, replicas) in [(true, 2), (false, 4)] {
            for algorithm in
                [Algorithm::Carbon { hash, diverse }, Algorithm::CarbonFast { hash, diverse }]
            {
                let ring = Ring::build(algorithm, &members, 16).unwrap();
                assert_eq!((ring.replicas(), ring.replicas_asked()), (replicas, 16));
                assert_eq!(ring.owners(&Key::new(b"a.b.c")).len(), replicas);
            }
        }
    }
}

#[test]
fn targets_without_keys_are_found_with_those_that_have_their_places() {
    let idle = |algorithm, members: &Members| {
        let idle = Ring::build(algorithm, members, 1).unwrap().idle();
        idle.into_iter().map(|(a, b)| (a.into(), b.into())).collect::<Vec<(usize, usize)>>()
    };
    for algorithm in Algorithm::ALL {
        assert_eq!(idle(algorithm, &placed_members(60)), [], "{algorithm}");
    }
    let one_host = |port| Place { host: "h".to_owned(), port, ..Place::default() };
    let list = [7, 5, 6].map(|port| placed(&port.to_string(), one_host(port)));
    let members = Members::try_new(list.into()).unwrap();
    assert_eq!(idle(Algorithm::CRelayCarbonCh, &members), [(1, 0), (2, 0)]);
    assert_eq!(idle(Algorithm::CRelayFnv1aCh(CharSign::Signed), &members), []);
    // More points than positions: what comes last moves beyond the space.
    let carbon_ch = Algorithm::Carbon { hash: CarbonHash::CarbonCh, diverse: false };
    let found = idle(carbon_ch, &placed_members(800));
    assert!(found.len() > 100 && found.iter().all(|&(idle, owner)| owner < idle), "{found:?}");
    assert_eq!(idle(MMH3, &placed_members(800)), []);
    // Without instances all targets have the same 100 positions.
    let fnv1a_ch = Algorithm::Carbon { hash: CarbonHash::Fnv1aCh, diverse: false };
    let found = idle(fnv1a_ch, &placed_members(700));
    assert!(found.iter().all(|&(_, owner)| owner < 40) && !found.is_empty(), "{found:?}");
}

/// Rings on which walks are long: the next other host is hundreds of thousands of points away.
#[test]
fn the_largest_rings_are_built() {
    for (other, diverse, replicas) in [(1, true, 2), (2_048, false, 16)] {
        let list = (0..4_096).map(|i| {
            let host = if i < other { "a" } else { "b" };
            let instance = Some(i.to_string());
            placed(&i.to_string(), Place { host: host.to_owned(), instance, ..Place::default() })
        });
        let members = Members::try_new(list.collect()).unwrap();
        for hash in [CarbonHash::CarbonCh, CarbonHash::Mmh3Ch] {
            let ring = Ring::build(Algorithm::Carbon { hash, diverse }, &members, 16).unwrap();
            assert_eq!(ring.owners(&Key::new(b"a.b.c")).len(), replicas);
        }
    }
}

#[test]
fn a_digest_is_that_of_the_published_text() {
    let readme = include_str!("../../testdata/README.md");
    let place = |port, instance: Option<&str>| Place {
        host: "10.0.0.1".to_owned(),
        port,
        instance: instance.map(str::to_owned),
        index: None,
    };
    let list =
        vec![placed("store-2", place(2004, Some("b"))), placed("store-1", place(2003, None))];
    let members = Members::try_new(list).unwrap();
    let algorithm = Algorithm::CRelayFnv1aCh(CharSign::Signed);
    let ring = Ring::build(algorithm, &members, 2).unwrap();
    let text = digest::text(&ring);
    let indented: String = lines(&text).map(|line| format!("    {line}\n")).collect();
    assert!(readme.contains(&indented), "{indented}");
    assert!(readme.contains(&format!("`{}`", ring.digest())), "{}", ring.digest());
    assert_eq!(ring.digest().len(), 16);
}

#[test]
fn a_position_is_shown_as_the_original_has_it() {
    let mut negative = 0;
    for algorithm in Algorithm::ALL {
        let ring = Ring::build(algorithm, &placed_members(8), 1).unwrap();
        for number in 0..100 {
            let text = format!("servers.host-{number}.cpu");
            let key = Key::new(text.as_bytes());
            let located = ring.locate(&key);
            let (shown, bits) = (located.shown_position(), located.space.hash_bits());
            assert!(bits == 64 || located.hash < 1 << bits, "{algorithm}: {}", located.hash);
            if located.space == Space::Murmur3 {
                let hash = u32::try_from(located.hash).unwrap();
                assert_eq!(shown, hash.cast_signed().into(), "{algorithm}");
                negative += usize::from(shown < 0);
            } else {
                assert_eq!(shown, located.position.into(), "{algorithm}");
            }
        }
    }
    assert!(negative > 50, "{negative}");
}

/// A ring outlives its uses: what the router swaps must be shared, not copied.
#[test]
fn clones_share_one_table() {
    let ring = Ring::build(Algorithm::Xxh3, &plain_members(3), 1).unwrap();
    let clone = ring.clone();
    let key = Key::new(b"web-17.example.com");
    assert!(std::ptr::eq(&raw const *ring.owners(&key), &raw const *clone.owners(&key)));
}
