//! The ledger over changes of the routes, without sockets.

use tokio::time::Instant;

use super::*;
use crate::target::Target;

/// Puts other tiers in force, as a reload does before the shards take their turn.
fn publish(bench: &Bench, tiers: Vec<TierPlan>) -> Arc<Routes> {
    let (blacklist, limits) = (None, Limits::default());
    let plan =
        Plan { listeners: Vec::new(), blacklist, tiers, limits, spool: None, ringless: Vec::new() };
    let shared = &bench.shared;
    let before = shared.routes.load_full();
    let routes = Arc::new(before.next(&plan, &shared.registry));
    shared.roll.store(Arc::new(shared.roll.load().next(&routes, &[])));
    shared.routes.store(routes);
    before
}

fn lines(targets: usize, replicas: usize) -> TierPlan {
    tier("lines", TargetProtocol::LineTcp, targets, replicas)
}

/// Ends a target's worker, which this bench has not got.
fn end(bench: &Bench, target: &Target) -> u64 {
    target.retire(Instant::now());
    target.shed_queued(&bench.shared.gate, target.end_reason())
}

#[test]
fn what_was_routed_before_is_handed_over_before_the_routes_change() {
    let mut bench = Bench::new(vec![lines(2, 1)], None);
    for _ in 0..100 {
        bench.batch(|pipeline, from| pipeline.lines(b"a 1 1\nb 1 1\nc 1 1\nd 1 1\n", from));
    }
    let before = publish(&bench, vec![lines(1, 1)]);
    bench.ledger();
    bench.pipeline.take_routes();
    assert!(!bench.pipeline.lingers());
    let queued = |target: &Arc<Target>| target.queue.held().queued;
    assert_eq!(before.targets.iter().map(queued).sum::<u64>(), 400);
    bench.lines(b"a 2 2\nb 2 2\n");
    assert_eq!(queued(&bench.shared.routes.load().targets[0]), queued(&before.targets[0]));
    let ledger = bench.ledger();
    assert_eq!(ledger.tiers[0].offered(), 402);
    assert_eq!(ledger.tiers[0].targets[1].state, "removed");
}

#[test]
fn what_comes_too_late_for_a_removed_target_is_shed_by_name() {
    let mut bench = Bench::new(vec![lines(1, 1)], None);
    bench.lines(b"first 1 1\n");
    let before = publish(&bench, vec![tier("other", TargetProtocol::LineTcp, 1, 1)]);
    assert_eq!(end(&bench, &before.targets[0]), 1);
    // This shard has not taken its turn: it routes by the old routes until then.
    let Bench { shared, pipeline, listener } = &mut bench;
    pipeline.lines(b"late 1 1\n", &Source { listener, peer: None });
    pipeline.publish(listener, Feeder::Stream, false, &mut Vec::new());
    pipeline.hand_over_all();
    let ledger = Ledger::take(shared);
    assert_eq!(ledger.residual(), 0, "{ledger:#?}");
    let removed = ledger.tiers.iter().find(|tier| tier.name == "lines").unwrap();
    assert!(removed.targets[0].shed.contains(&("retired", 2)), "{removed:?}");
}

#[test]
fn a_tier_that_comes_back_counts_on() {
    let mut bench = Bench::new(vec![lines(2, 1)], None);
    let other = || tier("other", TargetProtocol::LineTcp, 1, 1);
    bench.lines(b"a 1 1\nb 1 1\n");
    publish(&bench, vec![other()]);
    bench.lines(b"a 1 1\n");
    publish(&bench, vec![other(), lines(3, 2)]);
    bench.lines(b"a 1 1\nb 1 1\nc 1 1\n");
    let ledger = bench.ledger();
    let fates = |name: &str| {
        let tier = ledger.tiers.iter().find(|tier| tier.name == name).unwrap();
        (tier.routed, tier.due, tier.offered())
    };
    assert_eq!((fates("lines"), fates("other")), ((5, 8, 8), (4, 4, 4)));
}

#[test]
fn the_ledger_adds_up_over_any_changes() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::new(vec![lines(3, 1)], None);
    let mut sent = 0;
    for _ in 0..300 {
        if random.u8(..) < 60 {
            let targets = random.usize(1..5);
            let mut tiers = vec![lines(targets, random.usize(1..=targets))];
            if random.bool() {
                tiers.push(tier("both", TargetProtocol::Embedded, 2, random.usize(1..3)));
            }
            if random.bool() {
                tiers.insert(0, tier("lists", TargetProtocol::Collectd, 2, 1));
            }
            let before = publish(&bench, tiers);
            bench.ledger();
            bench.pipeline.take_routes();
            let now = bench.shared.routes.load_full();
            for target in &before.targets {
                if !now.targets.iter().any(|other| Arc::ptr_eq(other, target)) {
                    end(&bench, target);
                }
            }
        }
        let names: String = (0..random.u32(1..9)).map(|n| format!("name{n} 1 1\n")).collect();
        sent += names.lines().count() as u64;
        bench.batch(|pipeline, from| {
            pipeline.lines(names.as_bytes(), from);
            pipeline.datagram(&datagram(&[("web01", "cpu"), ("web02", "cpu")]), from);
        });
        sent += 2;
        if random.bool() {
            bench.arrived();
        }
        assert_eq!(bench.ledger().samples.decoded, sent, "seed {seed}");
    }
}
