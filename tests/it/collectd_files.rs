use std::{collections::BTreeSet, fs, io::Write, net::TcpStream, time::Duration};

use coco_tests::{
    coco::{self, Coco, targets},
    collectd::Collectd,
    fake::{Endpoint, Manner},
    process::folder,
    sink::{LineSink, UdpSink},
    store,
    wait::{SOON, wait_for, wait_until},
};
use serde_json::{Value, json};

/// A file of `deploy/collectd` with what stands in it for the reader's own machines replaced.
fn shipped(name: &str, replaced: &[(&str, &str)]) -> String {
    let path = coco::root().join("deploy/collectd").join(name);
    let mut text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    for (from, to) in replaced {
        assert_eq!(text.matches(from).count(), 1, "{from} in {name}");
        text = text.replace(from, to);
    }
    text
}

/// The keys that a curl_json file asks for.
fn keys(text: &str) -> Vec<String> {
    let key = |line: &str| {
        let rest = line.trim().strip_prefix("<Key \"")?;
        Some(rest.strip_suffix("\">").expect("a key in quotes").to_owned())
    };
    text.lines().filter_map(key).collect()
}

/// The paths to the numbers that a key takes in, joined by dashes as curl_json names them.
fn paths(value: &Value, key: &str) -> Vec<String> {
    let (step, rest) = key.split_once('/').map_or((key, None), |(step, rest)| (step, Some(rest)));
    let Some(map) = value.as_object() else { return Vec::new() };
    let taken = map.iter().filter(|(name, _)| step == "*" || *name == step);
    taken
        .flat_map(|(name, below)| match rest {
            Some(rest) => paths(below, rest).iter().map(|path| format!("{name}-{path}")).collect(),
            None if below.is_number() => vec![name.clone()],
            None => Vec::new(),
        })
        .collect()
}

/// Waits until the values of each key have been stored under `instance`, and asserts that collectd has
/// complained of nothing.
#[track_caller]
fn assert_collected(reader: Collectd, vars: &Value, keys: &[String], instance: &str) {
    let due: BTreeSet<_> = keys.iter().map(|key| (key, paths(vars, key).len())).collect();
    for (key, count) in &due {
        assert!(*count > 0, "{key} takes in nothing of {vars:#}");
    }
    let wanted: BTreeSet<String> = keys.iter().flat_map(|key| paths(vars, key)).collect();
    let folder = reader.path(&format!("csv/agent.example/curl_json-{instance}"));
    wait_for("the value of every key", SOON, || {
        let stored = store::csv_series(&folder);
        let stored: Vec<_> = stored.iter().filter(|(_, lines)| !lines.is_empty()).collect();
        // Under its path, or for errors under the name that the file gives.
        let is_missing = |path: &&String| {
            let error = path.split_once("-errors-").map(|(_, kind)| kind.replace('.', "-"));
            let names = [Some((*path).clone()), error.map(|kind| format!("errors-{kind}"))];
            !stored.iter().any(|(series, _)| {
                names.iter().flatten().any(|name| series.ends_with(&format!("-{name}")))
            })
        };
        let missing: Vec<_> = wanted.iter().filter(is_missing).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("missing {missing:?}")) }
    });
    assert_no_complaint(reader);
}

fn assert_no_complaint(reader: Collectd) {
    let stopped = reader.stop();
    for word in ["not found", "arning", "rror:", "ailed", "No such"] {
        assert!(!stopped.log().contains(word), "{word} in the log:\n{}", stopped.log());
    }
}

#[test]
fn curl_json_reads_every_key_that_the_file_for_coco_names() {
    let (sink, spool) = (LineSink::start(), folder());
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[spool]\ndirectory = {:?}\n\
         [tiers.archive]\nprotocol = \"graphite\"\n{}",
        spool.path().join("spool"),
        targets(&[sink.address().to_string()])
    ));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(b"a 1 1700000000\nno line\n").unwrap();
    wait_until("the line", SOON, || sink.count() == 1);
    let text = shipped("curl_json-coco.conf", &[("localhost:9090", &coco.api().to_string())]);
    let reader = Collectd::start("deployed", &[("DEPLOYED", &text)]);
    let (vars, keys) = (coco.get_json("/debug/vars"), keys(&text));
    assert!(keys.len() > 30, "{keys:?}");
    // All that Coco 1.x had is among them.
    for line in coco_tests::corpus::text("peers/curl_json.conf.in").lines() {
        assert!(!line.contains("<Key") || text.contains(line.trim()), "{line} is missing");
    }
    assert_collected(reader, &vars, &keys, "coco");
    drop(client);
    coco.stop();
}

#[test]
fn curl_json_reads_every_key_that_the_file_for_noodle_names() {
    // As noodle of Coco 1.x answers.
    let vars = json!({ "cmdline": ["noodle"], "coco": {}, "noodle": {
        "fetch.tier.requests": { "shortterm": 7 },
        "fetch.target.requests": { "10.0.0.1:25826": 7, "total": 7 },
        "fetch.target.response.codes": { "200": 6, "500": 1 },
        "fetch.bytes.proxied": 12_345,
        "errors": {
            "fetch.con.get": 0, "fetch.http.get": 1, "fetch.ioutil.readall": 0,
            "fetch.json.unmarshal": 0, "fetch.json.marshal": 0,
        },
    } });
    let noodle = Endpoint::start(Manner::Answer("200 OK", vars.to_string()));
    let address = noodle.address().to_string();
    let text = shipped("curl_json-noodle.conf", &[("localhost:9080", &address)]);
    let reader = Collectd::start("deployed", &[("DEPLOYED", &text)]);
    assert_collected(reader, &vars, &keys(&text), "noodle");
}

#[test]
fn an_agent_sends_by_the_network_file() {
    let sink = UdpSink::start();
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\n{}",
        targets(&[sink.address().to_string()])
    ));
    let port = coco.listener("collectd").port().to_string();
    let replaced =
        [("coco.example", "127.0.0.1"), ("25826", &port), ("FlushInterval 10", "FlushInterval 1")];
    let text = shipped("network.conf", &replaced);
    let agent = Collectd::start("deployed", &[("DEPLOYED", &text)]);
    wait_until("values of the load", SOON, || {
        sink.records().iter().any(|record| record.identity().plugin == b"load")
    });
    assert_no_complaint(agent);
    coco.stop();
}

#[test]
fn an_agent_sends_by_the_write_graphite_file_and_connects_anew() {
    let sink = LineSink::start();
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.archive]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string()])
    ));
    let port = coco.listener("line-tcp").port().to_string();
    let text = shipped(
        "write_graphite.conf",
        &[("coco.example", "127.0.0.1"), ("2003", &port), ("Interval 10", "Interval 1")],
    );
    let agent = Collectd::start("deployed", &[("DEPLOYED", &text)]);
    wait_until("lines of the load", SOON, || {
        let is_load = |line: &Vec<u8>| line.starts_with(b"collectd.agent_example.load.load.");
        sink.lines().iter().filter(|line| is_load(line)).count() >= 6
    });
    let connections = "coco_listen_connections_total";
    wait_for("a second connection", Duration::from_secs(30), || {
        let metrics = coco.get("/metrics").body;
        let line =
            metrics.lines().find(|line| line.starts_with(connections) && line.contains("line-tcp"));
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        if count >= Some(2) { Ok(()) } else { Err(format!("{line:?}")) }
    });
    assert_no_complaint(agent);
    coco.settle();
    coco.stop();
}
