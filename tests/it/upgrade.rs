use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use nix::{sys::signal::kill, unistd::Pid};

use coco_tests::{
    coco::{self, Coco, targets},
    flood::Flood,
    marks::Marks,
    port::{free_port, udp_sockets},
    process::{Signal, copy_program, folder, write_program},
    sink::LineSink,
    wait::{SOON, wait_for, wait_until},
};

/// Hand-overs under the flood; more with `COCO_TEST_HANDOVERS`.
const HANDOVERS: usize = 5;

const SAMPLES_MAX: usize = 40_000_000;

fn config(addresses: &[String]) -> String {
    format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n\
         pickle = \"127.0.0.1:0\"\n[tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(addresses)
    )
}

fn lines(name: &str, numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| format!("{name} {number} 1700000000\n").into_bytes()).collect()
}

fn upgrades(coco: &Coco) -> (u64, u64) {
    let process = coco.get_json("/debug/vars")["coco"]["process"].clone();
    let count = |key: &str| process[key].as_u64().unwrap_or_else(|| panic!("{key} in {process}"));
    (count("upgrades"), count("upgrade_failures"))
}

/// A frame of one datapoint, as carbon's relays send it.
fn pickle(name: &str, value: f64) -> Vec<u8> {
    // Protocol 2: [(name, (time, value))]
    let mut body = b"\x80\x02](U".to_vec();
    body.push(u8::try_from(name.len()).unwrap());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"J");
    body.extend_from_slice(&1_700_000_000_i32.to_le_bytes());
    body.push(b'G');
    body.extend_from_slice(&value.to_be_bytes());
    body.extend_from_slice(b"\x86\x86e.");
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
}

#[test]
fn clients_stay_connected_in_the_middle_of_a_line_or_frame_and_ports_stay() {
    let sink = LineSink::start();
    let mut coco = Coco::start(&config(&[sink.address().to_string()]));
    let [line_to, pickle_to, list_to] =
        ["line-tcp", "pickle", "collectd"].map(|protocol| coco.listener(protocol));
    let sockets = udp_sockets(list_to.port()).count;
    let (mut client, mut pickler) =
        (TcpStream::connect(line_to).unwrap(), TcpStream::connect(pickle_to).unwrap());
    let frame = pickle("p", 7.5);
    for round in 0..3 {
        let whole = lines("a", 3 * round..3 * round + 3);
        let (begun, rest) = whole.split_at(35);
        client.write_all(begun).unwrap();
        pickler.write_all(&frame[..20]).unwrap();
        wait_until("the whole lines", SOON, || sink.count() == 4 * round + 2);
        let old = coco.upgrade().ledger;
        assert_eq!(old.shed_in_all(), 0, "{old}");
        assert_eq!(old.samples("malformed"), 0, "{old}");
        client.write_all(rest).unwrap();
        pickler.write_all(&frame[20..]).unwrap();
        wait_until("the rest", SOON, || sink.count() == 4 * (round + 1));
    }
    assert_eq!(sink.values("a"), (0..9).collect::<Vec<_>>(), "once each, in their order");
    assert_eq!(coco.listener("line-tcp"), line_to);
    assert_eq!(udp_sockets(list_to.port()).count, sockets);
    assert_eq!(upgrades(&coco), (3, 0));
    // Who is connected knows nothing of it: nobody has closed.
    client.set_nonblocking(true).unwrap();
    assert!(client.read(&mut [0; 8]).is_err(), "still open");
    drop((client, pickler));
    coco.stop();
}

#[test]
fn ten_thousand_clients_or_as_many_as_the_machine_has_files_for_go_on() {
    let sink = LineSink::start();
    let mut coco = Coco::start(&config(&[sink.address().to_string()]));
    let to = coco.listener("line-tcp");
    let count = clients_at_most();
    let mut clients: Vec<_> = (0..count).map(|_| TcpStream::connect(to).unwrap()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(format!("c{n} 1 17000").as_bytes()).unwrap();
    }
    wait_until("all to be accepted", SOON, || {
        let metrics = coco.get("/metrics").body;
        metrics.contains(&format!("coco_connections {count}\n"))
    });
    let since = Instant::now();
    coco.upgrade();
    println!("{count} clients went on in {:?}", since.elapsed());
    for client in &mut clients {
        client.write_all(b"00000\n").unwrap();
    }
    wait_until("all lines", Duration::from_secs(60), || sink.count() == count);
    assert_eq!(coco.ledger().samples("malformed"), 0);
    drop(clients);
    coco.stop();
}

