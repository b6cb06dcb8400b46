//! What a ring refuses, and our own golden vectors.

use super::*;
use crate::slots::owners_of_slots;
use crate::testing::{joined, lines, member, plain_members, unescape};
use serde_json::Value;
use sha2::{Digest, Sha256};

const VECTORS: &str = include_str!("../../testdata/xxh3.jsonl");
const KEYS: &str = include_str!("../../testdata/xxh3-keys.txt");

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
            assert_eq!(joined(ring.owners(&key)), want, "{} {escaped:?}", recorded["id"]);
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

fn refusal(algorithm: Algorithm, members: &Members, replicas: usize) -> String {
    Ring::build(algorithm, members, replicas).unwrap_err().to_string()
}

#[test]
fn replicas_are_1_to_16_and_no_more_than_the_members() {
    for algorithm in Algorithm::ALL {
        let refusal = |members, replicas| refusal(algorithm, &plain_members(members), replicas);
        assert_eq!(refusal(3, 0), "0 replicas: every key needs at least one owner");
        assert_eq!(refusal(3, 4), "4 replicas of 3 targets: add targets or ask for at most 3");
        assert_eq!(refusal(20, 17), "17 replicas: a ring keeps at most 16");
        assert!(refusal(3, usize::MAX).contains("of 3 targets"));
    }
    let ring = Ring::build(Algorithm::Xxh3, &plain_members(16), 16).unwrap();
    assert_eq!(ring.owners(&Key::new(b"")).len(), 16);
}

#[test]
fn coco_refuses_what_coco_1_could_not_run() {
    let refusal = |members: &Members, replicas| refusal(Algorithm::Coco, members, replicas);
    assert!(Ring::build(Algorithm::Coco, &plain_members(100), 1).is_ok());
    let error = refusal(&plain_members(101), 1);
    assert!(error.contains("101 targets"), "{error}");
    assert!(error.contains("coco 1.x itself fails with 101 or more targets"), "{error}");
    let error = refusal(&plain_members(3), 2);
    assert!(error.contains("2 replicas"), "{error}");
    let weighted = vec![member("a", 1, None), member("b", 5, None), member("c", 6, None)];
    let error = refusal(&Members::try_new(weighted).unwrap(), 1);
    assert!(error.contains("weight 5 of target \"b\""), "{error}");
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
}

/// A ring outlives its uses: what the router swaps must be shared, not copied.
#[test]
fn clones_share_one_table() {
    let ring = Ring::build(Algorithm::Xxh3, &plain_members(3), 1).unwrap();
    let clone = ring.clone();
    let key = Key::new(b"web-17.example.com");
    assert!(std::ptr::eq(ring.owners(&key), clone.owners(&key)));
}
