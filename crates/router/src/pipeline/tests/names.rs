//! Tiers that follow other relays in their names, beside one that does not.

use coco_wire::names::{Allowed, Names};

use super::*;

/// Four tiers of one target each.
fn bench() -> Bench {
    let named =
        |name: &str, names: Names| TierPlan { names, ..tier(name, TargetProtocol::LineTcp, 1, 1) };
    let tiers = vec![
        named("sorted", Names::Sorted),
        named("c-relay", Names::CRelay(Allowed::default())),
        named("nanotube", Names::Nanotube),
        named("as-is", Names::AsIs),
    ];
    Bench::new(tiers, None)
}

/// What arrived in the four tiers, each as one text.
fn route(bench: &mut Bench, lines: &[u8]) -> [String; 4] {
    bench.lines(lines);
    let mut arrived = bench.arrived().into_iter();
    [(); 4].map(|()| {
        let (_, units) = arrived.next().unwrap();
        units.concat().escape_ascii().to_string()
    })
}

/// Copies shed because of their name, by tier.
fn refused(bench: &Bench) -> Vec<u64> {
    let of = |target: &crate::ledger::TargetFates| {
        target.shed.iter().find(|(why, _)| *why == "bad_name").unwrap().1
    };
    bench.ledger().tiers.iter().map(|tier| of(&tier.targets[0])).collect()
}

#[test]
fn each_tier_gets_the_name_that_its_relay_would_send() {
    let mut bench = bench();
    let [sorted, c_relay, nanotube, as_is] = route(&mut bench, b"a..b/c;z=1;y=2  3   4\n");
    assert_eq!(sorted, r"a..b/c;z=1;y=2  3   4\n");
    assert_eq!(c_relay, r"a.b_c;z=1;y=2 3 4\n");
    assert_eq!(nanotube, r"a.b_c_z_1_y_2 3 4\n");
    assert_eq!(as_is, sorted);
    assert_eq!(refused(&bench), [0, 0, 0, 0]);
}

#[test]
fn a_clean_line_goes_on_as_it_came_but_for_a_time_of_now() {
    let mut bench = bench();
    let arrived = route(&mut bench, b"a.b;c=d\t1  2\nx 1  -1\n.y 1 -1\n");
    let as_it_came = format!(r"a.b;c=d\t1  2\nx 1  {NOW}\n.y 1 {NOW}\n");
    let cleaned = as_it_came.replace(".y", "y");
    assert_eq!(arrived[0], as_it_came);
    assert_eq!(arrived[1], cleaned);
    assert_eq!(arrived[2], format!(r"a.b_c_d 1 2\nx 1  {NOW}\ny 1 {NOW}\n"));
    assert_eq!(arrived[3], as_it_came);
}

#[test]
fn a_line_that_only_some_relays_take_goes_to_those_and_keeps_its_place() {
    let mut bench = bench();
    let arrived = route(&mut bench, b"first 1 2\n\xffx\x01 1 2\n.\tdotted 1 2\nlast 1 2\n");
    assert_eq!(arrived[0], r"first 1 2\nlast 1 2\n");
    assert_eq!(arrived[1], r"first 1 2\n_x_ 1 2\ndotted 1 2\nlast 1 2\n");
    assert_eq!(arrived[2], r"first 1 2\n_x_ 1 2\nlast 1 2\n");
    assert_eq!(arrived[3], r"first 1 2\n\xffx\x01 1 2\nlast 1 2\n");
    assert_eq!(refused(&bench), [2, 0, 1, 1]);
    assert_eq!(bench.ledger().samples.decoded, 4);
}

#[test]
fn a_name_of_which_nothing_is_left_is_shed_where_that_is_so() {
    let mut bench = bench();
    let arrived = route(&mut bench, b"... 1 2\n");
    assert_eq!(arrived, [r"... 1 2\n", "", "", r"... 1 2\n"]);
    assert_eq!(refused(&bench), [0, 1, 1, 0]);
}

#[test]
fn what_no_relay_takes_is_malformed() {
    let mut bench = bench();
    let arrived = route(&mut bench, b"a 1\na b c d\na nan 1\n\n");
    assert_eq!(arrived, [""; 4]);
    assert_eq!(bench.ledger().samples.malformed, 4);
    assert_eq!(bench.ledger().samples.decoded, 0);
}

#[test]
fn the_lookup_follows_the_rule_of_each_tier() {
    let tiers = [Names::Sorted, Names::CRelay(Allowed::default()), Names::Nanotube];
    let tiers = tiers.map(|names| TierPlan { names, ..tier("t", TargetProtocol::LineTcp, 50, 1) });
    let bench = Bench::new(tiers.to_vec(), None);
    let routes = bench.shared.routes.load();
    let owners =
        |name: &[u8]| routes.owners(name).into_iter().map(|t| t.targets).collect::<Vec<_>>();
    let raw = |key: &[u8]| routes.owners_raw(key).remove(0).targets;
    let asked = owners(b"a..b;z=1;y=2");
    assert_eq!(asked, [raw(b"a..b;y=2;z=1"), raw(b"a.b"), raw(b"a.b_z_1_y_2")]);
    assert_eq!(owners(b"..."), [raw(b"..."), vec![], vec![]]);
    let explained = routes.explain(b"a..b;z=1");
    let placed = explained.tiers[1].placed.as_ref().unwrap();
    assert_eq!((placed.name.as_slice(), placed.key.as_slice()), (&b"a.b;z=1"[..], &b"a.b"[..]));
    assert_eq!([placed.owners[0].label], *asked[1]);
    assert!(explained.tiers[1].placed.is_some());
    assert!(routes.explain(b"...").tiers[1].placed.is_none());
}

#[test]
fn where_a_name_ends_is_decided_by_each_rule() {
    let named =
        |name: &str, names| TierPlan { names, ..tier(name, TargetProtocol::LineTcp, 20, 1) };
    let tiers = vec![named("nanotube", Names::Nanotube), named("sorted", Names::Sorted)];
    let mut bench = Bench::new(tiers, None);
    // A blank to Unicode, and part of the name to nanotube.
    let names: Vec<_> = (0..100).map(|n| format!("web{n}\u{a0}")).collect();
    bench.lines(names.iter().map(|name| format!("{name} 1 2\n")).collect::<String>().as_bytes());
    let mut seen = 0;
    for (target, units) in bench.arrived() {
        for unit in units {
            let line = String::from_utf8(unit).unwrap();
            let name = line.split([' ', '\u{a0}']).next().unwrap();
            let owners = bench.shared.routes.load_full();
            let owners = owners.owners_raw(name.as_bytes());
            assert!(
                owners.iter().any(|tier| tier.targets.contains(&&*target)),
                "{line:?} {target}"
            );
            assert_eq!(name.ends_with("__"), target.starts_with("nanotube"), "{line:?} {target}");
            seen += 1;
        }
    }
    assert_eq!(seen, 200);
    assert_eq!(bench.ledger().samples.malformed, 0);
}