/// 10,000, if the tests may open so many files.
fn clients_at_most() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft = line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok());
    soft.map_or(10_000, |soft: usize| soft.saturating_sub(300).min(10_000))
}

#[test]
fn what_a_dead_target_should_get_stays_in_order_on_disk_and_in_memory() {
    for spools in [true, false] {
        let (dir, port) = (folder(), free_port());
        let spool = match spools {
            true => format!("[spool]\ndirectory = {:?}\n", dir.path().join("spool")),
            false => String::new(),
        };
        let text = format!("{spool}{}", config(&[format!("127.0.0.1:{port}")]));
        let mut coco = Coco::start(&text);
        let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
        for round in 0..3 {
            client.write_all(&lines("a", 10_000 * round..10_000 * (round + 1))).unwrap();
            wait_until("the lines", SOON, || coco.ledger().samples("decoded") == 10_000);
            let old = coco.upgrade().ledger;
            let sum = ["spooled", "handed_over"].map(|counter| old.of_all(counter));
            assert_eq!(old.shed_in_all(), 0, "{old}");
            assert_eq!(
                sum,
                if spools {
                    [10_000 * (round as u64 + 1), 0]
                } else {
                    [0, 10_000 * (round as u64 + 1)]
                }
            );
            coco.wait_for_ledger("what was left", SOON, |ledger| {
                match ledger.of_all("recovered") {
                    count if count == 10_000 * (round as u64 + 1) => Ok(()),
                    count => Err(format!("{count} recovered")),
                }
            });
        }
        client.write_all(&lines("a", 30_000..30_001)).unwrap();
        let sink = LineSink::start_on(port);
        wait_until("all lines", SOON, || sink.count() == 30_001);
        assert_eq!(sink.values("a"), (0..30_001).collect::<Vec<_>>());
        drop(client);
        coco.stop();
    }
}

#[test]
fn a_bad_configuration_in_the_new_process_changes_nothing() {
    let sink = LineSink::start();
    let good = config(&[sink.address().to_string()]);
    let mut coco = Coco::start(&good);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    coco.rewrite("[tiers.x]\ntargets = [\"nonsense\"]\n");
    coco.signal(Signal::SIGUSR2);
    wait_until("the failure", SOON, || coco.log().contains("not upgraded"));
    let log = coco.log();
    assert!(log.contains("exit status: 78") && log.contains("tiers.x.targets"), "{log}");
    // One whose port somebody else has.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let other = UdpSocket::bind(taken).unwrap();
    coco.rewrite(&good.replace(
        "[listen]\nbind = \"127.0.0.1:0\"",
        &format!("[listen]\nbind = \"{}\"", other.local_addr().unwrap()),
    ));
    coco.signal(Signal::SIGUSR2);
    wait_until("the second failure", SOON, || upgrades(&coco) == (0, 2));
    assert!(coco.log().contains("in use"), "{}", coco.log());
    client.write_all(&lines("a", 0..5)).unwrap();
    wait_until("the lines", SOON, || sink.count() == 5);
    coco.rewrite(&good);
    coco.upgrade();
    client.write_all(&lines("a", 5..6)).unwrap();
    wait_until("the last line", SOON, || sink.count() == 6);
    coco.stop();
}

/// Puts a shell script, or a link to the program, where another file of it was.
fn replace(program: &Path, script: Option<&str>) {
    let new = program.with_extension("new");
    match script {
        Some(script) => write_program(&new, &format!("#!/bin/sh\n{script}\n")),
        None => copy_program(coco::binary(), &new),
    }
    fs::rename(new, program).unwrap();
}

