use std::{collections::BTreeSet, fs, net::UdpSocket};

use coco_tests::{
    coco::{self, Coco, targets},
    collectd::Collectd,
    corpus, datagram,
    process::folder,
    sink::UdpSink,
    store,
    wait::{SOON, wait_for},
};
use serde_json::Value;

/// A configuration with every key that Coco 1.x knows; only the ports to bind are replaced.
const SAMPLE: &str = include_str!("../data/coco-1.x.toml");

const RINGS: &str = "../crates/ring/testdata";

#[test]
fn a_configuration_of_coco_1x_runs_unchanged() {
    let config =
        SAMPLE.replace("0.0.0.0:25826", "127.0.0.1:0").replace("0.0.0.0:9090", "127.0.0.1:0");
    let coco = Coco::start(&config);
    let lookup = coco.lookup(b"foo");
    let tiers: Vec<_> = lookup.as_object().unwrap().keys().collect();
    assert_eq!(
        BTreeSet::from_iter(tiers),
        BTreeSet::from([&"shortterm".into(), &"midterm".into()])
    );
    let ports = ["shortterm", "midterm"].map(|tier| lookup[tier].as_str().unwrap().to_owned());
    assert!(["127.0.0.1:25827", "127.0.0.1:25828"].contains(&&*ports[0]), "{lookup}");
    assert!(["127.0.0.1:25829", "127.0.0.1:25830"].contains(&&*ports[1]), "{lookup}");

    let tiers = coco.get_json("/tiers");
    let names: Vec<_> = tiers.as_array().unwrap().iter().map(|tier| &tier["name"]).collect();
    assert_eq!(names, ["shortterm", "midterm"], "the order of the file");
    for key in ["targets", "shadows", "routes", "virtual_replicas", "connections"] {
        assert!(!tiers[0][key].is_null(), "no {key} in {}", tiers[0]);
    }
    assert_eq!(coco.get_json("/blacklisted"), serde_json::json!({}));
    let vars = coco.get_json("/debug/vars");
    for key in ["cmdline", "memstats", "coco", "noodle"] {
        assert!(!vars[key].is_null(), "no {key} in /debug/vars");
    }
    let log = coco.stop().log;
    assert!(log.contains("hash = \"coco\""), "no word about the new ring:\n{log}");
}

#[test]
fn the_old_ring_gives_every_recorded_answer_through_the_api_and_the_command_line() {
    let rings = corpus::json_lines(&format!("{RINGS}/coco.jsonl"));
    // What is hashed is the number of targets and their order; their names are free.
    let label = |target: &str| format!("127.0.0.1:{}", 20_000 + target.parse::<u32>().unwrap());
    let mut config = "[listen]\nbind = \"127.0.0.1:0\"\n".to_owned();
    for ring in &rings {
        let count = ring["nodes"].as_array().unwrap().len();
        let labels: Vec<_> = (0..count).map(|target| label(&target.to_string())).collect();
        let id = ring["id"].as_str().unwrap();
        config += &format!("[tiers.{id}]\nhash = \"coco\"\n{}", targets(&labels));
    }
    // (tier, key, address)
    let mut due = Vec::new();
    for ring in &rings {
        let id = ring["id"].as_str().unwrap();
        for file in ["hosts", "raw"] {
            let keys = corpus::text(&format!("{RINGS}/keys-{file}.txt"));
            let answers = ring["want"][file].as_str().unwrap().split(' ');
            let keys: Vec<_> = keys.lines().map(corpus::unescape).collect();
            assert_eq!(keys.len(), answers.clone().count());
            due.extend(keys.into_iter().zip(answers).map(|(key, to)| (id, key, label(to))));
        }
        let edges = ring["edge"].as_array().unwrap().iter().map(|edge| {
            (id, corpus::unescape(edge[0].as_str().unwrap()), label(edge[1].as_str().unwrap()))
        });
        due.extend(edges);
    }
    assert!(due.len() > 3_000);

    let coco = Coco::start(&config);
    for (tier, key, address) in &due {
        assert_eq!(coco.owner(tier, key), *address, "{tier}: {}", key.escape_ascii());
    }

    let folder = folder();
    let file = folder.path().join("coco.toml");
    fs::write(&file, &config).unwrap();
    let lines: Vec<_> = due.iter().filter(|(_, key, _)| !key.contains(&b'\n')).collect();
    for ring in &rings {
        let id = ring["id"].as_str().unwrap();
        let lines: Vec<_> = lines.iter().filter(|(tier, ..)| *tier == id).collect();
        let names: Vec<_> = lines.iter().map(|(_, key, _)| &key[..]).collect();
        let arguments = ["lookup", "--raw", "--tier", id, "--config", file.to_str().unwrap()];
        let output = coco::run(&arguments, &[names.join(&b'\n'), b"\n".to_vec()].concat());
        let wanted: Vec<_> = lines
            .iter()
            .map(|(tier, key, to)| [key, format!("\t{tier}\t{to}\n").as_bytes()].concat())
            .collect();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{error}");
        assert!(output.stdout == wanted.concat(), "coco lookup --raw --tier {id} differs");
    }
    coco.stop();
}

