use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use coco_tests::{
    coco::{Coco, targets},
    http,
    port::free_port,
    process::Signal,
    sink::LineSink,
    wait::{SOON, wait_until},
};
use serde_json::{Value, json};

/// Line targets behind one listener; `more` is added to the text.
fn config(targets: &str, more: &str) -> String {
    format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n{more}\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{targets}\n"
    )
}

fn of(sinks: &[&LineSink]) -> String {
    targets(&sinks.iter().map(|sink| sink.address().to_string()).collect::<Vec<_>>())
}

fn lines(round: usize, count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| format!("name{n} {round} 1700000000\n").into_bytes()).collect()
}

fn counts(sinks: &[&LineSink]) -> Vec<usize> {
    sinks.iter().map(|sink| sink.count()).collect()
}

#[track_caller]
fn wait_for_lines(sinks: &[&LineSink], due: usize) {
    wait_until("all lines", SOON, || counts(sinks).iter().sum::<usize>() == due);
}

fn epoch(coco: &Coco) -> u64 {
    coco.get_json("/debug/vars")["coco"]["process"]["epoch"].as_u64().unwrap()
}

#[test]
fn targets_come_and_go_while_those_that_stay_keep_connection_and_counts() {
    let [a, b, c] = [LineSink::start(), LineSink::start(), LineSink::start()];
    let coco = Coco::start(&config(&of(&[&a, &b]), ""));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(&lines(0, 300)).unwrap();
    wait_for_lines(&[&a, &b], 300);

    let changes = coco.reload(&config(&of(&[&a, &b, &c]), ""));
    let added = json!([{ "tier": "carbon", "id": c.address().to_string(), "target": c.address().to_string() }]);
    assert_eq!(changes["targets"]["added"], added, "{changes}");
    assert_eq!((epoch(&coco), &changes["epoch"]), (2, &json!(2)));
    client.write_all(&lines(1, 300)).unwrap();
    wait_for_lines(&[&a, &b, &c], 600);
    for name in ["name1", "name2", "name3"] {
        let owner: SocketAddr = coco.owner("carbon", name.as_bytes()).parse().unwrap();
        let sink = [&a, &b, &c].into_iter().find(|sink| sink.address() == owner).unwrap();
        let wanted = format!("{name} 1 1700000000").into_bytes();
        assert!(sink.lines().contains(&wanted), "{name} is not at {owner}");
    }
    let keys = coco.get_json("/debug/vars")["coco"]["hash.hosts"].clone();
    let keys: u64 = keys.as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(keys, 300, "counted anew, and once each");

    let at_c = c.count();
    let changes = coco.reload(&config(&of(&[&a, &b]), ""));
    assert_eq!(changes["targets"]["removed"], added, "{changes}");
    client.write_all(&lines(2, 300)).unwrap();
    wait_for_lines(&[&a, &b, &c], 900);
    assert_eq!((c.count(), epoch(&coco)), (at_c, 3));
    let ledger = coco.settle();
    let label = c.address().to_string();
    assert_eq!(ledger.target("carbon", &label)["state"], "removed");
    assert_eq!(ledger.sent("carbon", &label, "sent"), at_c as u64, "its row stays: {ledger}");
    for sink in [&a, &b] {
        let label = sink.address().to_string();
        assert_eq!(ledger.sent("carbon", &label, "disconnects"), 0, "{ledger}");
    }
    coco.stop();
}

#[test]
fn an_id_keeps_its_names_when_its_address_changes() {
    let [a, b, new] = [LineSink::start(), LineSink::start(), LineSink::start()];
    let with = |second: &LineSink| {
        let target = |id: &str, sink: &LineSink| {
            format!("{{ address = \"{}\", id = \"{id}\" }}", sink.address())
        };
        config(&format!("targets = [{}, {}]", target("a", &a), target("b", second)), "")
    };
    let coco = Coco::start(&with(&b));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(&lines(0, 500)).unwrap();
    wait_for_lines(&[&a, &b], 500);
    let before = counts(&[&a, &b]);

    let changes = coco.reload(&with(&new));
    let moved = json!([{ "tier": "carbon", "id": "b", "target": new.address().to_string() }]);
    assert_eq!(changes["targets"]["changed"], moved, "{changes}");
    assert_eq!(epoch(&coco), 1, "the members are the same");
    client.write_all(&lines(1, 500)).unwrap();
    wait_for_lines(&[&a, &b, &new], 1_000);
    assert_eq!(counts(&[&a, &b, &new]), [2 * before[0], before[1], before[1]]);
    coco.stop();
}

