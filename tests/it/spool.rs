use std::{
    env, fs,
    io::Write,
    net::{TcpStream, UdpSocket},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use coco_tests::{
    coco::{self, Coco},
    corpus,
    datagram::{self, Record},
    ledger::Ledger,
    port::free_port,
    process::{Signal, folder},
    sink::{LineSink, UdpSink},
    wait::{SOON, wait_for, wait_until},
};

/// A Coco that takes lines and spools in `directory`, with a tier of line targets.
fn start(directory: &Path, spool: &str, tier: &str, ports: &[u16]) -> Coco {
    let targets: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[spool]\ndirectory = {directory:?}\n{spool}\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{tier}\n{}",
        coco::targets(&targets)
    ))
}

fn lines(name: &str, numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| format!("{name} {number} 1700000000\n").into_bytes()).collect()
}

fn send(coco: &Coco, bytes: &[u8]) {
    TcpStream::connect(coco.listener("line-tcp")).unwrap().write_all(bytes).unwrap();
}

#[track_caller]
fn wait_for_count(coco: &Coco, counter: &str, count: u64) {
    coco.wait_for_ledger(&format!("{count} {counter}"), SOON, |ledger| {
        let now = ledger.of_all(counter);
        if now == count { Ok(()) } else { Err(format!("{now} {counter}")) }
    });
}

#[test]
fn what_a_dead_target_should_get_waits_on_disk_over_a_restart_and_comes_in_order() {
    let (dir, port) = (folder(), free_port());
    let coco = start(dir.path(), "", "", &[port]);
    send(&coco, &lines("a.name", 0..10_000));
    wait_for_count(&coco, "spooled", 10_000);
    let stopped = coco.stop();
    assert_eq!(stopped.ledger.shed_in_all(), 0);

    let coco = start(dir.path(), "", "", &[port]);
    wait_for_count(&coco, "recovered", 10_000);
    send(&coco, &lines("a.name", 10_000..11_000));
    let sink = LineSink::start_on(port);
    wait_until("all lines", SOON, || sink.count() == 11_000);
    assert_eq!(sink.values("a.name"), (0..11_000).collect::<Vec<_>>());
    wait_for_count(&coco, "spooled", 0);
    // From memory again, with nothing on disk.
    send(&coco, &lines("a.name", 11_000..12_000));
    wait_until("the last lines", SOON, || sink.count() == 12_000);
    assert_eq!(coco.stop().ledger.of_all("sent"), 12_000);

    let coco = start(dir.path(), "", "", &[port]);
    assert_eq!(coco.ledger().of_all("recovered"), 0, "all of it was sent");
    coco.stop();
}

