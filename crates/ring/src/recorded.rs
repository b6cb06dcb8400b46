//! The recorded answers of other relays; `testdata/README.md` says how they were recorded.
//!
//! Every ring of every file is built from its list of targets and asked for every answer; the numbers of rings and
//! answers are asserted, so that a file cut short does not pass.

use crate::points::Point;
use crate::ring::points_of;
use crate::testing::{joined, lines, placed, ring_sha256, unescape};
use crate::{Algorithm, CarbonHash, CharSign, Key, Members, Place, Ring, c_relay};
use serde_json::Value;
use std::collections::HashMap;

/// Each family: its file, how many rings and answers it has, edges included.
const FAMILIES: [(&str, &str, usize, usize); 12] = [
    ("carbon-carbon_ch", include_str!("../testdata/carbon-carbon_ch.jsonl"), 32, 11_005),
    ("carbon-fnv1a_ch", include_str!("../testdata/carbon-fnv1a_ch.jsonl"), 11, 3_882),
    ("carbon-mmh3_ch", include_str!("../testdata/carbon-mmh3_ch.jsonl"), 9, 2_952),
    ("carbon-fast", include_str!("../testdata/carbon-fast.jsonl"), 9, 2_700),
    ("ccr-carbon_ch", include_str!("../testdata/ccr-carbon_ch.jsonl"), 26, 11_108),
    ("ccr-fnv1a_ch", include_str!("../testdata/ccr-fnv1a_ch.jsonl"), 20, 8_587),
    ("ccr-jump_fnv1a_ch", include_str!("../testdata/ccr-jump_fnv1a_ch.jsonl"), 19, 6_821),
    ("ccr-any_of", include_str!("../testdata/ccr-any_of.jsonl"), 9, 3_231),
    ("ccr-char", include_str!("../testdata/ccr-char.jsonl"), 12, 4_308),
    ("nanotube-jump", include_str!("../testdata/nanotube-jump.jsonl"), 9, 3_231),
    ("ng-v1", include_str!("../testdata/ng-consistentHashing.jsonl"), 13, 5_779),
    ("ng-v2", include_str!("../testdata/ng-consistentHashing-v2.jsonl"), 13, 5_385),
];

const KEYS_TEXT: &str = include_str!("../testdata/keys-text.txt");
const KEYS_RAW: &str = include_str!("../testdata/keys-raw.txt");
const POINTS: &str = include_str!("../testdata/rings.jsonl");

/// A recorded ring, and ours.
struct Recorded {
    json: Value,
    members: Members,
    ring: Ring,
}

impl Recorded {
    fn new(line: &str) -> Self {
        let json: Value = serde_json::from_str(line).unwrap();
        let members = members(&json);
        let replicas = usize::try_from(json["r"].as_u64().unwrap_or(1)).unwrap();
        let ring = Ring::build(algorithm(&json), &members, replicas);
        let ring = ring.unwrap_or_else(|error| panic!("{}: {error}", json["id"]));
        Self { json, members, ring }
    }

    /// Checks one answer and what must agree with it.
    fn check(&self, key: &[u8], want: &str) {
        let key = Key::new(key);
        let located = self.ring.locate(&key);
        let owners = self.ring.owners(&key);
        assert_eq!(joined(&owners), self.sent(want), "{} {key:?} {located:?}", self.json["id"]);
        assert_eq!(owners[..], self.ring.owners_at(located.position)[..]);
        assert_eq!(owners[..], located.owners[..]);
        assert_eq!(owners.len(), self.ring.replicas());
    }

    /// carbon finds a lone target twice, but sends to the set of what it finds, so once; we find it once.
    fn sent<'a>(&self, want: &'a str) -> &'a str {
        let twice = self.json["hash"].is_string() && self.members.len() == 1 && want == "0.0";
        if twice { "0" } else { want }
    }

    fn points(&self) -> Vec<Point> {
        points_of(self.ring.algorithm(), &self.members).unwrap()
    }

    fn check_points(&self) {
        let points = self.points();
        assert_eq!(points.len() as u64, self.json["ring_len"], "{}", self.json["id"]);
        let digest = ring_sha256(&points, self.ring.space());
        assert_eq!(digest, self.json["ring_sha256"], "{}", self.json["id"]);
    }
}

fn members(json: &Value) -> Members {
    let list = json["nodes"].as_array().unwrap().iter().enumerate();
    let list = list.map(|(at, node)| {
        let index = json["index"][at].as_u64().map(|index| u16::try_from(index).unwrap());
        let place = Place {
            host: node[0].as_str().unwrap().to_owned(),
            port: u16::try_from(node[1].as_u64().unwrap()).unwrap(),
            instance: node[2].as_str().map(str::to_owned),
            index,
        };
        placed(&format!("target-{at}"), place)
    });
    Members::try_new(list.collect()).unwrap()
}

