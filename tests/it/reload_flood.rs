use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use coco_tests::{
    coco::{Coco, targets},
    flood::{Within, feed_lines, feed_lists},
    marks::Marks,
    wait::{SOON, wait_until},
};

/// As many as one reload a second allows in the time that a test may take; those without that bound are in
/// `crates/router/tests/reload.rs`.
const RELOADS: usize = 12;

const SAMPLES_MAX: usize = 10_000_000;

const LINES: Within = Within { ahead: 40_000, most: SAMPLES_MAX };
const LISTS: Within = Within { ahead: 500, most: SAMPLES_MAX };

fn pick(marks: &Marks, which: &[usize]) -> String {
    let address = |&at: &usize| marks.addresses()[at].to_string();
    targets(&which.iter().map(address).collect::<Vec<_>>())
}

#[test]
fn reloads_under_a_flood_lose_nothing() {
    let (lines, lists) = (Marks::of_lines(5, SAMPLES_MAX), Marks::of_lists(5, SAMPLES_MAX));
    let config = |round: usize| {
        let which = [0, 1, 2, 3 + round % 2];
        // Beside the targets a listener and the filter come and go.
        let more = match round % 2 {
            0 => "",
            _ => "pickle = \"127.0.0.1:0\"\n[filter]\nblacklist = \"nothing\"\n",
        };
        format!(
            "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n{more}\
             [tiers.lists]\n{}[tiers.lines]\nprotocol = \"graphite\"\n{}",
            pick(&lists, &which),
            pick(&lines, &which)
        )
    };
    let coco = Coco::start(&config(0));
    let (line_to, list_to) = (coco.listener("line-tcp"), coco.listener("collectd"));
    let stop = AtomicBool::new(false);
    let (line_count, list_count) = thread::scope(|scope| {
        let line_feeder = scope.spawn(|| feed_lines(line_to, &lines, &stop, LINES));
        let list_feeder = scope.spawn(|| feed_lists(list_to, &lists, &stop, LISTS));
        let began_at = Instant::now();
        for round in 1..=RELOADS {
            let changes = coco.reload(&config(round));
            assert_eq!(changes["targets"]["added"].as_array().map(Vec::len), Some(2), "{changes}");
            coco.ledger().assert_balanced();
        }
        let seconds = began_at.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        let sent = (line_feeder.join().unwrap(), list_feeder.join().unwrap());
        println!("{} lines and {} datagrams in {seconds:.1} s, {RELOADS} reloads", sent.0, sent.1);
        sent
    });
    wait_until("the last samples", SOON, || {
        coco.ledger().assert_balanced();
        lines.arrived() >= line_count && lists.arrived() >= list_count
    });
    let ledger = coco.settle();
    assert_eq!((ledger.shed_in_all(), ledger.kernel_dropped()), (0, 0), "{ledger}");
    for address in &lines.addresses()[..3] {
        let disconnects = ledger.sent("lines", &address.to_string(), "disconnects");
        assert_eq!(disconnects, 0, "{address}: {ledger}");
    }
    assert_eq!(coco.ledger().samples("decoded"), (line_count + list_count) as u64);
    coco.stop();
    lines.assert_once_each(line_count);
    lists.assert_once_each(list_count);
}
