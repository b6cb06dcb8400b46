use std::{
    io::Write,
    net::TcpStream,
    time::{SystemTime, UNIX_EPOCH},
};

use coco_tests::{
    c_relay::{CRelay, Cluster},
    carbon::{self, Carbon, send_pickles},
    collectd::{Collectd, CollectdTg},
    corpus,
    sink::{LineSink, UdpSink},
    store,
    wait::{SOON, wait_until},
};
use serde_json::json;

#[test]
fn an_agent_straight_to_a_node_is_stored_whole() {
    let node = Collectd::node("node");
    let agent = Collectd::agent("agent.example", node.port(), &["load", "memory"]);
    let load = "agent.example/load/load";
    wait_until("three values of load", SOON, || {
        store::csv_series(&node.path("csv")).get(load).is_some_and(|lines| lines.len() >= 3)
    });
    assert!(agent.list().contains(load));
    agent.ask(&[
        "PUTVAL \"h1/app-x/gauge-y\" interval=1 N:42".to_owned(),
        "PUTNOTIF severity=warning time=1795000000 host=h1 message=\"hello there\"".to_owned(),
    ]);
    wait_until("the notification", SOON, || node.log().contains("message = hello there"));
    let agent = agent.stop();
    let sent = store::csv_series(&agent.path("csv"));
    wait_until("everything", SOON, || store::csv_series(&node.path("csv")) == sent);
    assert_eq!(node.udp_drops(), 0);
    let node = node.stop();
    let series = store::rrd_series(&node.path("rrd"));
    assert_eq!(series, sent.keys().cloned().collect());
    let info = &store::rrd_infos(&node.path("rrd"), &series)[load];
    assert!(info.contains("step = 1\n"), "{info}");
    let last = &store::rrd_last_updates(&node.path("rrd"), &series)[load];
    assert!(last.contains(':'), "{last}");
}

#[test]
fn carbon_stores_what_it_is_sent_by_pickle() {
    let carbon = Carbon::start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs();
    let time = now - now % 60;
    let port = carbon.pickle_address().split_once(':').unwrap().1.parse().unwrap();
    send_pickles(port, &format!("a.b -0.125 {time}\nc;z=1;a=2 1e300 {time}\n"));
    let names = ["a.b", "c;z=1;a=2", "none"].map(str::to_owned);
    wait_until("both names", SOON, || carbon.stored(&names).len() == 2);
    let stored = carbon.stored(&names);
    assert_eq!(stored["a.b"], (time, "-0.125".to_owned()));
    assert_eq!(stored["c;z=1;a=2"], (time, "1e+300".to_owned()));
    assert_eq!(carbon.file_count(), 2);
}

#[test]
fn the_routers_of_carbon_answer_as_recorded() {
    let text = corpus::text("data/graphite/lines-carbon.tsv");
    let header = text.lines().next().unwrap().split_once('\t').unwrap().1;
    let destinations: Vec<(String, u16, String)> = serde_json::from_str(header).unwrap();
    let text_of = |(host, port, instance): &_| format!("{host}:{port}:{instance}");
    let destinations: Vec<String> = destinations.iter().map(text_of).collect();
    let section = |normalized: &str| {
        json!({
            "RELAY_METHOD": "consistent-hashing",
            "DESTINATIONS": destinations.join(", "),
            "TAG_RELAY_NORMALIZED": normalized,
        })
    };
    let rows: Vec<Vec<_>> = text.lines().map(|row| row.split('\t').collect()).collect();
    let rows: Vec<_> =
        rows.iter().filter(|row| !row[0].starts_with('#') && row[3] != "-").collect();
    assert!(rows.len() > 150);
    let name = |row: &&Vec<&str>| String::from_utf8(corpus::unescape(row[1])).unwrap();
    let names: Vec<_> = rows.iter().map(name).collect();
    let answers = carbon::routes(&[section("false"), section("true")], &names);
    for (row, answers) in rows.iter().zip(answers) {
        let due = [3, 5].map(|column| &destinations[row[column].parse::<usize>().unwrap()][..]);
        assert_eq!(answers, due, "{row:?}");
    }
}

#[test]
fn carbon_c_relay_forwards_lines_and_nothing_of_its_own() {
    let sinks = [LineSink::start(), LineSink::start()];
    let servers = sinks.each_ref().map(|sink| sink.address().to_string());
    let cluster = |kind: &str, servers: &[String]| Cluster {
        kind: kind.to_owned(),
        replication: 1,
        servers: servers.to_vec(),
    };
    let clusters = [cluster("any_of", &servers[..1]), cluster("fnv1a_ch", &servers[1..])];
    let relay = CRelay::start(&clusters, None);
    // The rows of tags are those in which Debian's 3.7.3 is not as later versions, which copy tags.
    let rows = [
        ("a..b/c. 1 1", "a.b_c 1 1"),
        ("a.;b=c/d 1 1", "a.;b=c/d 1 1"),
        ("a;b=c..d 1 1", "a;b=c.d 1 1"),
        ("a;.b=c 1 1", "a;b=c 1 1"),
        ("a;b=c\t1  1", "a;b=c 1 1"),
        // The blank goes, and the value has become a tag.
        ("a; 1 1", "a;1 1"),
    ];
    let mut client = TcpStream::connect(relay.address()).unwrap();
    for (line, _) in rows {
        writeln!(client, "{line}").unwrap();
    }
    wait_until("all lines", SOON, || sinks.iter().all(|sink| sink.count() >= rows.len()));
    let log = relay.stop();
    assert!(log.contains("carbon-c-relay v3.7"), "another version, other rows: {log}");
    for sink in &sinks {
        assert_eq!(sink.lines(), rows.map(|(_, forwarded)| forwarded.as_bytes()));
    }
}

#[test]
fn the_traffic_generator_reaches_a_sink() {
    let sink = UdpSink::start();
    let generator = CollectdTg::start(sink.address().port(), 50, 5);
    wait_until("a hundred value lists", SOON, || sink.records().len() > 100);
    generator.stop();
    let records = sink.records();
    let hosts: std::collections::BTreeSet<_> =
        records.iter().map(|record| &record.identity().host).collect();
    assert_eq!(hosts.len(), 5);
}

#[test]
fn an_escaped_key_is_its_bytes() {
    assert_eq!(corpus::unescape("a\\x00b\\xff"), b"a\0b\xff");
}
