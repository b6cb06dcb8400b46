use std::{collections::BTreeSet, fs, net::UdpSocket};

use coco_tests::{
    coco::{Coco, targets},
    collectd::Collectd,
    corpus,
    sink::UdpSink,
    store,
    wait::{SOON, wait_until},
};
use serde_json::{Value, json};

const CAPTURES: &str = "data/collectd/captures";

#[test]
fn real_collectd_decodes_from_several_hosts_what_was_recorded() {
    through_real_collectd("forward_multihost");
}

#[test]
fn real_collectd_decodes_from_one_host_what_was_recorded() {
    through_real_collectd("plain_default");
}

#[test]
fn every_capture_arrives_byte_for_byte_at_the_owners() {
    let files = store::files(&corpus::file(CAPTURES));
    let names: Vec<_> = files.iter().filter_map(|file| file.strip_suffix(".hex")).collect();
    assert!(!names.is_empty());
    for name in names {
        let sinks = [(); 3].map(|()| UdpSink::start());
        let addresses = sinks.each_ref().map(|sink| sink.address().to_string());
        let coco = start(&[("short", &addresses)]);
        // Without keys an encrypted part is counted, and nothing else becomes of it.
        let (encrypted, plain): (Vec<_>, Vec<_>) =
            recorded(name).into_iter().partition(|json| json["security"] == "encrypt");
        let encrypted: BTreeSet<_> =
            encrypted.iter().filter_map(|json| json["d"].as_u64()).collect();
        let mut due: Vec<_> = plain.iter().map(corpus::record).collect();
        replay(&coco, name);
        let ledger = coco.settle();
        assert_eq!(ledger.shed_in_all(), 0, "{name}: {ledger}");
        let decoded = ledger.samples("decoded") + ledger.samples("notifications");
        assert_eq!(decoded, due.len() as u64, "{name}: {ledger}");
        let rejected = ledger.rejected("collectd", "encrypted");
        assert_eq!(rejected, encrypted.len() as u64, "{name}: {ledger}");
        let count = || sinks.iter().map(|sink| sink.records().len()).sum::<usize>();
        wait_until(&format!("all of {name}"), SOON, || count() >= due.len());

        let mut received = Vec::new();
        for (sink, address) in sinks.iter().zip(&addresses) {
            let records = sink.records();
            let hosts: BTreeSet<_> = records.iter().map(|r| &r.identity().host).collect();
            for host in hosts {
                assert_eq!(coco.owner("short", host), *address, "{name}: owner of {host:?}");
            }
            received.extend(records);
            let longest = sink.datagrams().iter().map(Vec::len).max().unwrap_or_default();
            assert!(longest <= 1452, "{name}: a datagram of {longest} bytes");
        }
        assert_same(name, &mut received, &mut due);
        coco.stop();
    }
}

/// Through Coco into one real collectd in each of two tiers.
fn through_real_collectd(name: &str) {
    let oracles = [Collectd::oracle(), Collectd::oracle()];
    let addresses = oracles.each_ref().map(|oracle| [oracle.address()]);
    let coco = start(&[("short", &addresses[0]), ("mid", &addresses[1])]);
    replay(&coco, name);
    let recorded = recorded(name);
    let due: Vec<_> = recorded.iter().map(comparable).collect();
    for oracle in oracles {
        let dump = || fs::read_to_string(oracle.path("dump.jsonl")).unwrap_or_default();
        wait_until(&format!("all of {name}"), SOON, || dump().lines().count() >= due.len());
        assert_eq!(oracle.udp_drops(), 0);
        let dump = dump();
        let parsed = dump.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut decoded: Vec<_> = parsed.map(|json: Value| comparable(&json)).collect();
        assert_same(name, &mut decoded, &mut due.clone());
        oracle.stop();
    }
    coco.stop();
}

/// What a capture and the oracle both say of a record.
fn comparable(json: &Value) -> String {
    let keys = [
        "kind",
        "host",
        "plugin",
        "plugin_instance",
        "type",
        "type_instance",
        "time",
        "interval",
        "values",
        "severity",
        "message",
    ];
    json!(keys.map(|key| &json[key])).to_string()
}

fn start(tiers: &[(&str, &[String])]) -> Coco {
    let mut config = "[listen]\nbind = \"127.0.0.1:0\"\n".to_owned();
    for (name, addresses) in tiers {
        config += &format!("[tiers.{name}]\n{}", targets(addresses));
    }
    Coco::start(&config)
}

/// Sends every datagram of a capture, the next one when the last one was read.
fn replay(coco: &Coco, name: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(coco.listener("collectd")).unwrap();
    let datagrams = corpus::hex_lines(&format!("{CAPTURES}/{name}.hex"));
    for (number, datagram) in (1..).zip(datagrams) {
        socket.send(&datagram).unwrap();
        coco.wait_for_ledger("the datagram to be read and sent", SOON, |ledger| {
            match (ledger.received("collectd", "raw"), ledger.held()) {
                (raw, 0) if raw == number => Ok(()),
                (raw, held) => Err(format!("{raw} of {number} read, {held} held")),
            }
        });
    }
}

fn recorded(name: &str) -> Vec<Value> {
    corpus::json_lines(&format!("{CAPTURES}/{name}.jsonl"))
}

/// The same things the same number of times; the first difference is shown, not all of them.
fn assert_same<T: Ord + std::fmt::Debug>(name: &str, received: &mut [T], due: &mut [T]) {
    received.sort();
    due.sort();
    let difference = received.iter().zip(due.iter()).find(|(received, due)| received != due);
    assert!(difference.is_none(), "{name}: received and due: {difference:#?}");
    assert_eq!(received.len(), due.len(), "{name}");
}