#[test]
fn another_filter_and_other_limits_hold_from_then_on() {
    let sink = LineSink::start();
    let coco = Coco::start(&config(&of(&[&sink]), ""));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(&lines(0, 10)).unwrap();
    wait_for_lines(&[&sink], 10);
    let more =
        "[filter]\nblacklist = \"^name[0-4]$\"\n[limits]\ndrain_timeout = \"7s\"\nconnections = 5";
    let changes = coco.reload(&config(&of(&[&sink]), more));
    assert_eq!((&changes["filter"], &changes["epoch"]), (&json!(true), &json!(1)), "{changes}");
    assert_eq!(changes["limits"], json!(["connections", "drain_timeout"]));
    client.write_all(&lines(1, 10)).unwrap();
    wait_for_lines(&[&sink], 15);
    assert_eq!(coco.ledger().samples("filtered"), 5);
    assert_eq!(coco.reload(&config(&of(&[&sink]), more))["changed"], false);
    let stopped = coco.stop();
    assert!(stopped.log.contains("timeout=7s"), "{}", stopped.log);
}

#[test]
fn listeners_come_and_go_and_clients_of_others_stay() {
    let sink = LineSink::start();
    let second = format!("127.0.0.1:{}", free_port());
    let coco = Coco::start(&config(&of(&[&sink]), ""));
    let mut old = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    let with = config(&of(&[&sink]), "pickle = \"127.0.0.1:0\"\n")
        .replace("bind = \"127.0.0.1:0\"", &format!("bind = [\"127.0.0.1:0\", \"{second}\"]"));
    for round in 0..3 {
        let changes = coco.reload(&with);
        let added = json!([
            format!("line-tcp {second}"),
            format!("line-udp {second}"),
            "pickle 127.0.0.1:0"
        ]);
        assert_eq!(changes["listeners"]["added"], added, "round {round}: {changes}");
        let mut new = TcpStream::connect(&second).unwrap();
        new.write_all(&lines(round, 10)).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.send_to(&lines(round, 10), &second).unwrap();
        old.write_all(&lines(round, 10)).unwrap();
        wait_for_lines(&[&sink], 40 * round + 30);
        // What it has sent before its listener goes is read.
        new.write_all(&lines(round, 10)).unwrap();
        let changes = coco.reload(&config(&of(&[&sink]), ""));
        assert_eq!(changes["listeners"]["removed"], added, "round {round}: {changes}");
        wait_for_lines(&[&sink], 40 * round + 40);
        new.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(new.read(&mut [0]).unwrap(), 0, "its client is closed");
        assert!(TcpStream::connect(&second).is_err());
    }
    let ledger = coco.settle();
    assert_eq!(ledger.received("line-tcp", "decoded"), 90, "the rows of the past stay: {ledger}");
    assert_eq!(ledger.received("line-udp", "decoded"), 30, "{ledger}");
    coco.stop();
}

#[test]
fn a_faulty_file_changes_nothing_and_names_its_faults() {
    let sink = LineSink::start();
    let coco = Coco::start(&config(&of(&[&sink]), ""));
    let before = coco.get_json("/tiers");
    coco.rewrite(
        "[graphite]\nbind = \"127.0.0.1:0\"\nbund = 1\n[tiers.carbon]\nprotocol = \"graphit\"\n",
    );
    let answer = coco.ask_to_reload();
    assert_eq!(answer.status, 422, "{}", answer.body);
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let places =
        told["faults"].as_array().unwrap().iter().map(|f| (f["path"].clone(), f["line"].clone()));
    let wanted = [(json!("graphite.bund"), json!(3)), (json!("tiers.carbon.protocol"), json!(5))];
    assert!(wanted.iter().all(|place| places.clone().any(|p| p == *place)), "{told}");
    for place in ["coco.toml:3: graphite.bund", "coco.toml:5: tiers.carbon.protocol"] {
        wait_until("the fault in the log", SOON, || coco.log().contains(place));
    }
    std::fs::remove_file(coco.config_file()).unwrap();
    let answer = coco.ask_to_reload();
    assert_eq!(
        (answer.status, answer.body.contains("cannot read")),
        (422, true),
        "{}",
        answer.body
    );
    assert_eq!(coco.get_json("/tiers"), before);
    let process = coco.get_json("/debug/vars")["coco"]["process"].clone();
    assert_eq!((&process["reloads"], &process["reload_failures"]), (&json!(0), &json!(2)));
    assert!(coco.get("/metrics").body.contains("\ncoco_reload_failures_total 2\n"));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(&lines(0, 10)).unwrap();
    wait_for_lines(&[&sink], 10);
    coco.stop();
}