fn algorithm(json: &Value) -> Algorithm {
    let char = match json["char"].as_str() {
        None | Some("signed") => CharSign::Signed,
        Some("unsigned") => CharSign::Unsigned,
        Some(other) => panic!("char {other}"),
    };
    if let Some(kind) = json["type"].as_str() {
        return match kind {
            "carbon_ch" => Algorithm::CRelayCarbonCh,
            "fnv1a_ch" => Algorithm::CRelayFnv1aCh(char),
            "jump_fnv1a_ch" => Algorithm::CRelayJump(char),
            "any_of" => Algorithm::CRelayAnyOf(char),
            "jump" => Algorithm::NanotubeJump,
            other => panic!("type {other}"),
        };
    }
    if let Some(v2) = json["fix"].as_bool() {
        return if v2 { Algorithm::RelayNgV2 } else { Algorithm::RelayNgV1 };
    }
    let fast = json["fast"].as_bool().unwrap_or(false);
    let hash = match json["hash"].as_str() {
        Some("carbon_ch") => CarbonHash::CarbonCh,
        Some("fnv1a_ch") => CarbonHash::Fnv1aCh,
        Some("mmh3_ch") => CarbonHash::Mmh3Ch,
        None if fast => CarbonHash::Mmh3Ch, // carbon's default of this method
        other => panic!("hash {other:?}"),
    };
    let diverse = json["diverse"].as_bool().unwrap();
    if fast { Algorithm::CarbonFast { hash, diverse } } else { Algorithm::Carbon { hash, diverse } }
}

/// Calls `check` with each recorded ring.
fn each_recorded(mut check: impl FnMut(&str, &Recorded)) {
    for (family, text, rings, _) in FAMILIES {
        assert_eq!(lines(text).count(), rings, "{family}");
        lines(text).for_each(|line| check(family, &Recorded::new(line)));
    }
}

#[test]
fn every_recorded_key_has_its_recorded_owners() {
    let mut answers = HashMap::new();
    each_recorded(|family, recorded| {
        let count = answers.entry(family.to_owned()).or_insert(0);
        for (file, want) in recorded.json["want"].as_object().unwrap() {
            let keys = match file.as_str() {
                "text" => KEYS_TEXT,
                "raw" => KEYS_RAW,
                other => panic!("no key file {other}"),
            };
            let want: Vec<&str> = want.as_str().unwrap().split(' ').collect();
            assert_eq!(lines(keys).count(), want.len());
            for (key, want) in lines(keys).zip(want) {
                recorded.check(&unescape(key), want);
                *count += 1;
            }
        }
        for edge in recorded.json["edge"].as_array().into_iter().flatten() {
            recorded.check(&unescape(edge[0].as_str().unwrap()), edge[1].as_str().unwrap());
            *count += 1;
        }
    });
    for (family, _, _, want) in FAMILIES {
        assert_eq!(answers[family], want, "{family}");
    }
}

#[test]
fn every_ring_has_its_recorded_points() {
    let mut checked = 0;
    each_recorded(|_, recorded| {
        if recorded.json["ring_sha256"].is_string() {
            recorded.check_points();
            checked += 1;
        }
    });
    assert_eq!(checked, 137);
}

#[test]
fn every_recorded_order_of_buckets_is_met() {
    let mut checked = 0;
    each_recorded(|_, recorded| {
        if let Some(order) = recorded.json["order"].as_array() {
            let ours = c_relay::order(&recorded.members);
            let ours: Vec<usize> = ours.into_iter().map(usize::from).collect();
            assert_eq!(serde_json::json!(ours), serde_json::json!(order));
            checked += 1;
        }
    });
    assert_eq!(checked, 23);
}

/// Says where a ring differs, and so comes first when a digest does not match.
#[test]
fn every_recorded_list_of_points_is_met() {
    let mut recorded_points: HashMap<String, Value> = HashMap::new();
    for line in lines(POINTS) {
        let mut ring: Value = serde_json::from_str(line).unwrap();
        recorded_points.insert(ring["id"].as_str().unwrap().to_owned(), ring["points"].take());
    }
    let mut checked = 0;
    each_recorded(|_, recorded| {
        let id = recorded.json["id"].as_str().unwrap();
        let Some(want) = recorded_points.get(id) else { return };
        let space = recorded.ring.space();
        for (at, ours) in recorded.points().iter().enumerate() {
            let ours = serde_json::json!([space.signed(ours.position), usize::from(ours.owner)]);
            assert_eq!(ours, want[at], "{id} point {at}");
            checked += 1;
        }
    });
    assert_eq!(checked, 48_313);
}

/// The point that `locate` names is the first at or after the key, in the original's numbers.
#[test]
fn the_point_of_a_key_is_that_of_the_original() {
    each_recorded(|family, recorded| {
        if recorded.json["ring_sha256"].is_null() || family == "carbon-fast" {
            return;
        }
        let points = recorded.points();
        let space = recorded.ring.space();
        for key in lines(KEYS_TEXT).map(unescape) {
            let located = recorded.ring.locate(&Key::new(&key));
            let at = points.partition_point(|point| point.position < located.position);
            let point = points[at % points.len()];
            assert_eq!(located.spot, crate::Spot::Point(space.signed(point.position)));
            assert_eq!(located.owners[0], point.owner);
        }
    });
}