#[test]
fn a_new_program_that_fails_or_is_silent_changes_nothing_and_a_replaced_one_takes_over() {
    let (sink, dir) = (LineSink::start(), folder());
    let program = dir.path().join("coco");
    replace(&program, None);
    let coco = Coco::start_as(&config(&[sink.address().to_string()]), &program, |_| {});
    replace(&program, Some("exit 3"));
    coco.signal(Signal::SIGUSR2);
    wait_until("the failure", SOON, || coco.log().contains("exit status: 3"));
    fs::remove_file(&program).unwrap();
    coco.signal(Signal::SIGUSR2);
    wait_until("the second failure", SOON, || coco.log().contains("cannot start"));
    // Silent, but it goes when the old process does.
    replace(&program, Some("exec cat"));
    coco.signal(Signal::SIGUSR2);
    wait_until("the attempt", SOON, || {
        coco.log().matches("starting the program anew").count() == 3
    });
    coco.signal(Signal::SIGUSR2);
    wait_until("word of the second signal", SOON, || {
        coco.log().contains("SIGUSR2 is ignored: an upgrade is under way")
    });
    assert_eq!(upgrades(&coco).1, 2);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(&lines("a", 0..5)).unwrap();
    wait_until("the lines", SOON, || sink.count() == 5);
    coco.stop();

    let program = dir.path().join("again");
    symlink(coco::binary(), dir.path().join("other")).unwrap();
    replace(&program, None);
    let mut coco = Coco::start_as(&config(&[sink.address().to_string()]), &program, |_| {});
    let before = fs::read_link(format!("/proc/{}/exe", coco.id())).unwrap();
    replace(&program, None);
    coco.upgrade();
    let after = fs::read_link(format!("/proc/{}/exe", coco.id())).unwrap();
    assert_eq!(before, after, "the same path, another file");
    coco.stop();
}

#[test]
fn a_link_that_the_program_was_started_by_is_followed_anew() {
    let releases = folder();
    for (version, program) in [("v1", coco::binary()), ("v2", coco::faulty_binary())] {
        fs::create_dir(releases.path().join(version)).unwrap();
        symlink(program, releases.path().join(version).join("coco")).unwrap();
    }
    let current = releases.path().join("current");
    symlink("v1", &current).unwrap();
    let sink = LineSink::start();
    // As from a start script: relative to the folder of the configuration, which lies beside this one.
    let program = Path::new("..").join(releases.path().file_name().unwrap()).join("current/coco");
    let mut coco = Coco::start_as(&config(&[sink.address().to_string()]), &program, |_| {});
    fs::remove_file(&current).unwrap();
    symlink("v2", &current).unwrap();
    coco.signal(Signal::SIGUSR2);
    coco.wait_for_upgrade();
    let process = coco.get_json("/debug/vars")["process"].clone();
    assert!(process["version"].as_str().unwrap().ends_with("+faulty"), "{process}");
    coco.stop();
}

#[test]
fn a_stop_in_the_middle_of_an_upgrade_stops_both() {
    let (sink, dir) = (LineSink::start(), folder());
    let program = dir.path().join("coco");
    replace(&program, None);
    let coco = Coco::start_as(&config(&[sink.address().to_string()]), &program, |_| {});
    replace(&program, Some("exec cat"));
    coco.signal(Signal::SIGUSR2);
    wait_until("the attempt", SOON, || coco.log().contains("starting the program anew"));
    // It waits for the new process to have let go of the log, too.
    coco.stop();
}

