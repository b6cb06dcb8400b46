use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use coco_tests::{
    coco::{Coco, targets},
    isolation::{HOSTS, Load, Loss, Plan, Scene, Setting, Speech},
    namespace::{Network, alone},
    port::free_port,
    process::{Signal, folder},
    sink::LineSink,
    usage,
    wait::{SOON, wait_for, wait_until},
};

/// How long one of a crowd may take to get through, where not all can.
const PUSHING: Duration = Duration::from_millis(50);

/// Clients that connect to a listener, as many as get through, each within this time.
fn crowd(to: SocketAddr, count: usize, patience: Duration) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect_timeout(&to, patience).ok();
    (0..count).filter_map(connect).collect()
}

/// Three good targets, and something beside them: all get all.
fn beside(
    network: &Network,
    plan: Plan,
    setting: Setting<'_>,
    what: impl FnOnce(&Scene, &Load) + Send,
) {
    let scene = Scene::start(network, plan.speech, setting);
    scene.compare(plan, |load| what(&scene, load));
    (0..HOSTS.len()).for_each(|at| scene.assert_got_all(at));
    let stopped = scene.stop();
    assert_eq!(stopped.ledger.shed_in_all(), 0, "{}", stopped.ledger);
    assert_eq!(stopped.ledger.kernel_dropped(), 0, "{}", stopped.ledger);
}

/// 500 clients where 64 descriptors are all that there are.
fn without_descriptors(network: &Network, speech: Speech) {
    let setting = Setting { by: &["prlimit", "--nofile=64:64"], ..Setting::default() };
    let plan = Plan::new("no file descriptor left", speech, Loss::None);
    beside(network, plan, setting, |scene, load| {
        let listener = scene.coco().listener("line-tcp");
        let clients = crowd(listener, 500, PUSHING);
        assert!(clients.len() > 64, "{} clients", clients.len());
        load.goes_by();
    });
}

#[test]
fn lines_go_on_without_a_file_descriptor_left() {
    alone(|network| without_descriptors(network, Speech::Lines));
}

#[test]
fn datagrams_go_on_without_a_file_descriptor_left() {
    alone(|network| without_descriptors(network, Speech::Lists));
}

#[test]
fn without_a_file_descriptor_left_nothing_spins() {
    alone(|network| {
        let setting = Setting { by: &["prlimit", "--nofile=64:64"], ..Setting::default() };
        let scene = Scene::start(network, Speech::Lines, setting);
        let (coco, time) = (scene.coco(), Duration::from_secs(3));
        let clients = crowd(coco.listener("line-tcp"), 500, PUSHING);
        // The first of these also takes what it does for the clients that it could take.
        scene.feed([0; 3], time / 3);
        let before = usage::cpu(coco.id());
        scene.feed([0; 3], time);
        let cpu = usage::cpu(coco.id()) - before;
        eprintln!("FIGURE no file descriptor left, idle: {cpu:?} of CPU time in {time:?}");
        assert!(cpu < time / 10, "{cpu:?} in {time:?}");
        drop(clients);
        // The API has a descriptor again.
        wait_until("an answer", SOON, || http_answers(coco.api()));
        scene.stop();
    });
}

fn http_answers(api: SocketAddr) -> bool {
    coco_tests::http::get(api, "/readyz").is_ok_and(|answer| answer.status == 200)
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    alone(|network| {
        let plan = Plan::new("log that nobody reads", Speech::Lines, Loss::Repeated);
        let scene = Scene::start(network, plan.speech, Setting::default());
        let coco = scene.coco();
        scene.compare(plan, |load| {
            coco.be_deaf(true);
            // More than a pipe holds.
            let fault = |n| format!("unknown_key_number_{n:040} = 1\n");
            coco.rewrite(&(0..4000).map(fault).collect::<String>());
            coco.signal(Signal::SIGHUP);
            load.goes_on_for(Duration::from_secs(1));
            // Who serves the targets has something to say too.
            scene.close(0);
            load.goes_on_for(Duration::from_secs(1));
            scene.open(0);
            load.goes_by();
        });
        (1..HOSTS.len()).for_each(|at| scene.assert_got_all(at));
        coco.be_deaf(false);
        scene.wait_for_each();
        assert_eq!(scene.stop().ledger.shed_in_all(), 0);
    });
}

