use std::{io::Write, net::TcpStream, time::Duration};

use coco_tests::{
    coco::{self, Coco, faulty_binary, targets},
    sink::LineSink,
    wait::{SOON, wait_for, wait_until},
};

/// The ledger is wrong when it is so in two seconds in a row.
const FOUND: Duration = Duration::from_secs(20);

/// One with these faults, and where its samples go.
fn start(faults: &str) -> (Coco, LineSink) {
    let sink = LineSink::start();
    let config = format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.a]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string()])
    );
    let coco = Coco::start_as(&config, faulty_binary(), |command| {
        command.env("COCO_FAULTS", faults);
    });
    (coco, sink)
}

/// Number of lines of this kind so far.
fn count(coco: &Coco, kind: &str) -> u64 {
    let log = coco.get_json("/debug/log?level=info");
    let mut kinds = log["kinds"].as_array().unwrap().iter();
    let found = kinds.find(|it| it["kind"].as_str().unwrap().starts_with(kind));
    found.map_or(0, |kind| kind["count"].as_u64().unwrap())
}

fn send(coco: &Coco, lines: usize) {
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(&b"a.name 1 1700000000\n".repeat(lines)).unwrap();
}

#[test]
fn a_build_for_tests_says_so_and_behaves_as_any_other() {
    let (coco, sink) = start("");
    let version = coco.get_json("/debug/vars")["process"]["version"].clone();
    assert!(version.as_str().unwrap().ends_with("+faulty"), "{version}");
    assert_eq!(count(&coco, "this is a build for tests"), 1);
    send(&coco, 1_000);
    wait_until("all lines", SOON, || sink.count() == 1_000);
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
    let usual = std::fs::read(coco::binary()).unwrap();
    let name = b"COCO_FAULTS";
    assert!(!usual.windows(name.len()).any(|it| it == name), "the usual build knows no faults");
}

#[test]
fn a_ledger_that_does_not_add_up_is_found() {
    let (coco, _sink) = start("residual");
    wait_until("the error", FOUND, || count(&coco, "the ledger does not add up") > 0);
    let vars = coco.get_json("/debug/vars");
    assert_eq!(vars["coco"]["ledger.residual"], 1);
    assert_eq!(count(&coco, "this is a build for tests, with faults"), 1);
    // It cannot end as the others do, whose ledger adds up: it is killed.
}

#[test]
fn each_hundredth_sample_is_shed_and_counted() {
    let (coco, sink) = start("shed");
    send(&coco, 10_000);
    let ledger = coco.wait_for_ledger("all of it", SOON, |ledger| {
        let (sent, shed) = (ledger.of_all("sent"), ledger.shed_in_all());
        (sent + shed == 10_000).then_some(()).ok_or(format!("{sent} sent, {shed} shed"))
    });
    assert_eq!(ledger.shed_in_all(), 100, "{ledger}");
    wait_until("all others", SOON, || sink.count() == 9_900);
    coco.stop();
}

#[test]
fn an_error_that_nobody_knows_is_logged_each_second() {
    let (coco, _sink) = start("log");
    wait_for("three of them", FOUND, || match count(&coco, "a line of a kind that nobody knows") {
        3.. => Ok(()),
        lines => Err(format!("{lines} lines")),
    });
    coco.stop();
}
