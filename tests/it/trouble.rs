use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use coco_tests::{
    coco::{self, Coco, targets},
    datagram,
    port::{free_port, udp_sockets},
    process::{Signal, folder},
    sink::{LineSink, UdpSink},
    wait::{SOON, wait_until},
};

/// A Coco that takes lines, with one tier of line targets.
fn start(addresses: &[String], tier: &str) -> Coco {
    Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{tier}\n{}",
        targets(addresses)
    ))
}

/// A name that falls to this target.
fn name_of(coco: &Coco, target: &str) -> String {
    let names = (0..).map(|number| format!("name{number}"));
    names.take(1_000).find(|name| coco.owner("carbon", name.as_bytes()) == target).unwrap()
}

fn lines(name: &str, count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| format!("{name} {number} 1700000000\n").into_bytes()).collect()
}

fn send(coco: &Coco, bytes: &[u8]) {
    TcpStream::connect(coco.listener("line-tcp")).unwrap().write_all(bytes).unwrap();
}

#[track_caller]
fn wait_for_decoded(coco: &Coco, count: usize) {
    coco.wait_for_ledger("everything to be read", SOON, |ledger| {
        let decoded = ledger.samples("decoded");
        if decoded == count as u64 { Ok(()) } else { Err(format!("{decoded} of {count}")) }
    });
}

#[test]
fn a_target_that_is_down_at_start_gets_its_samples_when_it_comes_up() {
    let (live, port) = (LineSink::start(), free_port());
    let dead = format!("127.0.0.1:{port}");
    let coco = start(&[dead.clone(), live.address().to_string()], "");
    let (dead_name, live_name) =
        (name_of(&coco, &dead), name_of(&coco, &live.address().to_string()));
    send(&coco, &[lines(&dead_name, 1_000), lines(&live_name, 1_000)].concat());
    wait_until("the other target's samples", SOON, || live.count() == 1_000);
    let ledger = coco.ledger();
    ledger.assert_balanced();
    assert_eq!(ledger.held(), 1_000, "{ledger}");

    let risen = LineSink::start_on(port);
    wait_until("what was held", SOON, || risen.count() == 1_000);
    assert_eq!(risen.values(&dead_name), (0..1_000).collect::<Vec<_>>());
    assert_eq!(coco.settle().shed_in_all(), 0);
    coco.stop();
}

#[test]
fn a_slow_target_delays_nobody_and_loses_nothing() {
    let [slow, quick] = [LineSink::start(), LineSink::start()];
    let addresses = [slow.address().to_string(), quick.address().to_string()];
    let coco = start(&addresses, "queue = \"64MiB\"");
    let [slow_name, quick_name] = addresses.each_ref().map(|address| name_of(&coco, address));
    slow.pause();
    // More than the kernel's buffers take.
    send(&coco, &[lines(&slow_name, 400_000), lines(&quick_name, 10_000)].concat());
    wait_until("the quick target's samples", SOON, || quick.count() == 10_000);
    let ledger = coco.ledger();
    assert!(ledger.held() > 0, "{ledger}");
    ledger.assert_balanced();

    slow.resume();
    wait_until("the slow target's samples", SOON, || slow.count() == 400_000);
    assert_eq!(slow.values(&slow_name), (0..400_000).collect::<Vec<_>>());
    assert_eq!(coco.settle().shed_in_all(), 0);
    coco.stop();
}

#[test]
fn a_full_queue_holds_its_clients_back_and_then_sheds_its_oldest_samples() {
    const SENT: usize = 100_000;
    let block_timeout = Duration::from_secs(4);
    let (live, port) = (LineSink::start(), free_port());
    let (dead_address, live_address) = (format!("127.0.0.1:{port}"), live.address().to_string());
    let coco = start(
        &[dead_address.clone(), live_address.clone()],
        "queue = \"64KiB\"\nblock_timeout = \"4s\"",
    );
    let (dead_name, live_name) = (name_of(&coco, &dead_address), name_of(&coco, &live_address));

    let started_at = Instant::now();
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    let bytes = lines(&dead_name, SENT);
    let writer = std::thread::spawn(move || client.write_all(&bytes).unwrap());
    coco.wait_for_ledger("a full queue", SOON, |ledger| {
        let queued = ledger.sent("carbon", &dead_address, "queued");
        if queued > 1_000 { Ok(()) } else { Err(format!("{queued} queued")) }
    });
    // While that client waits, another one's samples go through.
    send(&coco, &lines(&live_name, 1_000));
    wait_until("the other target's samples", block_timeout, || live.count() == 1_000);
    assert!(coco.ledger().samples("decoded") < SENT as u64, "nobody was held back");

    wait_for_decoded(&coco, SENT + 1_000);
    writer.join().unwrap();
    assert!(started_at.elapsed() >= block_timeout, "held back for {:?}", started_at.elapsed());
    assert!(started_at.elapsed() < 4 * block_timeout, "held back for {:?}", started_at.elapsed());
    let ledger = coco.ledger();
    ledger.assert_balanced();
    let shed = ledger.shed("carbon", &dead_address, "queue_full");
    assert!(shed > 0, "{ledger}");
    assert_eq!(ledger.shed_in_all(), shed, "only this target sheds: {ledger}");

    // What it gets in the end is the newest, in order.
    let risen = LineSink::start_on(port);
    coco.settle();
    let due = SENT - usize::try_from(shed).unwrap();
    wait_until("what was kept", SOON, || risen.count() == due);
    assert_eq!(risen.values(&dead_name), (SENT - due..SENT).collect::<Vec<_>>());
    coco.stop();
}