#[test]
fn a_flood_of_questions_does_not_hold_data_up() {
    alone(|network| {
        let plan = Plan::new("200 clients of the API", Speech::Lines, Loss::None);
        beside(network, plan, Setting::default(), |scene, load| {
            let mut clients = crowd(scene.coco().api(), 200, PUSHING);
            let (mut good, mut busy, mut ended) = (0, 0, 0);
            let pages = ["/debug/vars", "/ledger", "/lookup?name=hello", "/metrics"];
            // Some 1,000 a second.
            while load.goes_on_for(Duration::from_millis(10)) {
                for (at, client) in clients.iter_mut().rev().take(10).enumerate() {
                    match ask(client, pages[at % pages.len()]) {
                        Some(200) => good += 1,
                        Some(503) => busy += 1,
                        _ => {
                            ended += 1;
                            *client = TcpStream::connect(scene.coco().api()).unwrap();
                        }
                    }
                }
                clients.rotate_right(10);
            }
            eprintln!("FIGURE flood of questions: {good} answered, {busy} refused, {ended} ended");
            assert!(good > 100 && busy > 100, "{good} answered, {busy} refused, {ended} ended");
        });
    });
}

/// Asks for a page on a connection that stays; the status.
fn ask(client: &mut TcpStream, page: &str) -> Option<u16> {
    let request = format!("GET {page} HTTP/1.1\r\nHost: coco\r\n\r\n");
    client.set_read_timeout(Some(SOON)).ok()?;
    // A connection that was refused still has its answer to be read.
    client.write_all(request.as_bytes()).ok();
    let (mut answer, mut buffer) = (Vec::new(), [0; 1 << 16]);
    loop {
        match client.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(bytes) => answer.extend_from_slice(&buffer[..bytes]),
        }
        let text = String::from_utf8_lossy(&answer);
        if is_whole(&text) {
            return text.split(' ').nth(1)?.parse().ok();
        }
    }
}

/// The body has come too: by its length, or by its last chunk.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    match head.split("content-length: ").nth(1) {
        Some(rest) => rest.lines().next().is_some_and(|n| n.parse() == Ok(body.len())),
        None => body.ends_with("0\r\n\r\n"),
    }
}

#[test]
fn a_thousand_clients_that_drip_hold_nobody_up() {
    alone(|network| {
        let plan = Plan::new("1,000 clients that drip", Speech::Lines, Loss::None);
        beside(network, plan, Setting::default(), |scene, load| {
            let clients = crowd(scene.coco().listener("line-tcp"), 1000, SOON);
            assert_eq!(clients.len(), 1000);
            for mut client in clients.iter().cycle() {
                // Each of them a byte a second.
                if !load.goes_on_for(Duration::from_millis(1)) {
                    break;
                }
                client.write_all(b"x").unwrap();
            }
        });
    });
}

#[test]
fn a_full_disk_costs_only_the_target_that_needs_it_and_is_used_again_when_it_has_room() {
    alone(|network| {
        let disk = folder();
        network.small_disk(disk.path(), "4m");
        let (spool, filler) = (disk.path().join("spool"), disk.path().join("filler"));
        fs::write(&filler, vec![0; 3 << 20]).unwrap();
        let setting = Setting {
            spool: Some(&spool),
            config: "[limits]\nblock_timeout = \"1ms\"",
            ..Setting::default()
        };
        let plan =
            Plan { samples: [40, 2, 2], ..Plan::new("full disk", Speech::Lines, Loss::Taken) };
        let scene = Scene::start(network, plan.speech, setting);
        let bad = Speech::Lines.address(HOSTS[0]).to_string();
        scene.compare(plan, |load| {
            scene.close(0);
            let spooled = || scene.coco().ledger().sent("all", &bad, "spooled");
            let shed = || scene.coco().ledger().shed("all", &bad, "");
            wait_for("the disk to be full", SOON, || match shed() {
                0 => Err(format!("{} spooled", spooled())),
                _ => Ok(()),
            });
            let before = spooled();
            assert!(before > 1000, "{before} samples on disk");
            fs::remove_file(&filler).unwrap();
            let since = Instant::now();
            wait_until("the disk to be used again", SOON, || spooled() > before);
            eprintln!("FIGURE full disk: used again {:?} after it had room", since.elapsed());
            assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
            load.goes_by();
            scene.open(0);
        });
        (1..HOSTS.len()).for_each(|at| scene.assert_got_all(at));
        scene.lost();
        let ledger = scene.stop().ledger;
        assert_eq!(ledger.shed_in_all(), ledger.shed("all", &bad, "queue_full"), "{ledger}");
    });
}

