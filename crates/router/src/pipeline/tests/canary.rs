//! Canaries of each protocol, as the data path sees them.

use super::*;
use crate::canary::{CanaryFate, HOST, NAME};

/// The owner's tier and the fate of each copy.
fn seen(bench: &Bench) -> Vec<(Option<String>, CanaryFate)> {
    let (_, seen) = bench.shared.canaries.look(&bench.shared);
    seen.into_iter().map(|seen| (seen.owner.map(|(tier, ..)| tier), seen.fate)).collect()
}

fn armed(tiers: Vec<TierPlan>, blacklist: Option<&str>) -> Bench {
    let bench = Bench::new(tiers, blacklist);
    bench.shared.canaries.arm();
    bench
}

fn of(tier: &str, fate: CanaryFate) -> (Option<String>, CanaryFate) {
    (Some(tier.to_owned()), fate)
}

/// Canaries by the count of all targets.
fn counted(bench: &Bench) -> u64 {
    let ledger = bench.ledger();
    ledger.tiers.iter().flat_map(|tier| &tier.targets).map(|target| target.canaries).sum()
}

const BESIDE: &str = "a 1 1\ncoco.canary.verify.not 1 1\nx.coco.canary.verify 1 1\n";

#[test]
fn a_line_is_held_by_its_owner_in_each_tier_and_then_sent() {
    let tiers =
        vec![tier("t", TargetProtocol::LineTcp, 3, 1), tier("u", TargetProtocol::Pickle, 3, 2)];
    let mut bench = armed(tiers, None);
    bench.lines(format!("{BESIDE}{NAME} 1 1700000000\r\n{BESIDE}{NAME} 2 N").as_bytes());
    let owners = bench
        .shared
        .routes
        .load()
        .owners(NAME.as_bytes())
        .iter()
        .flat_map(|owned| {
            owned.targets.iter().map(|target| (*target).to_owned()).collect::<Vec<_>>()
        })
        .collect::<Vec<_>>();
    let (is_armed, copies) = bench.shared.canaries.look(&bench.shared);
    assert!(is_armed);
    let targets: Vec<_> = copies
        .iter()
        .map(|copy| copy.owner.clone().map(|(_, target, _)| target).unwrap())
        .collect();
    assert_eq!(targets.len(), 6);
    for copies in targets.chunks(3) {
        let mut due = owners.clone();
        due.retain(|owner| !copies.contains(owner));
        assert!(due.is_empty(), "{targets:?} {owners:?}");
    }
    assert!(copies.iter().all(|copy| copy.fate == CanaryFate::Held), "{copies:?}");
    let lines: usize = bench.arrived().into_iter().map(|(_, units)| units.len()).sum();
    assert!(lines > 8, "all the others go on too");
    assert!(seen(&bench).iter().all(|(_, fate)| *fate == CanaryFate::Sent), "{:?}", seen(&bench));
    assert_eq!((bench.ledger().samples.decoded, counted(&bench)), (8, 6));
}

#[test]
fn a_datapoint_of_a_pickle_is_one() {
    let mut bench = armed(vec![tier("t", TargetProtocol::LineTcp, 3, 1)], None);
    let frame = b"(lp0\n(S'coco.canary.verify'\np1\n(I1700000000\nF1.5\ntp2\ntp3\na.";
    bench.feed(|pipeline, from| pipeline.pickle(frame, from));
    assert_eq!(seen(&bench), [of("t", CanaryFate::Held)]);
    bench.feed(|pipeline, from| pipeline.pickle(&frame[..40], from));
    assert_eq!(seen(&bench)[1], (None, CanaryFate::Malformed));
}

#[test]
fn a_datagram_of_its_host_is_one() {
    let tiers = vec![
        tier("t", TargetProtocol::Collectd, 3, 1),
        tier("u", TargetProtocol::Embedded, 3, 1),
        tier("lines", TargetProtocol::LineTcp, 3, 1),
    ];
    let mut bench = armed(tiers, None);
    bench.datagram(&datagram(&[(HOST, "coco")]));
    assert_eq!(seen(&bench), [of("t", CanaryFate::Held), of("u", CanaryFate::Held)]);
    bench.datagram(&datagram(&[("web01", "cpu")]));
    bench.datagram(&datagram(&[(HOST, "coco"), ("web01", "cpu")]));
    assert_eq!(seen(&bench).len(), 2, "not of its host alone");
    bench.datagram(&[b"\x00\x00\x00\x10coco-canary".as_slice(), &[0xff; 9]].concat());
    assert_eq!(seen(&bench)[2], (None, CanaryFate::Malformed));
    assert_eq!(counted(&bench), 2);
}

#[test]
fn what_never_gets_an_owner_is_told_apart() {
    let mut bench = armed(vec![tier("t", TargetProtocol::LineTcp, 2, 1)], Some("canary"));
    bench.lines(format!("{NAME} 1 1\n{NAME} one 1\n{NAME}\n").as_bytes());
    bench.datagram(&datagram(&[("web01", "canary")]));
    let fates = [CanaryFate::Filtered, CanaryFate::Malformed, CanaryFate::Malformed];
    assert_eq!(seen(&bench), fates.map(|fate| (None, fate)));
    let mut bench = armed(vec![tier("t", TargetProtocol::LineTcp, 2, 1)], None);
    bench.datagram(&datagram(&[(HOST, "coco")]));
    assert_eq!(seen(&bench), [(None, CanaryFate::Unroutable)]);
    let mut graphite = tier("t", TargetProtocol::Collectd, 1, 1);
    graphite.datagram_bytes_max = 24;
    let mut bench = armed(vec![graphite], None);
    bench.datagram(&datagram(&[(HOST, "coco")]));
    assert_eq!(seen(&bench), [of("t", CanaryFate::Shed)], "it fits into no datagram");
    bench.ledger();
}

#[test]
fn they_are_passed_over_unless_they_are_looked_for() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::LineTcp, 2, 1)], None);
    bench.lines(format!("{NAME} 1 1\n").as_bytes());
    assert_eq!(bench.shared.canaries.look(&bench.shared), (false, Vec::new()));
    bench.shared.canaries.arm();
    let many = format!("{NAME} 1 1\n").repeat(1_000);
    bench.lines(many.as_bytes());
    assert_eq!(seen(&bench).len(), 64, "of one batch");
    (0..30).for_each(|_| bench.lines(many.as_bytes()));
    assert_eq!(seen(&bench).len(), 1024, "of all");
    bench.shared.canaries.arm();
    assert_eq!(seen(&bench), []);
}

#[tokio::test(start_paused = true)]
async fn looking_for_them_ends_by_itself() {
    let mut bench = armed(vec![tier("t", TargetProtocol::LineTcp, 2, 1)], None);
    bench.lines(format!("{NAME} 1 1\n").as_bytes());
    tokio::time::advance(Duration::from_secs(11)).await;
    bench.lines(format!("{NAME} 1 1\n").as_bytes());
    let (is_armed, copies) = bench.shared.canaries.look(&bench.shared);
    assert_eq!((is_armed, copies.len()), (false, 1));
    tokio::time::advance(Duration::from_secs(58)).await;
    assert_eq!(seen(&bench).len(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(seen(&bench), []);
}
