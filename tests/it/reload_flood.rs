use std::time::Instant;

use coco_tests::{
    coco::{Coco, targets},
    flood::Flood,
    marks::Marks,
};

/// As many as one reload a second allows in the time that a test may take; those without that bound are in
/// `crates/router/tests/reload.rs`.
const RELOADS: usize = 12;

const SAMPLES_MAX: usize = 10_000_000;

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
    let flood = Flood {
        lines: (coco.listener("line-tcp"), &lines),
        lists: (coco.listener("collectd"), &lists),
    };
    let began_at = Instant::now();
    let sent = flood.during(|| {
        for round in 1..=RELOADS {
            let changes = coco.reload(&config(round));
            assert_eq!(changes["targets"]["added"].as_array().map(Vec::len), Some(2), "{changes}");
            coco.ledger().assert_balanced();
        }
    });
    let seconds = began_at.elapsed().as_secs_f64();
    println!("{} lines and {} datagrams in {seconds:.1} s, {RELOADS} reloads", sent.0, sent.1);
    flood.wait_for_all(sent);
    coco.ledger().assert_balanced();
    let ledger = coco.settle();
    assert_eq!((ledger.shed_in_all(), ledger.kernel_dropped()), (0, 0), "{ledger}");
    for address in &lines.addresses()[..3] {
        let disconnects = ledger.sent("lines", &address.to_string(), "disconnects");
        assert_eq!(disconnects, 0, "{address}: {ledger}");
    }
    assert_eq!(coco.ledger().samples("decoded"), (sent.0 + sent.1) as u64);
    coco.stop();
    flood.assert_once_each(sent);
}