/// Feeds lines of one name until told to stop, or until nobody listens.
fn feed(coco: &Coco, name: String, stop: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    thread::spawn(move || {
        for block in (0..).step_by(100) {
            let bytes = lines(&name, block..block + 100);
            if stop.load(Ordering::Relaxed) || client.write_all(&bytes).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_kill_takes_nothing_that_was_on_disk() {
    let kills: usize = env::var("COCO_TEST_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let sync = env::var("COCO_TEST_SYNC").unwrap_or_else(|_| "interval 200ms".to_owned());
    let spool = format!("sync = {sync:?}\nreplay_rate = \"unlimited\"");
    let mut random = corpus::random();
    let (dir, port) = (folder(), free_port());
    let (mut before, mut slowest) = (0, Duration::ZERO);
    for kill in 0..kills {
        let begun = Instant::now();
        let coco = start(dir.path(), &spool, "queue = \"1MiB\"", &[port]);
        slowest = slowest.max(begun.elapsed());
        let ledger = coco.ledger();
        assert!(ledger.of_all("recovered") >= before, "{before} were on disk: {ledger}");
        let stop = Arc::default();
        let feeder = feed(&coco, format!("run{kill}"), Arc::clone(&stop));
        let more = ledger.of_all("spooled") + random.u64(1..20_000);
        let ledger = coco.wait_for_ledger("samples on disk", SOON, |ledger| {
            let now = ledger.of_all("spooled");
            if now >= more { Ok(()) } else { Err(format!("{now} of {more}")) }
        });
        before = ledger.of_all("spooled");
        coco.signal(Signal::SIGKILL);
        stop.store(true, Ordering::Relaxed);
        feeder.join().unwrap();
    }
    println!("{before} samples on disk after {kills} kills, ready within {slowest:?}");
    let coco = start(dir.path(), &spool, "", &[port]);
    let recovered = coco.ledger().of_all("recovered");
    assert!(recovered >= before);
    let sink = LineSink::start_on(port);
    wait_until("all that was on disk", SOON, || sink.count() as u64 >= recovered);
    for kill in 0..kills {
        let values = sink.values(&format!("run{kill}"));
        assert_eq!(values, (0..values.len()).collect::<Vec<_>>(), "run {kill}: once, in order");
    }
    wait_for_count(&coco, "spooled", 0);
    assert_eq!(coco.stop().ledger.of_all("sent"), recovered);
    assert_eq!(sink.count() as u64, recovered);
}

#[test]
fn a_slow_target_goes_to_disk_and_neither_its_client_nor_the_other_target_waits() {
    let (slow, other) = (LineSink::start(), LineSink::start());
    let ports = [slow.address().port(), other.address().port()];
    let dir = folder();
    let coco = start(dir.path(), "", "queue = \"1MiB\"\nblock_timeout = \"1h\"", &ports);
    let name_of = |port: u16| {
        let owned =
            |name: &String| coco.owner("carbon", name.as_bytes()) == format!("127.0.0.1:{port}");
        (0..1000).map(|n| format!("name{n}.of.a.usual.length")).find(owned).unwrap()
    };
    let [name, other_name] = ports.map(name_of);
    slow.pause();
    const LINES: usize = 500_000;
    send(&coco, &lines(&name, 0..LINES));
    send(&coco, &lines(&other_name, 0..1000));
    wait_until("the other target's lines", SOON, || other.count() == 1000);
    let ledger = coco.wait_for_ledger("everything to be read", SOON, |ledger| {
        let decoded = ledger.samples("decoded");
        if decoded == (LINES + 1000) as u64 { Ok(()) } else { Err(format!("{decoded}")) }
    });
    assert!(ledger.of_all("spooled") > 0, "{ledger}");
    slow.resume();
    wait_until("all lines", SOON, || slow.count() == LINES);
    assert_eq!(slow.values(&name), (0..LINES).collect::<Vec<_>>());
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn a_collectd_target_that_refuses_is_held_for_and_gets_all_in_order() {
    let (dir, port) = (folder(), UdpSink::start().address().port());
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[spool]\ndirectory = {:?}\n\
         [tiers.short]\ntargets = [\"127.0.0.1:{port}\"]\n",
        dir.path()
    ));
    let client = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    client.connect(coco.listener("collectd")).unwrap();
    let mut sent = 0;
    let mut send = |count: u64| {
        for _ in 0..count {
            client.send(&datagram::gauge("web01", "cpu", "x", 1_700_000_000 + sent, 1.0)).unwrap();
            sent += 1;
        }
    };
    let target = format!("127.0.0.1:{port}");
    wait_for("the target to be judged down", SOON, || {
        send(1);
        let state = coco.ledger().target("short", &target)["state"].to_string();
        if state == "\"down\"" { Ok(()) } else { Err(state) }
    });
    send(500);
    let held = coco.wait_for_ledger("samples on disk", SOON, |ledger| {
        if ledger.of_all("spooled") >= 500 { Ok(()) } else { Err("not yet".to_owned()) }
    });
    let lost = held.of_all("sent");
    assert!(lost < 20, "{lost} went to a port where nobody listens before it was judged down");
    let sink = UdpSink::start_on(port);
    wait_until("what was held", SOON, || sink.records().len() as u64 == 500 + held_before(&held));
    let number = |record: &Record| match record {
        Record::Values { time, .. } => (time >> 30) - 1_700_000_000,
        Record::Notification { .. } => panic!("{record:?} was not sent"),
    };
    let numbers: Vec<_> = sink.records().iter().map(number).collect();
    assert!(numbers.is_sorted(), "in order: {numbers:?}");
    assert_eq!(numbers.last(), Some(&(held.samples("decoded") - 1)));
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

/// Samples that were held besides the last 500.
fn held_before(held: &Ledger) -> u64 {
    held.samples("decoded") - held.of_all("sent") - 500
}

#[test]
fn a_full_spool_fills_the_queue_and_then_sheds_with_a_number() {
    let (dir, port) = (folder(), free_port());
    let (spool, tier) = ("size = \"1MiB\"", "queue = \"64KiB\"\nblock_timeout = \"10ms\"");
    let coco = start(dir.path(), spool, tier, &[port]);
    send(&coco, &lines("a.name.of.a.usual.length", 0..100_000));
    let ledger = coco.wait_for_ledger("everything to be read", SOON, |ledger| {
        let decoded = ledger.samples("decoded");
        if decoded == 100_000 { Ok(()) } else { Err(format!("{decoded}")) }
    });
    ledger.assert_balanced();
    let shed = ledger.shed("carbon", &format!("127.0.0.1:{port}"), "queue_full");
    assert!(shed > 50_000, "{shed} shed: {ledger}");
    assert!(ledger.of_all("spooled") > 1000, "{ledger}");
    let bytes: u64 = walk(dir.path());
    assert!(bytes <= 1 << 20, "{bytes} bytes on disk");
    coco.stop();
}

#[test]
fn a_dead_target_that_fills_the_spool_does_not_starve_a_live_one() {
    let (live, dead) = (LineSink::start(), free_port());
    let ports = [live.address().port(), dead];
    let (dir, spool) = (folder(), "size = \"1MiB\"");
    let coco = start(dir.path(), spool, "queue = \"64KiB\"\nblock_timeout = \"20ms\"", &ports);
    let name_of = |port: u16| {
        let owned =
            |name: &String| coco.owner("carbon", name.as_bytes()) == format!("127.0.0.1:{port}");
        (0..1000).map(|n| format!("name{n}.of.a.usual.length")).find(owned).unwrap()
    };
    let [live_name, dead_name] = ports.map(name_of);
    send(&coco, &lines(&dead_name, 0..100_000));
    let shed = |ledger: &Ledger, port: u16| {
        ledger.shed("carbon", &format!("127.0.0.1:{port}"), "queue_full")
    };
    coco.wait_for_ledger("the spool to be full", SOON, |ledger| match shed(ledger, dead) {
        0 => Err("nothing is shed".to_owned()),
        _ => Ok(()),
    });
    // Its queue is half full at once, and the disk takes nothing for it.
    live.pause();
    send(&coco, &lines(&live_name, 0..1500));
    live.resume();
    wait_until("the lines of the live target", SOON, || live.count() >= 1500);
    send(&coco, &lines(&live_name, 1500..3000));
    wait_until("more of them", SOON, || live.count() >= 3000);
    assert_eq!(live.values(&live_name), (0..3000).collect::<Vec<_>>());
    let stopped = coco.stop();
    assert_eq!(shed(&stopped.ledger, ports[0]), 0);
}

/// Bytes of all files below a folder.
fn walk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path()),
            false => entry.metadata().unwrap().len(),
        })
        .sum()
}

#[test]
fn the_files_can_be_looked_at_and_damage_costs_what_it_meets() {
    let (dir, port) = (folder(), free_port());
    let path = dir.path().to_str().unwrap();
    let coco = start(dir.path(), "", "queue = \"64KiB\"", &[port]);
    send(&coco, &lines("a.name", 0..20_000));
    wait_for_count(&coco, "spooled", 20_000);
    coco.stop();
    let run = |arguments: &[&str]| {
        let output = coco::run(&[&["spool", path], arguments].concat(), b"");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, listed) = run(&["ls"]);
    let row: Vec<_> = listed.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!((status, row[1], row[3]), (Some(0), "carbon", "20000"), "{listed}");
    let dumped = run(&["dump", row[0]]).1;
    assert_eq!(dumped.as_bytes(), lines("a.name", 0..20_000));
    assert_eq!(run(&["verify"]).0, Some(0));

    let folder = dir.path().join(row[0]);
    let segment = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let segment =
        segment.filter(|path| path.extension().is_some_and(|e| e == "seg")).min().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&segment, bytes).unwrap();
    assert_eq!(run(&["verify"]).0, Some(3));

    let coco = start(dir.path(), "", "", &[port]);
    assert_eq!(run(&["drop", row[0]]).0, Some(1), "a running Coco keeps its spool");
    let sink = LineSink::start_on(port);
    wait_for_count(&coco, "spooled", 0);
    let lost = coco.ledger().shed("carbon", &format!("127.0.0.1:{port}"), "spool_corrupt");
    assert!(lost > 0 && lost < 10_000, "{lost} lost by one byte");
    wait_until("the others", SOON, || sink.count() as u64 == 20_000 - lost);
    coco.stop();
    assert_eq!(run(&["drop", row[0]]).0, Some(0));
    assert_eq!(run(&["ls"]).1.lines().count(), 1);
}
