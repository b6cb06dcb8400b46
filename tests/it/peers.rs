use std::time::{SystemTime, UNIX_EPOCH};

use coco_tests::{
    carbon::{Carbon, send_pickles},
    collectd::{Collectd, CollectdTg},
    corpus,
    sink::UdpSink,
    store,
    wait::{SOON, wait_until},
};

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