#[test]
fn a_port_that_cannot_be_had_leaves_everything_as_it_was() {
    let [sink, other] = [LineSink::start(), LineSink::start()];
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let coco = Coco::start(&config(&of(&[&sink]), ""));
    let before = coco.get_json("/tiers");
    coco.rewrite(&config(&of(&[&sink, &other]), &format!("pickle = \"{}\"", taken.0)));
    let answer = coco.ask_to_reload();
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(answer.body.contains(&taken.0.to_string()), "{}", answer.body);
    assert_eq!(coco.get_json("/tiers"), before);
    assert_eq!(coco.ledger().json()["listeners"].as_array().unwrap().len(), 2);
    drop(taken);
    assert_eq!(coco.ask_to_reload().status, 200);
    coco.stop();
}

#[test]
fn what_a_removed_target_holds_is_sent_or_shed_by_name() {
    let [stays, slow] = [LineSink::start(), LineSink::start()];
    let dead = format!("127.0.0.1:{}", free_port());
    let all = [stays.address().to_string(), slow.address().to_string(), dead.clone()];
    let limits = "[limits]\ndrain_timeout = \"2s\"";
    let coco = Coco::start(&config(&targets(&all), limits));
    slow.pause();
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    // More than the kernel's buffers take.
    for _ in 0..300 {
        client.write_all(&lines(0, 3_000)).unwrap();
    }
    coco.wait_for_ledger("everything to be read", SOON, |ledger| {
        let decoded = ledger.samples("decoded");
        if decoded == 900_000 { Ok(()) } else { Err(format!("{decoded} lines")) }
    });
    let ledger = coco.ledger();
    let (at_slow, at_dead) =
        (ledger.sent("carbon", &all[1], "offered"), ledger.sent("carbon", &dead, "offered"));
    assert!(ledger.sent("carbon", &all[1], "queued") > 0, "{ledger}");
    let slow_due = usize::try_from(at_slow).unwrap();
    coco.reload(&config(&of(&[&stays]), limits));
    slow.resume();
    wait_until("what was held for the slow one", SOON, || slow.count() == slow_due);
    let ledger = coco.wait_for_ledger("the end of the dead one", SOON, |ledger| {
        let shed = ledger.shed("carbon", &dead, "retired");
        if shed == at_dead { Ok(()) } else { Err(format!("{shed} of {at_dead}")) }
    });
    assert_eq!(ledger.shed_in_all(), at_dead, "{ledger}");
    coco.stop();
}

#[test]
fn only_this_machine_may_ask() {
    let sink = LineSink::start();
    let api = "[api]\nbind = \"0.0.0.0:0\"";
    let coco = Coco::start(&config(&of(&[&sink]), api));
    let refused = coco.get("/reload");
    let why = r#"{"error":"/reload does not take GET; / lists what there is"}"#;
    assert_eq!((refused.status, refused.body.trim()), (405, why));
    assert_eq!(
        http::post(([127, 0, 0, 1], coco.api().port()).into(), "/reload", b"").unwrap().status,
        200
    );
    // Asks the kernel which address this machine has; nothing is sent.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_ok() {
        let own = SocketAddr::new(socket.local_addr().unwrap().ip(), coco.api().port());
        let answer = http::post(own, "/reload", b"").unwrap();
        assert_eq!(answer.status, 403, "from {own}: {}", answer.body);
    }
    coco.stop();
}

#[test]
fn a_thousand_hangups_leave_nothing_behind() {
    let sink = LineSink::start();
    let coco = Coco::start(&config(&of(&[&sink]), ""));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    coco.reload(&config(&of(&[&sink]), ""));
    let entries =
        |folder: &str| std::fs::read_dir(format!("/proc/{}/{folder}", coco.id())).unwrap().count();
    let before = (entries("task"), entries("fd"));
    for n in 0..1_000 {
        coco.signal(Signal::SIGHUP);
        if n % 100 == 0 {
            client.write_all(&lines(n, 10)).unwrap();
            assert_eq!(coco.get("/readyz").status, 200);
        }
    }
    wait_for_lines(&[&sink], 100);
    let reloads = || coco.get_json("/debug/vars")["coco"]["process"]["reloads"].as_u64().unwrap();
    wait_until("a reload", SOON, || reloads() > 1);
    assert!(reloads() < 20, "{} reloads", reloads());
    assert!(coco.get("/").body.contains("reloaded at"));
    // A thread that has read the file may be idle yet.
    wait_until("threads to end", Duration::from_secs(30), || {
        entries("task") <= before.0 + 1 && entries("fd") <= before.1 + 2
    });
    coco.stop();
}
