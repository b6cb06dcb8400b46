use std::{
    io::Write,
    net::{TcpStream, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use coco_tests::{
    coco::{self, Coco},
    datagram::{self, Record},
    ledger::Ledger,
    port::free_port,
    process::folder,
    sink::{LineSink, UdpSink},
    wait::{SOON, wait_until},
};

/// A Coco that takes lines and spools in `directory`, with a tier of line targets by id and port.
fn config(directory: &Path, spool: &str, tier: &str, targets: &[(&str, u16)]) -> String {
    let target =
        |(id, port): &(&str, u16)| format!("{{ address = \"127.0.0.1:{port}\", id = \"{id}\" }}");
    let targets: Vec<_> = targets.iter().map(target).collect();
    format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[spool]\ndirectory = {directory:?}\n{spool}\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{tier}\ntargets = [{}]\n",
        targets.join(", ")
    )
}

fn lines(name: &str, numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| format!("{name} {number} 1700000000\n").into_bytes()).collect()
}

fn send(coco: &Coco, bytes: &[u8]) {
    TcpStream::connect(coco.listener("line-tcp")).unwrap().write_all(bytes).unwrap();
}

#[track_caller]
fn wait_for_count(coco: &Coco, counter: &str, count: u64) -> Ledger {
    coco.wait_for_ledger(&format!("{count} {counter}"), SOON, |ledger| {
        let now = ledger.of_all(counter);
        if now == count { Ok(()) } else { Err(format!("{now} {counter}")) }
    })
}

fn label(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A name that falls to this target.
fn name_at(coco: &Coco, port: u16) -> String {
    let owned = |name: &String| coco.owner("carbon", name.as_bytes()) == label(port);
    (0..1000).map(|n| format!("name{n}.of.a.usual.length")).find(owned).unwrap()
}

/// Feeds lines of one name until told to stop; gives their number.
fn feed(coco: &Coco, name: String, stop: Arc<AtomicBool>) -> thread::JoinHandle<usize> {
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    thread::spawn(move || {
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            client.write_all(&lines(&name, sent..sent + 20)).unwrap();
            sent += 20;
            thread::park_timeout(std::time::Duration::from_millis(1));
        }
        sent
    })
}

#[test]
fn what_waited_goes_at_a_few_times_the_live_rate_and_its_end_is_told() {
    let (dir, port) = (folder(), free_port());
    let coco = Coco::start(&config(dir.path(), "replay_rate = 1.5", "", &[("a", port)]));
    send(&coco, &lines("a.name", 0..50_000));
    wait_for_count(&coco, "spooled", 50_000);
    let facts = || coco.get_json("/debug/vars")["coco"]["spool"][label(port)].clone();
    wait_until("a backlog of some seconds", SOON, || facts()["oldest_age"].as_u64() >= Some(3));
    assert_eq!(
        (&facts()["depth"], facts()["eta"].is_null()),
        (&50_000.into(), true),
        "{}",
        facts()
    );
    assert!(coco.ledger().target("carbon", &label(port))["spool_eta"].is_null());
    let sink = LineSink::start_on(port);
    wait_until("the first lines", SOON, || sink.count() > 0);
    let begun = Instant::now();
    let mut told = false;
    wait_until("all lines", SOON, || {
        let eta = coco.ledger().target("carbon", &label(port))["spool_eta"].clone();
        told |= eta.as_u64().is_some_and(|eta| eta > 0) && facts()["eta"].is_u64();
        sink.count() == 50_000
    });
    // They came within some seconds, and go as fast as that and half as fast again.
    let taken = begun.elapsed();
    assert!(taken.as_millis() > 700, "all at once, in {taken:?}");
    assert!(told, "nobody said when it would be done");
    assert_eq!(sink.values("a.name"), (0..50_000).collect::<Vec<_>>());
    let metrics = coco.get("/metrics").body;
    assert!(metrics.contains("coco_spool_depth{tier=\"carbon\",target="), "{metrics}");
    coco.stop();
}

