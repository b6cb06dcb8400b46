//! The recorded answers of Coco 1.x; `testdata/README.md` says how they were recorded.

use super::*;
use crate::testing::{self, lines, plain_members, ring_sha256, unescape};
use crate::{Algorithm, Key, Ring, Space};
use serde_json::Value;

const VECTORS: &str = include_str!("../../testdata/coco.jsonl");
const KEYS_HOSTS: &str = include_str!("../../testdata/keys-hosts.txt");
const KEYS_RAW: &str = include_str!("../../testdata/keys-raw.txt");

/// Calls `check` for each recorded ring, with a ring of as many targets.
fn each_recorded(mut check: impl FnMut(&Value, &Ring, &Members)) {
    let mut count = 0;
    for line in lines(VECTORS) {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let members = plain_members(recorded["nodes"].as_array().unwrap().len());
        let ring = Ring::build(Algorithm::Coco, &members, 1).unwrap();
        check(&recorded, &ring, &members);
        count += 1;
    }
    assert_eq!(count, 9);
}

fn owner(ring: &Ring, escaped: &str) -> String {
    testing::joined(&ring.owners(&Key::new(&unescape(escaped))))
}

#[test]
fn every_recorded_key_has_its_recorded_owner() {
    each_recorded(|recorded, ring, _| {
        let want = recorded["want"].as_object().unwrap();
        for (file, answers) in want {
            let keys = match file.as_str() {
                "hosts" => KEYS_HOSTS,
                "raw" => KEYS_RAW,
                other => panic!("no key file {other}"),
            };
            let answers: Vec<&str> = answers.as_str().unwrap().split(' ').collect();
            assert_eq!(lines(keys).count(), answers.len());
            for (key, want) in lines(keys).zip(answers) {
                assert_eq!(owner(ring, key), want, "{} {key:?}", recorded["id"]);
            }
        }
        assert_eq!(want.len(), 2);
    });
}

/// Keys that hash exactly onto points, beside them, beyond the last, and onto 0 and 2^32 - 1.
#[test]
fn every_recorded_edge_has_its_recorded_owner() {
    each_recorded(|recorded, ring, _| {
        let edges = recorded["edge"].as_array().unwrap();
        assert!(!edges.is_empty());
        for edge in edges {
            let (key, want) = (edge[0].as_str().unwrap(), edge[1].as_str().unwrap());
            assert_eq!(owner(ring, key), want, "{} {key:?}", recorded["id"]);
        }
    });
}

#[test]
fn every_circle_has_its_recorded_points() {
    each_recorded(|recorded, ring, members| {
        assert_eq!(ring.virtual_replicas() as u64, recorded["replicas"]);
        let points = points(members, u8::try_from(ring.virtual_replicas()).unwrap());
        assert_eq!(points.len() as u64, recorded["ring_len"]);
        let digest = ring_sha256(&points, Space::Crc32);
        assert_eq!(digest, recorded["ring_sha256"], "{}", recorded["id"]);
    });
}

#[test]
fn the_circle_agrees_with_a_scan_of_all_points_at_every_size() {
    for targets in 1..=CocoRing::TARGETS_MAX {
        let members = plain_members(targets);
        let coco = CocoRing::build(&members);
        let points = points(&members, coco.virtual_replicas);
        for key in lines(KEYS_HOSTS).map(unescape) {
            let hash = crc32fast::hash(&key);
            let next =
                points.iter().find(|point| point.position > hash.into()).unwrap_or(&points[0]);
            assert_eq!(coco.circle.owners(hash), [next.owner], "{targets} {key:?}");
            assert_eq!(coco.circle.point(hash), next.position);
        }
    }
}

#[test]
fn shadows_are_the_characters_of_the_positions() {
    let shadows = CocoRing::build(&plain_members(100)).shadows();
    assert_eq!(shadows.len(), 100);
    assert_eq!([&*shadows[0], &*shadows[48], &*shadows[65], &*shadows[99]], ["\0", "0", "A", "c"]);
}