#[test]
fn stopping_delivers_what_is_queued() {
    let sink = LineSink::start();
    let coco = start(&[sink.address().to_string()], "queue = \"64MiB\"");
    let name = name_of(&coco, &sink.address().to_string());
    sink.pause();
    send(&coco, &lines(&name, 400_000));
    wait_for_decoded(&coco, 400_000);
    let ledger = coco.ledger();
    assert!(ledger.held() > 0, "{ledger}");
    ledger.assert_balanced();
    coco.signal(Signal::SIGTERM);
    sink.resume();
    assert_eq!(coco.wait().ledger.shed_in_all(), 0);
    wait_until("the last lines", SOON, || sink.count() == 400_000);
    assert_eq!(sink.values(&name), (0..400_000).collect::<Vec<_>>());
}

#[test]
fn stopping_reads_the_udp_sockets_dry() {
    let sink = UdpSink::start();
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\n{}",
        targets(&[sink.address().to_string()])
    ));
    let listener = coco.listener("collectd");
    // It cannot read these before it is told to stop.
    coco.signal(Signal::SIGSTOP);
    burst(listener, 50);
    coco.signal(Signal::SIGTERM);
    coco.signal(Signal::SIGCONT);
    assert_eq!(coco.wait().ledger.samples("decoded"), 50);
    wait_until("the last datagrams", SOON, || sink.records().len() == 50);
}

#[test]
fn stopping_with_a_dead_target_ends_in_time_and_says_what_was_shed() {
    let dead = format!("127.0.0.1:{}", free_port());
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[limits]\ndrain_timeout = \"1s\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(std::slice::from_ref(&dead))
    ));
    send(&coco, &lines("a", 1_234));
    wait_for_decoded(&coco, 1_234);
    let asked_at = Instant::now();
    coco.signal(Signal::SIGTERM);
    let ended = coco.wait();
    assert!(asked_at.elapsed() < Duration::from_secs(10), "{:?}", asked_at.elapsed());
    assert_eq!(ended.ledger.shed("carbon", &dead, "shutdown"), 1_234, "{}", ended.ledger);
}

#[test]
fn a_port_that_another_process_holds_is_refused() {
    let (tcp, udp) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (tcp, udp) = (tcp.local_addr().map(|a| (a, tcp)), udp.local_addr().map(|a| (a, udp)));
    let ((tcp, _tcp), (udp, _udp)) = (tcp.unwrap(), udp.unwrap());
    let api = "[api]\nbind = \"127.0.0.1:0\"";
    for (address, config) in [
        (udp, format!("[listen]\nbind = \"{udp}\"\n{api}")),
        (tcp, format!("[graphite]\nbind = \"{tcp}\"\n{api}")),
        (tcp, format!("[graphite]\npickle = \"{tcp}\"\n{api}")),
        (tcp, format!("[listen]\nbind = \"127.0.0.1:0\"\n[api]\nbind = \"{tcp}\"")),
    ] {
        let folder = folder();
        let file = folder.path().join("coco.toml");
        let tier = "[tiers.a]\nprotocol = \"embedded\"\ntargets = [\"a\"]\n";
        std::fs::write(&file, format!("{config}\n{tier}")).unwrap();
        let output = coco::run(&[file.to_str().unwrap()], b"");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{config}\n{log}");
        assert!(log.contains(&address.to_string()), "{config}\n{log}");
        assert!(log.contains("in use"), "{config}\n{log}");
    }
}

#[test]
fn what_the_kernel_drops_is_counted() {
    const SENT: u64 = 20_000;
    let sink = UdpSink::start();
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\nreceive_buffer = \"64KiB\"\n[tiers.short]\n{}",
        targets(&[sink.address().to_string()])
    ));
    let listener = coco.listener("collectd");
    coco.signal(Signal::SIGSTOP);
    burst(listener, SENT);
    let dropped = udp_sockets(listener.port()).drops;
    coco.signal(Signal::SIGCONT);
    let ledger = coco.wait_for_ledger("all datagrams", SOON, |ledger| {
        let raw = ledger.received("collectd", "raw");
        let dropped = ledger.received("collectd", "kernel_dropped");
        if raw + dropped == SENT { Ok(()) } else { Err(format!("{raw} read, {dropped} dropped")) }
    });
    assert!(dropped > SENT / 2, "the kernel dropped only {dropped}");
    assert_eq!(ledger.received("collectd", "kernel_dropped"), dropped);
    let vars = coco.get_json("/debug/vars");
    assert_eq!(vars["coco"]["listen"]["kernel_dropped"].as_u64(), Some(dropped), "{vars}");
    let ledger = coco.settle();
    let raw = ledger.received("collectd", "raw");
    assert_eq!(ledger.samples("decoded"), raw, "{ledger}");
    coco.stop();
}

fn burst(listener: SocketAddr, count: u64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..count {
        let datagram = datagram::gauge("web01.example", "burst", "a", 1_795_000_000 + number, 1.0);
        assert_eq!(socket.send_to(&datagram, listener).unwrap(), datagram.len());
    }
}