#[test]
fn what_comes_now_goes_first_where_that_is_asked_for_and_nothing_goes_twice() {
    let (dir, port) = (folder(), free_port());
    let (spool, tier) = ("replay_rate = 2", "replay = \"live_first\"\nqueue = \"1MiB\"");
    let coco = Coco::start(&config(dir.path(), spool, tier, &[("a", port)]));
    send(&coco, &lines("old.name", 0..50_000));
    wait_for_count(&coco, "spooled", 50_000);
    let age = || coco.get_json("/debug/vars")["coco"]["spool"][label(port)]["oldest_age"].as_u64();
    wait_until("a backlog of some seconds", SOON, || age() >= Some(3));
    let sink = LineSink::start_on(port);
    wait_until("the first lines", SOON, || sink.count() > 0);
    for block in 0..10 {
        send(&coco, &lines("new.name", 100 * block..100 * block + 100));
        wait_until("what comes now", SOON, || sink.values("new.name").len() == 100 * block + 100);
    }
    assert!(sink.count() < 51_000, "the backlog was over before");
    wait_until("all lines", SOON, || sink.count() == 51_000);
    assert_eq!(sink.values("old.name"), (0..50_000).collect::<Vec<_>>());
    assert_eq!(sink.values("new.name"), (0..1_000).collect::<Vec<_>>());
    wait_for_count(&coco, "spooled", 0);
    // More than the queue takes, while it stands still: that goes to disk.
    sink.pause();
    send(&coco, &lines("more.of.the.new.name", 0..400_000));
    coco.wait_for_ledger("samples on disk", SOON, |ledger| match ledger.of_all("spooled") {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    });
    sink.resume();
    wait_until("all of it", SOON, || sink.count() == 451_000);
    let mut values = sink.values("more.of.the.new.name");
    values.sort_unstable();
    assert_eq!(values, (0..400_000).collect::<Vec<_>>());
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn another_address_of_an_id_gets_what_waited_under_load_in_order_and_once() {
    let (dir, dead, live) = (folder(), free_port(), LineSink::start());
    let a = live.address().port();
    let with = |b: u16| config(dir.path(), "", "queue = \"1MiB\"", &[("a", a), ("b", b)]);
    let coco = Coco::start(&with(dead));
    let name = name_at(&coco, dead);
    let stop = Arc::default();
    let feeder = feed(&coco, name.clone(), Arc::clone(&stop));
    let some_on_disk = |ledger: &Ledger| {
        let now = ledger.of_all("spooled");
        if now >= 2_000 { Ok(()) } else { Err(format!("{now}")) }
    };
    coco.wait_for_ledger("samples on disk", SOON, some_on_disk);
    let new = LineSink::start();
    let port = new.address().port();
    let changes = coco.reload(&with(port));
    assert_eq!(changes["targets"]["changed"][0]["id"], "b", "{changes}");
    wait_until("what waited, and what comes", SOON, || new.count() > 5_000);
    // And on to a third one, without an outage.
    let third = LineSink::start();
    coco.reload(&with(third.address().port()));
    wait_until("what comes then", SOON, || third.count() > 2_000);
    stop.store(true, Ordering::Relaxed);
    let sent = feeder.join().unwrap();
    wait_until("all lines", SOON, || new.count() + third.count() >= sent);
    let mut values = new.values(&name);
    values.extend(third.values(&name));
    assert_eq!(values, (0..sent).collect::<Vec<_>>());
    let ledger = coco.settle();
    let old = ledger.target("carbon", &label(dead));
    assert_eq!((&old["state"], &old["sent"]), (&"removed".into(), &0.into()), "{ledger}");
    assert_eq!(old["rerouted"], old["offered"], "{ledger}");
    assert!(ledger.sent("carbon", &label(port), "taken_over") >= 2_000, "{ledger}");
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn a_target_that_is_taken_out_gets_what_waited_for_it_however_late() {
    let (dir, dead, live) = (folder(), free_port(), LineSink::start());
    let a = live.address().port();
    let limits = "[limits]\ndrain_timeout = \"1s\"\n";
    let with = |targets: &[(&str, u16)]| config(dir.path(), "", "", targets) + limits;
    let coco = Coco::start(&with(&[("a", a), ("b", dead)]));
    let name = name_at(&coco, dead);
    send(&coco, &lines(&name, 0..5_000));
    wait_for_count(&coco, "spooled", 5_000);
    coco.reload(&with(&[("a", a)]));
    send(&coco, &lines(&name, 5_000..6_000));
    wait_until("what comes, at its new owner", SOON, || live.count() == 1_000);
    let row = |ledger: &Ledger| {
        let row = ledger.target("carbon", &label(dead)).clone();
        (row["state"].clone(), row["spooled"].as_u64())
    };
    assert_eq!(row(&coco.ledger()), ("removed".into(), Some(5_000)));
    // It comes and goes again meanwhile: its spool stays its own.
    coco.reload(&with(&[("a", a), ("b", dead)]));
    coco.reload(&with(&[("a", a)]));
    let sink = LineSink::start_on(dead);
    wait_until("what waited", SOON, || sink.count() == 5_000);
    assert_eq!(sink.values(&name), (0..5_000).collect::<Vec<_>>());
    wait_for_count(&coco, "spooled", 0);
    let ledger = coco.settle();
    assert_eq!(ledger.sent("carbon", &label(dead), "sent"), 5_000, "{ledger}");
    wait_until("its end", SOON, || coco.log().contains("nothing is left for it"));
    coco.stop();
}

#[test]
fn what_waits_for_a_target_that_is_taken_out_goes_to_the_new_owners() {
    let (dir, dead) = (folder(), free_port());
    let [a, b] = [LineSink::start(), LineSink::start()];
    let live = [("a", a.address().port()), ("b", b.address().port())];
    let with = |more: &[(&str, u16)]| {
        let targets = [&live[..], more].concat();
        config(dir.path(), "on_change = \"reroute\"", "", &targets)
    };
    let coco = Coco::start(&with(&[("dead", dead)]));
    let names: Vec<_> = (0..300).map(|n| format!("name{n}.of.a.usual.length")).collect();
    let lost: Vec<_> = names
        .iter()
        .filter(|name| coco.owner("carbon", name.as_bytes()) == label(dead))
        .map(String::as_str)
        .collect();
    let round = |numbers: std::ops::Range<usize>| {
        let line = |number| names.iter().map(move |name| format!("{name} {number} 1700000000\n"));
        numbers.flat_map(line).collect::<String>()
    };
    send(&coco, round(0..100).as_bytes());
    let due = 100 * lost.len() as u64;
    wait_for_count(&coco, "spooled", due);
    coco.reload(&with(&[]));
    send(&coco, round(100..110).as_bytes());
    wait_until("all lines", SOON, || a.count() + b.count() == 110 * names.len());
    for name in lost {
        let owner = coco.owner("carbon", name.as_bytes());
        let sink = if owner == label(live[0].1) { &a } else { &b };
        // Also in order: what came after the change has waited for what came before.
        assert_eq!(sink.values(name), (0..110).collect::<Vec<_>>(), "{name} at {owner}");
    }
    wait_for_count(&coco, "spooled", 0);
    let ledger = coco.settle();
    let row = ledger.target("carbon", &label(dead));
    assert_eq!((&row["state"], row["rerouted"].as_u64()), (&"removed".into(), Some(due)));
    assert_eq!(ledger.of_all("taken_over"), due, "{ledger}");
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn collectd_samples_that_wait_for_a_target_that_is_taken_out_go_to_the_new_owners() {
    let dir = folder();
    let [a, b] = [UdpSink::start(), UdpSink::start()];
    let dead = UdpSink::start().address().port();
    let with = |more: &str| {
        format!(
            "[listen]\nbind = \"127.0.0.1:0\"\n[spool]\ndirectory = {:?}\non_change = \"reroute\"\n\
             [tiers.short]\ntargets = [\"{}\", \"{}\"{more}]\n",
            dir.path(),
            a.address(),
            b.address()
        )
    };
    let coco = Coco::start(&with(&format!(", \"127.0.0.1:{dead}\"")));
    let owned = |host: &String| coco.owner("short", host.as_bytes()) == label(dead);
    let hosts: Vec<_> = (0..100).map(|n| format!("web{n}")).filter(owned).collect();
    let client = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    client.connect(coco.listener("collectd")).unwrap();
    let mut time = 1_700_000_000;
    wait_until("the target to be judged down", SOON, || {
        time += 1;
        client.send(&datagram::gauge(&hosts[0], "cpu", "x", time, 1.0)).unwrap();
        coco.ledger().target("short", &label(dead))["state"] == "down"
    });
    for host in &hosts {
        for n in 0..10 {
            client.send(&datagram::gauge(host, "cpu", "x", time + 1 + n, 1.0)).unwrap();
        }
    }
    let fed = time - 1_700_000_000 + 10 * hosts.len() as u64;
    let ledger = coco.wait_for_ledger("all samples on disk", SOON, |ledger| {
        let (read, held) = (ledger.received("collectd", "raw"), ledger.held());
        let is_all = read == fed && held == 0;
        if is_all { Ok(()) } else { Err(format!("{read} of {fed} read, {held} held")) }
    });
    let due = usize::try_from(ledger.of_all("spooled")).unwrap();
    coco.reload(&with(""));
    let arrived = |sink: &UdpSink| {
        let records = sink.records().into_iter();
        records.filter(|record| matches!(record, Record::Values { .. })).count()
    };
    wait_until("all samples", SOON, || arrived(&a) + arrived(&b) == due);
    assert!(arrived(&a) > 0 && arrived(&b) > 0, "all at one of the two");
    wait_for_count(&coco, "rerouted", due as u64);
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn what_is_left_of_a_target_of_an_earlier_configuration_is_told_of_and_can_be_moved() {
    let (dir, dead) = (folder(), free_port());
    let [a, b] = [LineSink::start(), LineSink::start()];
    let live = [("a", a.address().port()), ("b", b.address().port())];
    let before = config(dir.path(), "", "", &[&live[..], &[("dead", dead)]].concat());
    let after = config(dir.path(), "", "", &live);
    let coco = Coco::start(&before);
    let names: Vec<_> = (0..300).map(|n| format!("name{n}.of.a.usual.length")).collect();
    let text: Vec<u8> = names.iter().flat_map(|name| lines(name, 0..20)).collect();
    send(&coco, &text);
    let to_live = |coco: &Coco| coco.ledger().of_all("sent");
    let due = 20 * names.len() as u64;
    coco.wait_for_ledger("all to be sent or spooled", SOON, |ledger| {
        let now = ledger.of_all("sent") + ledger.of_all("spooled");
        if now == due { Ok(()) } else { Err(format!("{now}")) }
    });
    let held = due - to_live(&coco);
    coco.stop();
    let (path, file) = (dir.path().to_str().unwrap(), folder());
    let file = file.path().join("after.toml");
    std::fs::write(&file, &after).unwrap();
    let reroute = || {
        let words = ["spool", path, "reroute", "--config", file.to_str().unwrap()];
        let output = coco::run(&words, b"");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };

    let coco = Coco::start(&after);
    wait_until("word of it", SOON, || coco.log().contains("for a target that is in no tier"));
    assert_eq!(reroute().0, Some(1), "a running Coco keeps its spool");
    coco.stop();
    let (status, told) = reroute();
    let rows = told.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
    let moved: u64 = rows.clone().map(|row| row[3].parse::<u64>().unwrap()).sum();
    assert_eq!((status, moved), (Some(0), held), "{told}");
    assert!(rows.clone().all(|row| row[..2] == ["carbon", "dead"]), "{told}");
    assert_eq!(reroute(), (Some(0), "tier\tfrom\tto\tsamples\n".to_owned()), "once is enough");
    let refused = |words: &[&str]| {
        let words = [&["spool", path], words].concat();
        let output = coco::run(&words, b"");
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (option, name) in [("--tier", "carbn"), ("--target", "daed")] {
        let said = refused(&["reroute", "--config", file.to_str().unwrap(), option, name]);
        assert!(said.contains("there is no spool of") && said.contains(name), "{said}");
    }
    // Only root can give a folder away.
    if nix::unistd::geteuid().is_root() {
        let give = |user| std::os::unix::fs::chown(dir.path(), Some(user), None).unwrap();
        give(65534);
        let said = refused(&["reroute", "--config", file.to_str().unwrap()]);
        assert!(said.contains("it belongs to the user 65534"), "{said}");
        give(0);
    }
    assert!(
        refused(&["dump", "nosuch"]).contains("folder nosuch; `ls` names those that there are")
    );

    let coco = Coco::start(&after);
    assert_eq!(coco.ledger().of_all("recovered"), held);
    wait_until("all lines", SOON, || a.count() + b.count() == 20 * names.len());
    for name in &names {
        let at_a = coco.owner("carbon", name.as_bytes()) == label(live[0].1);
        let sink = if at_a { &a } else { &b };
        assert_eq!(sink.values(name), (0..20).collect::<Vec<_>>(), "{name}");
    }
    coco.stop();
}