#[test]
fn curl_json_collects_every_counter_by_the_old_paths() {
    let sinks = [(); 4].map(|()| UdpSink::start());
    let addresses = sinks.each_ref().map(|sink| sink.address().to_string());
    let tiers = [("shortterm", &addresses[..2]), ("midterm", &addresses[2..])];
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[filter]\nblacklist = \"/(irq|users)/\"\n\
         [tiers.shortterm]\n{}[tiers.midterm]\n{}",
        targets(tiers[0].1),
        targets(tiers[1].1)
    ));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(coco.listener("collectd")).unwrap();
    let hosts: Vec<_> = (0..20).map(|number| format!("host{number}.example")).collect();
    for host in &hosts {
        for plugin in ["load", "users"] {
            socket.send(&datagram::gauge(host, plugin, "x", 1_795_000_000, 1.0)).unwrap();
        }
    }
    coco.wait_for_ledger("all samples", SOON, |ledger| match ledger.samples("decoded") {
        40 => Ok(()),
        decoded => Err(decoded.to_string()),
    });
    coco.settle();
    coco.lookup(b"foo");
    let blacklisted = coco.get_json("/blacklisted");
    assert_eq!(blacklisted.as_object().map(|hosts| hosts.len()), Some(20), "{blacklisted}");

    // The instances that curl_json makes of the paths, and what must be stored under them.
    let mut due = vec![
        ("operations-coco-listen-raw".to_owned(), Some(40)),
        ("operations-coco-listen-decoded".to_owned(), Some(40)),
        ("operations-coco-filter-accepted".to_owned(), Some(20)),
        ("operations-coco-filter-rejected".to_owned(), Some(20)),
        ("operations-coco-send-total".to_owned(), Some(40)),
        ("queue_length-coco-queues-raw".to_owned(), Some(0)),
        ("queue_length-coco-queues-filtered".to_owned(), Some(0)),
    ];
    for error in [
        "fetch-receive",
        "filter-unhandled",
        "lookup-hash-get",
        "buildtiers-dial",
        "send-write",
        "send-disconnected",
    ] {
        due.push((format!("operations-errors-{error}"), Some(0)));
    }
    let ledger = coco.ledger();
    for (tier, addresses) in tiers {
        due.push((format!("objects-coco-lookup-{tier}"), None));
        for address in addresses {
            let sent = ledger.sent(tier, address, "sent");
            let owned = hosts.iter().filter(|host| coco.owner(tier, host.as_bytes()) == *address);
            let owned = owned.count() as u64;
            due.push((format!("operations-coco-send-{address}"), Some(sent)));
            due.push((format!("objects-coco-hash.hosts-{address}"), Some(owned)));
            due.push((format!("objects-coco-hash.metrics-{address}"), Some(owned)));
        }
        for target in addresses.iter().map(String::as_str).chain(["total"]) {
            for part in ["avg", "min", "max", "95e", "length", "sum"] {
                let path = format!("objects-coco-hash.metrics_per_host-{tier}-{target}-{part}");
                due.push((path, None));
            }
        }
    }

    let reader = Collectd::start("curl_json", &[("API", &coco.api().to_string())]);
    wait_for("every counter", SOON, || {
        let stored = store::csv_series(&reader.path("csv/router.example/curl_json-coco"));
        for (series, value) in &due {
            let lines = stored.get(series).ok_or_else(|| {
                format!("no {series} among {:#?}\n{}", stored.keys(), reader.log())
            })?;
            let last = lines.last().and_then(|line| line.split(',').nth(1)?.parse::<f64>().ok());
            let last = last.ok_or_else(|| format!("no value of {series}"))?;
            if value.is_some_and(|value| value as f64 != last) {
                return Err(format!("{series} is {last}, not {value:?}"));
            }
        }
        Ok(())
    });
    let listed = reader.list();
    for (series, _) in &due {
        let id = format!("router.example/curl_json-coco/{series}");
        assert!(listed.contains(&id), "{id} is not in LISTVAL");
    }
    reader.stop();
    assert!(numbers_only(&coco.get_json("/debug/vars")["coco"]));
    coco.stop();
}

/// curl_json stops at a null; every leaf must be a number.
fn numbers_only(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().all(numbers_only),
        other => other.is_number(),
    }
}
