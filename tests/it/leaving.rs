//! What a reload makes of what a target that it takes out was sent, and may not have got.

use std::{collections::BTreeSet, io::Write, net::TcpStream, path::Path, time::Instant};

use coco_tests::{
    coco::Coco,
    ledger::Ledger,
    process::folder,
    sink::LineSink,
    wait::{SOON, wait_until},
};

/// Fewer than the kernels take from a connection that nobody reads.
const LINES: u64 = 3_000;

/// Targets by id, and what becomes of what is on disk for one that goes.
fn config(targets: &[(&str, &LineSink)], spool: Option<(&Path, &str)>, more: &str) -> String {
    let target = |(id, sink): &(&str, &LineSink)| {
        format!("{{ address = \"{}\", id = \"{id}\" }}", sink.address())
    };
    let targets = targets.iter().map(target).collect::<Vec<_>>().join(", ");
    let spool = spool.map(|(directory, on_change)| {
        format!("[spool]\ndirectory = {directory:?}\non_change = \"{on_change}\"\n")
    });
    format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n{}{more}[tiers.carbon]\nprotocol = \"graphite\"\n\
         targets = [{targets}]\n",
        spool.unwrap_or_default()
    )
}

/// Starts a Coco whose target `a` has not read what it was sent; how many lines that are.
fn start(config: &str, a: &LineSink) -> (Coco, u64) {
    a.pause();
    let coco = Coco::start(config);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    let lines = (0..LINES).flat_map(|n| format!("name{n}.x {n} 1700000000\n").into_bytes());
    client.write_all(&lines.collect::<Vec<_>>()).unwrap();
    let ledger = coco.wait_for_ledger("all to be sent", SOON, |ledger| {
        let sent = ledger.of_all("sent");
        if sent == LINES { Ok(()) } else { Err(format!("{sent} sent")) }
    });
    let at_a = in_doubt(&ledger, a);
    assert_eq!(at_a, ledger.sent("carbon", &a.address().to_string(), "sent"), "{ledger}");
    (coco, at_a)
}

/// The same, and then `a` dies.
fn start_dead(config: &str, a: LineSink) -> (Coco, u64) {
    let (coco, at_a) = start(config, &a);
    let label = a.address().to_string();
    drop(a);
    coco.wait_for_ledger("its end to be noticed", SOON, |ledger| {
        match ledger.sent("carbon", &label, "disconnects") {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    (coco, at_a)
}

fn in_doubt(ledger: &Ledger, target: &LineSink) -> u64 {
    ledger.sent("carbon", &target.address().to_string(), "in_doubt")
}

/// How many different lines have come.
fn arrived(sinks: &[&LineSink]) -> u64 {
    let lines: BTreeSet<_> = sinks.iter().flat_map(|sink| sink.lines()).collect();
    u64::try_from(lines.len()).unwrap()
}

#[test]
fn a_dead_target_that_gets_another_address_gets_there_what_it_had_not_read() {
    let [a, new] = [LineSink::start(), LineSink::start()];
    let (dir, label) = (folder(), a.address().to_string());
    let spool = Some((dir.path(), "keep"));
    let (coco, at_a) = start_dead(&config(&[("a", &a)], spool, ""), a);
    assert_eq!(at_a, LINES);
    coco.reload(&config(&[("a", &new)], spool, ""));
    wait_until("every line at the new address", SOON, || arrived(&[&new]) == LINES);
    let ledger = coco.settle();
    assert_eq!(ledger.sent("carbon", &label, "in_doubt"), 0, "{ledger}");
    assert_eq!(ledger.sent("carbon", &label, "rerouted"), LINES, "{ledger}");
    assert!(coco.log().contains("samples=3000"), "{}", coco.log());
    coco.stop();
}

#[test]
fn what_a_dead_target_had_not_read_goes_to_the_new_owners() {
    let [a, b] = [LineSink::start(), LineSink::start()];
    let dir = folder();
    let spool = Some((dir.path(), "reroute"));
    let (coco, at_a) = start_dead(&config(&[("a", &a), ("b", &b)], spool, ""), a);
    assert!(at_a > 0 && at_a < LINES, "{at_a}");
    coco.reload(&config(&[("b", &b)], spool, ""));
    wait_until("every line at the other one", SOON, || arrived(&[&b]) == LINES);
    coco.settle();
    coco.stop();
}

#[test]
fn what_a_dead_target_had_not_read_stays_in_doubt_where_it_can_go_nowhere() {
    let [a, b] = [LineSink::start(), LineSink::start()];
    let (label, more) = (a.address().to_string(), "[limits]\ndrain_timeout = \"1s\"\n");
    let (coco, at_a) = start_dead(&config(&[("a", &a), ("b", &b)], None, more), a);
    coco.reload(&config(&[("b", &b)], None, more));
    let said = format!(
        "taken out; it may not have got its last samples tier=\"carbon\" target={label:?} samples={at_a}"
    );
    wait_until("word of that", SOON, || coco.log().contains(&said));
    let ledger = coco.stop().ledger;
    assert_eq!(ledger.sent("carbon", &label, "in_doubt"), at_a, "{ledger}");
    assert_eq!(ledger.shed_in_all(), 0, "{ledger}");
}

#[test]
fn a_target_that_is_taken_out_reads_all_before_it_is_said_to_have_got_it() {
    for spool in [true, false] {
        let [a, b] = [LineSink::start(), LineSink::start()];
        let dir = folder();
        let spool = spool.then_some((dir.path(), "keep"));
        let (coco, at_a) = start(&config(&[("a", &a), ("b", &b)], spool, ""), &a);
        coco.reload(&config(&[("b", &b)], spool, ""));
        // Its worker has ended its half by then, and no word has come.
        let ledger = coco.settle();
        assert_eq!((in_doubt(&ledger, &a), a.count()), (at_a, 0), "{ledger}");
        assert!(!coco.log().contains("nothing is left"), "{}", coco.log());
        a.resume();
        coco.wait_for_ledger("nothing in doubt", SOON, |ledger| match in_doubt(ledger, &a) {
            0 => Ok(()),
            count => Err(format!("{count} in doubt")),
        });
        assert_eq!(u64::try_from(a.count()).unwrap(), at_a, "each line once");
        assert_eq!(arrived(&[&a, &b]), LINES);
        if spool.is_some() {
            let said = || coco.log().contains("taken out, and nothing is left for it");
            wait_until("word of its end", SOON, said);
        }
        coco.stop();
    }
}

#[test]
fn a_stop_does_not_wait_for_one_that_was_taken_out() {
    for spool in [true, false] {
        let [a, b] = [LineSink::start(), LineSink::start()];
        let dir = folder();
        let spool = spool.then_some((dir.path(), "keep"));
        let (coco, at_a) = start(&config(&[("a", &a), ("b", &b)], spool, ""), &a);
        coco.reload(&config(&[("b", &b)], spool, ""));
        let begun = Instant::now();
        let ledger = coco.stop().ledger;
        assert!(begun.elapsed() < SOON, "it has 30 s");
        let label = a.address().to_string();
        // On disk if there is one, else in doubt.
        let [in_doubt, spooled] =
            ["in_doubt", "spooled"].map(|name| ledger.sent("carbon", &label, name));
        assert_eq!((in_doubt, spooled), if spool.is_some() { (0, at_a) } else { (at_a, 0) });
    }
}
