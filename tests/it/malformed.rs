use std::net::UdpSocket;

use coco_tests::{
    coco::{Coco, targets},
    corpus,
    datagram::{self, Identity, Record},
    sink::UdpSink,
    wait::{SOON, wait_until},
};
use serde_json::Value;

const GOOD_HOST: &str = "good.example";

#[test]
fn after_each_malformed_case_a_good_datagram_still_arrives() {
    check(&corpus::json_lines("data/collectd/malformed/cases.jsonl"), |case| {
        let datagrams = case["datagrams"].as_array().unwrap();
        (datagrams.iter().map(text).map(corpus::hex).collect(), &case["collectd"]["accepted"])
    });
}

#[test]
fn after_each_fuzzed_datagram_a_good_one_still_arrives() {
    check(&corpus::json_lines("data/collectd/malformed/fuzz.jsonl"), |case| {
        (vec![corpus::hex(text(&case["datagram"]))], &case["accepted"])
    });
}

/// Sends all cases to one process; what a collectd without keys accepted must come out.
fn check(cases: &[Value], parts: fn(&Value) -> (Vec<Vec<u8>>, &Value)) {
    let sink = UdpSink::start();
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\n{}",
        targets(&[sink.address().to_string()])
    ));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(coco.listener("collectd")).unwrap();
    let (mut sent, mut seen) = (0, 0);
    for case in cases {
        let id = text(&case["id"]);
        let (datagrams, accepted) = parts(case);
        for datagram in &datagrams {
            socket.send(datagram).unwrap();
        }
        socket.send(&datagram::gauge(GOOD_HOST, "after", id, 1_795_000_000, 1.0)).unwrap();
        sent += datagrams.len() as u64 + 1;
        let good = |record: &Record| record.identity().type_instance == id.as_bytes();
        wait_until(&format!("the good datagram after {id}"), SOON, || {
            sink.records()[seen..].iter().any(good)
        });
        let records = sink.records();
        if is_without_keys(case) && !has_number_quirk(case) {
            for accepted in accepted.as_array().unwrap() {
                let due = identity(accepted);
                let arrived = records[seen..].iter().any(|record| slashless(record) == due);
                assert!(arrived, "{id}: collectd takes {accepted}");
            }
        }
        seen = records.len();
    }
    let ledger = coco.settle();
    assert_eq!(ledger.received("collectd", "raw"), sent, "{ledger}");
    assert!(ledger.rejected("collectd", "") > 0, "{ledger}");
    for fate in ["ok", "partial", "bad"] {
        assert!(ledger.received("collectd", fate) > 0, "none is {fate}: {ledger}");
    }
    assert!(ledger.rejected("collectd", "encrypted") > 0, "{ledger}");
    coco.stop();
}

/// collectd had no users to check, as Coco has none.
fn is_without_keys(case: &Value) -> bool {
    case["server"]["security_level"] == "None" && case["server"]["auth_file"] == false
}

/// collectd reads past a number part of a wrong length; that is no behaviour to have.
fn has_number_quirk(case: &Value) -> bool {
    let tags = case["tags"].as_array().map_or(&[][..], Vec::as_slice);
    tags.iter().any(|tag| tag == "number-length-quirk" || tag == "overread")
}

fn identity(json: &Value) -> Identity {
    let name = |key: &str| match &json[key]["bytes"] {
        Value::String(bytes) => corpus::hex(bytes),
        _ => text(&json[key]).into(),
    };
    Identity {
        host: name("host"),
        plugin: name("plugin"),
        plugin_instance: name("plugin_instance"),
        kind: name("type"),
        type_instance: name("type_instance"),
    }
}

/// As collectd shows names: it makes them fit for files, Coco must not.
fn slashless(record: &Record) -> Identity {
    let clean = |name: &[u8]| {
        // Up to the first NUL, as in C.
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == b"/" {
            return b"root".to_vec();
        }
        let name = name.strip_prefix(b"/").unwrap_or(name);
        name.iter().map(|byte| if *byte == b'/' { b'_' } else { *byte }).collect()
    };
    let Identity { host, plugin, plugin_instance, kind, type_instance } = record.identity();
    Identity {
        host: clean(host),
        plugin: clean(plugin),
        plugin_instance: clean(plugin_instance),
        kind: clean(kind),
        type_instance: clean(type_instance),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
