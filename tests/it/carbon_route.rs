use std::fs;

use coco_tests::{carbon, corpus, owners, process::folder};
use serde_json::{Value, json};

/// Names asked, each in all tiers.
const NAMES: usize = 10_000;

/// Some share a host, some have no instance. carbon's fast-hashing has no order for two that have the
/// same hash; no two of these have.
const DESTINATIONS: [&str; 10] = [
    "10.0.0.1:2004:a",
    "10.0.0.1:2104:b",
    "10.0.0.2:2004:c",
    "10.0.0.2:2104",
    "carbon-3.example.com:2004:a",
    "carbon-3.example.com:2104:it's",
    "carbon-4.example.com:2004",
    "2001-db8--5.example.com:2004:e",
    "10.0.0.6:2004:\u{fc}",
    "10.0.0.6:2104:1",
];

#[test]
fn a_name_has_the_owners_that_carbon_gives_it_in_that_order() {
    let mut random = corpus::random();
    let mut relays = Vec::new();
    for kind in ["carbon_ch", "fnv1a_ch", "mmh3_ch"] {
        for (replicas, diverse) in [(1, true), (1, false), (2, true), (2, false)] {
            let hash = format!("hash = \"carbon/{kind}\"");
            relays.push(relay(&mut random, "consistent-hashing", kind, &hash, replicas, diverse));
        }
    }
    for kind in ["mmh3_ch", "carbon_ch"] {
        for (replicas, diverse) in [(1, true), (2, true), (2, false)] {
            let hash = format!("hash = \"carbon/fast\"\nfast_hash = \"{kind}\"");
            relays.push(relay(&mut random, "fast-hashing", kind, &hash, replicas, diverse));
        }
    }
    compare(&mut random, relays);
}

#[test]
fn many_destinations_have_their_names_though_their_points_collide() {
    let mut random = corpus::random();
    let mut hosts: Vec<_> = (1..=64).collect();
    random.shuffle(&mut hosts);
    let destinations: Vec<_> = hosts.iter().map(|n| format!("10.0.{n}.1:2004:{n}")).collect();
    let relay = |kind: &str| {
        let section = json!({
            "RELAY_METHOD": "consistent-hashing",
            "ROUTER_HASH_TYPE": kind,
            "DESTINATIONS": destinations.join(", "),
        });
        (section, format!("hash = \"carbon/{kind}\"\ntargets = {destinations:?}\n"))
    };
    let relays = ["carbon_ch", "fnv1a_ch"].map(relay);
    compare(&mut random, relays.to_vec());
}

#[test]
fn defaults_are_those_of_carbon() {
    let mut random = corpus::random();
    let mut relays = Vec::new();
    for (method, hash) in [("consistent-hashing", "carbon_ch"), ("fast-hashing", "fast")] {
        let destinations = destinations(&mut random);
        let section = json!({ "RELAY_METHOD": method, "DESTINATIONS": destinations.join(", ") });
        relays.push((section, format!("hash = \"carbon/{hash}\"\ntargets = {destinations:?}\n")));
    }
    compare(&mut random, relays);
}

#[test]
fn normalized_tags_give_the_owners_that_carbon_gives_them() {
    let mut random = corpus::random();
    let hash = "hash = \"carbon/carbon_ch\"\nnormalize_tags = true";
    let (mut section, tier) = relay(&mut random, "consistent-hashing", "carbon_ch", hash, 2, true);
    section["TAG_RELAY_NORMALIZED"] = "true".into();
    compare(&mut random, vec![(section, tier)]);
}

/// The `[relay]` section of a carbon.conf, and what the tier of Coco says that stands for it.
type Relay = (Value, String);

fn relay(
    random: &mut fastrand::Rng,
    method: &str,
    hash_type: &str,
    hash: &str,
    replicas: usize,
    diverse: bool,
) -> Relay {
    let destinations = destinations(random);
    let section = json!({
        "RELAY_METHOD": method,
        "ROUTER_HASH_TYPE": hash_type,
        "REPLICATION_FACTOR": replicas,
        "DIVERSE_REPLICAS": diverse,
        "DESTINATIONS": destinations.join(", "),
    });
    let tier = format!("{hash}\nreplicas = {replicas}\ndiverse = {diverse}\n");
    (section, format!("{tier}targets = {destinations:?}\n"))
}

/// Three or more of the destinations, in any order: carbon's rings depend on it.
fn destinations(random: &mut fastrand::Rng) -> Vec<&'static str> {
    let mut destinations = DESTINATIONS.to_vec();
    random.shuffle(&mut destinations);
    destinations.truncate(random.usize(3..=DESTINATIONS.len()));
    destinations
}

#[track_caller]
fn compare(random: &mut fastrand::Rng, relays: Vec<Relay>) {
    let (sections, tiers): (Vec<_>, Vec<_>) = relays.into_iter().unzip();
    let mut config = "[graphite]\nbind = \"127.0.0.1:0\"\n".to_owned();
    for (number, tier) in tiers.iter().enumerate() {
        config += &format!("[tiers.t{number:02}]\nprotocol = \"graphite-pickle\"\n{tier}");
    }
    let folder = folder();
    let file = folder.path().join("coco.toml");
    fs::write(&file, config).unwrap();

    // Carbon takes text only, and a blank of Unicode ends a name.
    let name = |number| corpus::untidy_name(random, number);
    let text = |name: Vec<u8>| String::from_utf8_lossy(&name).replace(char::is_whitespace, "_");
    let names: Vec<_> = (0..NAMES).map(name).map(text).collect();
    let theirs = carbon::routes(&sections, &names);
    let ours = owners::lookup(&file, &names);
    for (name, theirs) in names.iter().zip(theirs) {
        let ours = &ours[name.as_bytes()];
        for (number, due) in theirs.iter().enumerate() {
            let owners = ours[&format!("t{number:02}")].join(",");
            let section = &sections[number];
            assert_eq!(owners, *due, "{name} under {section:#}");
        }
    }
}