#[test]
fn memory_has_a_bound_while_all_targets_are_dead() {
    const QUEUE: u64 = 8 << 20;
    let dead: Vec<_> = (0..3).map(|_| format!("127.0.0.1:{}", free_port())).collect();
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.carbon]\nprotocol = \"graphite\"\n\
         queue = {QUEUE}\non_full = \"shed_oldest\"\n{}",
        targets(&dead)
    ));
    let before = usage::memory_most(coco.id());
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    let line = |n: usize| format!("web{}.cpu.load.average {n} 1700000000\n", n % 997);
    let lines: String = (0..20_000).map(line).collect();
    for _ in 0..200 {
        client.write_all(lines.as_bytes()).unwrap();
    }
    let decoded = coco.wait_for_ledger("everything to be read", SOON, |ledger| {
        let decoded = ledger.samples("decoded");
        if decoded == 4_000_000 { Ok(()) } else { Err(format!("{decoded}")) }
    });
    assert!(decoded.shed_in_all() > 3_000_000, "{decoded}");
    let more = usage::memory_most(coco.id()) - before;
    eprintln!("FIGURE dead targets: {more} bytes more, queues of {}", 3 * QUEUE);
    // A queue counts what it holds; what its chunks could still hold, and the allocator's share, is more.
    assert!(more < 2 * 3 * QUEUE, "{more} bytes more");
    coco.stop();
}

#[test]
fn a_line_of_200_mib_takes_no_memory_and_no_other_line() {
    let sink = LineSink::start();
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string()])
    ));
    let before = usage::memory_most(coco.id());
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        client.write_all(&block).unwrap();
    }
    client.write_all(b"\ngood 1 1700000000\n").unwrap();
    wait_until("the line after it", SOON, || sink.count() == 1);
    let more = usage::memory_most(coco.id()) - before;
    eprintln!("FIGURE line of 200 MiB: {more} bytes more");
    assert!(more < 4 << 20, "{more} bytes more");
    let ledger = coco.stop().ledger;
    assert_eq!(ledger.samples("decoded"), 1, "{ledger}");
    assert!(ledger.rejected("line-tcp", "") > 0, "{ledger}");
}

#[test]
fn a_name_that_cannot_be_found_is_asked_for_again_and_the_last_address_stands() {
    alone(|network| {
        let hosts = network.replace(Path::new("/etc/hosts"), "127.0.0.1 localhost\n");
        HOSTS.into_iter().for_each(|host| network.add(host));
        let name_at = |host| hosts.write(&format!("127.0.0.1 localhost\n{host} store.test\n"));
        let coco = Coco::start(&format!(
            "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.carbon]\nprotocol = \"graphite\"\n{}",
            targets(&["store.test:2003".to_owned()])
        ));
        let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
        let mut send = |n: usize| writeln!(client, "name {n} 1700000000").unwrap();
        let first = LineSink::start_at(HOSTS[0], 2003);
        send(0);
        wait_until("the line to be read", SOON, || coco.ledger().samples("decoded") == 1);
        // It starts without, and finds it as soon as somebody knows.
        name_at(HOSTS[0]);
        wait_until("the first line", SOON, || first.count() == 1);
        // Nobody knows it any more: the last address stands.
        hosts.write("127.0.0.1 localhost\n");
        drop(first);
        let first = LineSink::start_at(HOSTS[0], 2003);
        wait_until("the connection to end", SOON, || coco.ledger().of_all("disconnects") == 1);
        send(1);
        // The first one may come again before it.
        wait_until("the second line", SOON, || first.values("name").ends_with(&[1]));
        // It is somewhere else.
        name_at(HOSTS[1]);
        let second = LineSink::start_at(HOSTS[1], 2003);
        drop(first);
        wait_until("the connection to end", SOON, || coco.ledger().of_all("disconnects") == 2);
        send(2);
        wait_until("the third line", SOON, || second.values("name").ends_with(&[2]));
        assert_eq!(coco.stop().ledger.shed_in_all(), 0);
    });
}
