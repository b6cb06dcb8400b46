//! When chunks are handed over, and what small datagrams become.

use super::*;

fn queued(bench: &Bench) -> Vec<u64> {
    let held = |target: &Arc<crate::target::Target>| target.queue.held().queued;
    bench.shared.routes.load().targets.iter().map(held).collect()
}

#[test]
fn a_quiet_target_is_fed_at_once_and_what_lingers_counts_as_held() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::LineTcp, 1, 1)], None);
    bench.batch(|pipeline, from| pipeline.lines(b"a 1 1\n", from));
    assert_eq!(queued(&bench), [1]);
    // Not within a millisecond, unless the machine sleeps in between.
    let mut lingered = 0;
    for _ in 0..1000 {
        bench.batch(|pipeline, from| pipeline.lines(b"a 2 2\n", from));
        lingered += u64::from(bench.pipeline.lingers());
        bench.ledger();
    }
    assert!(lingered > 900, "{lingered} of 1000 lingered");
    assert_eq!(bench.ledger().tiers[0].targets[0].queued, 1001);
    bench.pipeline.hand_over_all();
    assert_eq!((queued(&bench), bench.pipeline.lingers()), (vec![1001], false));
    assert_eq!(bench.arrived()[0].1.len(), 1001);
}

#[test]
fn a_full_chunk_does_not_wait() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::LineTcp, 1, 1)], None);
    let lines = b"a.name.of.some.length 1 1700000000\n".repeat(1000);
    for _ in 0..3 {
        bench.batch(|pipeline, from| pipeline.lines(&lines, from));
        assert!(!bench.pipeline.lingers());
    }
    assert_eq!(queued(&bench), [3000]);
}

#[test]
fn small_datagrams_for_one_target_leave_together() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::Collectd, 1, 1)], None);
    let plugins: Vec<_> = (0..10).map(|n| format!("plugin{n}")).collect();
    bench.feed(|pipeline, from| {
        for plugin in &plugins {
            pipeline.datagram(&datagram(&[("web01", plugin)]), from);
        }
    });
    let units = bench.arrived().remove(0).1;
    assert_eq!(units.len(), 1);
    assert!(contents(&units[0]).into_iter().map(|(_, plugin)| plugin).eq(plugins));
}

#[test]
fn lines_and_datagrams_for_one_target_are_never_in_one_chunk() {
    let mut bench = Bench::new(vec![tier("e", TargetProtocol::Embedded, 1, 1)], None);
    let sent = datagram(&[("web01", "cpu"), ("web01", "load"), ("web01", "df")]);
    for _ in 0..3 {
        bench.batch(|pipeline, from| pipeline.lines(b"a 1 1\n", from));
        bench.batch(|pipeline, from| pipeline.datagram(&sent, from));
    }
    let units = bench.arrived().remove(0).1;
    let lines = units.iter().filter(|unit| *unit == b"a 1 1\n").count();
    let lists: usize =
        units.iter().filter(|unit| unit[0] == 0).map(|unit| contents(unit).len()).sum();
    assert_eq!((lines, lists), (3, 9));
}