#[test]
fn a_new_process_that_is_stopped_at_once_waits_for_what_the_old_one_holds() {
    let dead = format!("127.0.0.1:{}", free_port());
    let mut coco =
        Coco::start(&format!("{}[limits]\ndrain_timeout = \"200ms\"\n", config(&[dead])));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(&lines("a", 0..20_000)).unwrap();
    coco.wait_for_ledger("the lines", SOON, |ledger| match ledger.held() {
        20_000 => Ok(()),
        held => Err(format!("{held} are held")),
    });
    coco.signal(Signal::SIGUSR2);
    let id = wait_for("the hand-over to begin", SOON, || {
        let log = coco.log();
        let line = log.lines().find(|line| line.contains("handing over process="));
        line.map(|line| coco::field(line, "process").to_owned()).ok_or(log)
    });
    // Nothing was handed over yet: the old one still tries for two seconds.
    kill(Pid::from_raw(id.parse().unwrap()), Signal::SIGTERM).unwrap();
    let old = coco.wait_for_upgrade();
    assert_eq!(old.ledger.of_all("handed_over"), 20_000, "{}", old.ledger);
    let new = coco.wait();
    assert_eq!(new.ledger.of_all("inherited"), 20_000, "{}", new.ledger);
    assert_eq!(new.ledger.shed_in_all(), 20_000, "{}", new.ledger);
}

/// The answers of `/readyz`, and whether a line still comes through.
#[test]
fn a_process_that_got_sigterm_reads_on_for_its_delay_while_it_says_that_it_is_not_ready() {
    let sink = LineSink::start();
    let text = |delay: &str| {
        format!("{}[limits]\ndrain_delay = \"{delay}\"\n", config(&[sink.address().to_string()]))
    };
    let coco = Coco::start(&text("0s"));
    let changes = coco.reload(&text("10m"));
    assert_eq!(changes["limits"][0], "drain_delay", "{changes}");
    coco.signal(Signal::SIGTERM);
    wait_until("/readyz to say so", SOON, || coco.get("/readyz").status == 503);
    assert_eq!(coco.get("/livez").status, 200);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(&lines("a", 0..5)).unwrap();
    wait_until("the lines of a new client", SOON, || sink.count() == 5);
    // The second one skips the rest of the delay, and is no third one.
    coco.signal(Signal::SIGTERM);
    let stopped = coco.wait();
    assert!(stopped.log.contains("the rest of the delay is skipped"), "{}", stopped.log);

    let coco = Coco::start(&text("10m"));
    coco.signal(Signal::SIGINT);
    coco.wait();
}

#[test]
fn upgrades_under_a_flood_lose_nothing() {
    let rounds = env::var("COCO_TEST_HANDOVERS").ok().and_then(|text| text.parse().ok());
    let rounds = rounds.unwrap_or(HANDOVERS);
    let (lines, lists) = (Marks::of_lines(3, SAMPLES_MAX), Marks::of_lists(3, SAMPLES_MAX));
    let mut coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n\
         [tiers.lists]\n{}[tiers.lines]\nprotocol = \"graphite\"\n{}",
        lists.as_targets(),
        lines.as_targets()
    ));
    let flood = Flood {
        lines: (coco.listener("line-tcp"), &lines),
        lists: (coco.listener("collectd"), &lists),
    };
    let (mut decoded, mut slowest) = (0, Duration::ZERO);
    let began_at = Instant::now();
    let sent = flood.during(|| {
        for _ in 0..rounds {
            flood.wait_for_flow();
            let since = Instant::now();
            let old = coco.upgrade().ledger;
            slowest = slowest.max(since.elapsed());
            assert_eq!((old.shed_in_all(), old.kernel_dropped()), (0, 0), "{old}");
            decoded += old.samples("decoded");
        }
    });
    let seconds = began_at.elapsed().as_secs_f64();
    println!(
        "{} lines and {} datagrams in {seconds:.1} s, {rounds} hand-overs, the longest {slowest:?}",
        sent.0, sent.1
    );
    flood.wait_for_all(sent);
    coco.ledger().assert_balanced();
    let ledger = coco.settle();
    assert_eq!((ledger.shed_in_all(), ledger.kernel_dropped()), (0, 0), "{ledger}");
    decoded += ledger.samples("decoded");
    assert_eq!(decoded, (sent.0 + sent.1) as u64, "in all processes together");
    assert_eq!(upgrades(&coco).0, rounds as u64);
    coco.stop();
    flood.assert_once_each(sent);
}
