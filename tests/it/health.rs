use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use coco_tests::{
    coco::{self, Coco},
    datagram::{self, Record},
    ledger::Ledger,
    port::{self, free_port},
    process::{Process, Signal, folder, program},
    sink::{LineSink, UdpSink},
    wait::{SOON, wait_until},
};

/// A silent target with a probe is judged within 15 s; on a machine that is busy with other tests, within this time.
const JUDGED: Duration = Duration::from_secs(25);

/// A loop is found within this time.
const FOUND: Duration = Duration::from_secs(10);

/// The hold-down is 5 s at first and doubles while a target flaps.
const HELD: Duration = Duration::from_secs(40);

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// Where a target is asked: answers each first line in the way that is set, until it is dropped.
struct Door {
    port: u16,
    answer: Arc<Mutex<Option<&'static [u8]>>>,
    asked: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    keeper: Option<thread::JoinHandle<()>>,
}

impl Door {
    fn open(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = port::bind(address, || TcpListener::bind(address));
        let answer = Arc::new(Mutex::new(Some(PAGE)));
        let (asked, ending) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (told, count, end) = (Arc::clone(&answer), Arc::clone(&asked), Arc::clone(&ending));
        let keeper = thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let answer = *told.lock().unwrap();
                // The one who asks may be content with the connection.
                let mut line = String::new();
                let mut stream = BufReader::new(stream);
                stream.get_ref().set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                match (stream.read_line(&mut line), answer) {
                    (Ok(1..), Some(answer)) => drop(stream.get_mut().write_all(answer)),
                    (Ok(1..), None) => silent.push(stream),
                    (Ok(0) | Err(_), _) => {}
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { port, answer, asked, ending, keeper: Some(keeper) }
    }

    /// Answers so from now on; `None`: takes the question and says nothing.
    fn set(&self, answer: Option<&'static [u8]>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(keeper) = self.keeper.take() {
            keeper.join().ok();
        }
    }
}

fn state(ledger: &Ledger, tier: &str, target: &str) -> String {
    ledger.target(tier, target)["state"].as_str().unwrap().to_owned()
}

/// Waits for a state of a target; returns how long that took.
#[track_caller]
fn wait_for_state(
    coco: &Coco,
    tier: &str,
    target: &str,
    wanted: &str,
    limit: Duration,
) -> Duration {
    let started_at = Instant::now();
    let what = format!("{target} to be {wanted}");
    coco.wait_for_ledger(&what, limit, |ledger| match state(ledger, tier, target) {
        seen if seen == wanted => Ok(()),
        seen => Err(seen),
    });
    started_at.elapsed()
}

/// Sends a listener of collectd's protocol samples with these numbers.
fn send_collectd(listener: SocketAddr, numbers: std::ops::Range<u32>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in numbers {
        let second = 1_795_000_000 + u64::from(number);
        let datagram = datagram::gauge("web01", "x", "a", second, f64::from(number));
        socket.send_to(&datagram, listener).unwrap();
    }
}

fn numbers(sink: &UdpSink) -> Vec<u64> {
    let second = |record: Record| match record {
        Record::Values { time, .. } => (time >> 30) - 1_795_000_000,
        Record::Notification { .. } => panic!("nobody sent a notification"),
    };
    sink.records().into_iter().map(second).collect()
}

#[track_caller]
fn wait_for_count(coco: &Coco, counter: &str, count: u64) {
    coco.wait_for_ledger(&format!("{count} {counter}"), SOON, |ledger| {
        let now = ledger.of_all(counter);
        if now == count { Ok(()) } else { Err(format!("{now} {counter}")) }
    });
}

fn spool(directory: &Path) -> String {
    format!("[spool]\ndirectory = {directory:?}\n")
}

#[test]
fn a_udp_target_that_is_deaf_to_its_probe_is_held_for_and_gets_all_in_order() {
    let (dir, sink, port) = (folder(), UdpSink::start(), free_port());
    let door = Door::open(port);
    let target = sink.address().to_string();
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n{}[tiers.short]\nprobe = \"tcp:{port}\"\n{}",
        spool(dir.path()),
        coco::targets(std::slice::from_ref(&target)),
    ));
    let listener = coco.listener("collectd");
    wait_for_state(&coco, "short", &target, "up", SOON);
    send_collectd(listener, 0..10);
    wait_until("the first samples", SOON, || sink.records().len() == 10);

    drop(door);
    let took = wait_for_state(&coco, "short", &target, "down", JUDGED);
    send_collectd(listener, 10..510);
    wait_for_count(&coco, "spooled", 500);
    assert_eq!(sink.records().len(), 10, "it was fed {took:?} after its probe had failed");
    coco.ledger().assert_balanced();
    let vars = coco.get_json("/debug/vars");
    let shown = &vars["coco"]["target"][&target];
    assert_eq!(shown["state"], 4, "{shown}");
    assert!(shown["since"].is_u64() && shown["probe_ok"].as_u64() >= Some(1), "{shown}");
    assert!(shown["probe_fail"].as_u64() >= Some(3), "{shown}");
    let metrics = coco.get("/metrics").body;
    let labels = format!("{{tier=\"short\",target=\"{target}\"");
    assert!(metrics.contains(&format!("coco_target_probe_failed_total{labels}}}")), "{metrics}");
    assert!(metrics.contains(&format!("coco_target_state_seconds{labels},state=\"down\"}}")));

    let _door = Door::open(port);
    wait_until("what was held", HELD, || sink.records().len() == 510);
    assert_eq!(numbers(&sink), (0..510).collect::<Vec<_>>());
    assert_eq!(state(&coco.ledger(), "short", &target), "up");
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn a_tcp_target_goes_by_its_page_and_a_reload_may_change_how_it_is_asked() {
    let (dir, sink, door) = (folder(), LineSink::start(), Door::open(free_port()));
    let target = sink.address().to_string();
    let config = |probe: &str| {
        format!(
            "[graphite]\nbind = \"127.0.0.1:0\"\n{}[tiers.carbon]\nprotocol = \"graphite\"\n\
             resend = 0\nprobe = \"{probe}\"\n{}",
            spool(dir.path()),
            coco::targets(std::slice::from_ref(&target)),
        )
    };
    let by_page = config(&format!("http://:{}/health?x=1", door.port));
    let coco = Coco::start(&by_page);
    let send = |count: usize| {
        let lines: String = (0..count).map(|n| format!("a.name {n} 1700000000\n")).collect();
        let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
        client.write_all(lines.as_bytes()).unwrap();
    };
    wait_for_state(&coco, "carbon", &target, "up", SOON);
    send(5);
    wait_until("the first lines", SOON, || sink.count() == 5);

    // It takes connections, and says nothing.
    door.set(None);
    wait_for_state(&coco, "carbon", &target, "down", JUDGED);
    send(100);
    wait_for_count(&coco, "spooled", 100);
    door.set(Some(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"));
    let asked = door.asked();
    wait_until("more questions", SOON, || door.asked() > asked + 2);
    assert_eq!(state(&coco.ledger(), "carbon", &target), "down");
    assert_eq!(sink.count(), 5);
    door.set(Some(b"HTTP/1.1 204 No Content\r\n\r\n"));
    wait_until("what was held", HELD, || sink.count() == 105);

    // Asked in another way it is the same target, with the same queue.
    door.set(None);
    wait_for_state(&coco, "carbon", &target, "down", JUDGED);
    send(100);
    wait_for_count(&coco, "spooled", 100);
    let changes = coco.reload(&config("none"));
    assert!(changes.to_string().contains(&target), "{changes}");
    wait_until("what was held", SOON, || sink.count() == 205);
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

/// A real rrdcached that listens on a port and on a Unix socket.
fn rrdcached(dir: &Path, port: u16) -> Process {
    let mut command = Command::new(program("rrdcached", "rrdcached"));
    command.arg("-g").args(["-l", &format!("127.0.0.1:{port}")]);
    command.arg("-l").arg(format!("unix:{}", dir.join("rrd.sock").display()));
    command.arg("-b").arg(dir).arg("-p").arg(dir.join("rrdcached.pid"));
    Process::start("rrdcached", &mut command)
}

#[test]
fn rrdcached_is_asked_by_ping() {
    let (dir, port) = (folder(), free_port());
    let sinks = [UdpSink::start(), UdpSink::start()];
    let [by_port, by_path] = sinks.each_ref().map(|sink| sink.address().to_string());
    let mut cache = rrdcached(dir.path(), port);
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\nprobe = \"rrdcached::{port}\"\ntargets = [\n\
         \"{by_port}\", {{ address = \"{by_path}\", probe = \"rrdcached:unix:{}\" }} ]",
        dir.path().join("rrd.sock").display()
    ));
    let wait_for_both = |wanted: &str, limit: Duration| {
        for target in [&by_port, &by_path] {
            wait_for_state(&coco, "short", target, wanted, limit);
        }
    };
    wait_for_both("up", SOON);
    // Frozen, it takes connections and answers nothing.
    cache.signal(Signal::SIGSTOP);
    wait_for_both("down", JUDGED);
    cache.signal(Signal::SIGCONT);
    wait_for_both("up", HELD);
    cache.signal(Signal::SIGKILL);
    cache.wait(SOON);
    wait_for_both("down", JUDGED);
    coco.stop();
}

#[test]
fn most_of_a_tier_down_at_once_is_said_to_be_our_fault() {
    let sinks = [UdpSink::start(), UdpSink::start(), UdpSink::start()];
    let mut doors: Vec<_> = (0..3).map(|_| Door::open(free_port())).collect();
    let rows = sinks.iter().zip(&doors).map(|(sink, door)| {
        format!("{{ address = \"{}\", probe = \"tcp:{}\" }}", sink.address(), door.port)
    });
    let rows: Vec<_> = rows.collect();
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\ntargets = [{}]",
        rows.join(", ")
    ));
    for sink in &sinks {
        wait_for_state(&coco, "short", &sink.address().to_string(), "up", SOON);
    }
    let shown = |value: u8| {
        let line = format!("coco_tier_suspect_self{{tier=\"short\"}} {value}\n");
        wait_until(&line, JUDGED.max(HELD), || coco.get("/metrics").body.contains(&line));
        let vars = coco.get_json("/debug/vars");
        assert_eq!(vars["coco"]["tier"]["short"]["suspect_self"], value, "{vars}");
    };
    shown(0);
    let ports: Vec<_> = doors.drain(..2).map(|door| door.port).collect();
    shown(1);
    let told = "most of a tier went down within 10 s: the fault is probably on this side (network, \
                resolver); all are tried on tier=\"short\" down=2 of=3";
    assert_eq!(coco.log().matches(told).count(), 1, "{}", coco.log());
    doors.extend(ports.into_iter().map(Door::open));
    shown(0);
    assert_eq!(coco.log().matches(told).count(), 1);
    coco.stop();
}

#[test]
fn a_target_that_flaps_is_judged_once_in_a_hold_down() {
    let (sink, door) = (UdpSink::start(), Door::open(free_port()));
    let target = sink.address().to_string();
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\nprobe = \"http://:{}\"\n{}",
        door.port,
        coco::targets(std::slice::from_ref(&target)),
    ));
    let refused = Some(&b"HTTP/1.1 500 no\r\n\r\n"[..]);
    let listener = coco.listener("collectd");
    let downs = || coco.log().matches("down: its probes fail").count();
    wait_for_state(&coco, "short", &target, "up", SOON);
    for flip in 0..10 {
        door.set(if flip % 2 == 0 { refused } else { Some(PAGE) });
        let asked = door.asked();
        wait_until("the next probe", SOON, || door.asked() > asked);
        send_collectd(listener, flip * 10..(flip + 1) * 10);
    }
    assert_eq!(downs(), 0, "no three failures stood together");
    wait_until("all samples", SOON, || sink.records().len() == 100);
    for (held, hold) in [(1, 5), (2, 10)] {
        door.set(refused);
        wait_for_state(&coco, "short", &target, "down", JUDGED);
        door.set(Some(PAGE));
        let took = wait_for_state(&coco, "short", &target, "up", HELD);
        assert!(took >= Duration::from_secs(hold - 1), "up after {took:?}");
        assert_eq!(downs(), held);
    }
    assert_eq!(coco.settle().shed_in_all(), 0);
    coco.stop();
}

/// Passes datagrams on from a socket of its own, as a translator of addresses does.
struct Relay {
    address: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    ending: Arc<AtomicBool>,
    passer: Option<thread::JoinHandle<()>>,
}

impl Relay {
    fn start(to: SocketAddr) -> Self {
        let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
        let outside = UdpSocket::bind("127.0.0.1:0").unwrap();
        inside.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = inside.local_addr().unwrap();
        let (to, ending) = (Arc::new(Mutex::new(to)), Arc::<AtomicBool>::default());
        let (place, end) = (Arc::clone(&to), Arc::clone(&ending));
        let passer = thread::spawn(move || {
            let mut room = vec![0; 65_536];
            while !end.load(Ordering::Relaxed) {
                if let Ok(length) = inside.recv(&mut room) {
                    let to = *place.lock().unwrap();
                    outside.send_to(&room[..length], to).ok();
                }
            }
        });
        Self { address, to, ending, passer: Some(passer) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(passer) = self.passer.take() {
            passer.join().ok();
        }
    }
}

#[test]
fn a_loop_through_a_translated_address_is_found_and_switched_off_until_a_reload() {
    let listener = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let (dir, relay, sink) = (folder(), Relay::start(listener), UdpSink::start());
    let target = relay.address.to_string();
    let config = format!(
        "[listen]\nbind = \"{listener}\"\n{}[tiers.short]\n{}",
        spool(dir.path()),
        coco::targets(std::slice::from_ref(&target))
    );
    let coco = Coco::start(&config);
    send_collectd(listener, 0..10);
    wait_for_state(&coco, "short", &target, "loop", FOUND);
    send_collectd(listener, 10..110);
    coco.wait_for_ledger("what came since to be shed", SOON, |ledger| {
        let shed = ledger.shed("short", &target, "loop");
        if shed >= 100 { Ok(()) } else { Err(format!("{shed} shed")) }
    });
    let ledger = coco.settle();
    ledger.assert_balanced();
    assert!(ledger.received("collectd", "probes") >= 1, "{ledger}");
    assert_eq!(ledger.samples("malformed"), 0, "{ledger}");
    let vars = coco.get_json("/debug/vars");
    assert_eq!(vars["coco"]["target"][&target]["state"], 6);
    assert!(vars["coco"]["shed"]["loop"].as_u64() >= Some(100), "{vars}");
    assert_eq!(coco.log().matches("a loop: what it is sent").count(), 1, "{}", coco.log());

    // Mended, and told so.
    *relay.to.lock().unwrap() = sink.address();
    coco.reload(&config);
    wait_for_state(&coco, "short", &target, "unknown", SOON);
    send_collectd(listener, 200..210);
    wait_until("the next samples", SOON, || sink.records().len() == 10);
    assert_eq!(numbers(&sink), (200..210).collect::<Vec<_>>());
    coco.settle().assert_balanced();
    coco.stop();
}

#[test]
fn a_target_that_is_our_own_listener_gets_no_sample_even_if_the_file_cannot_tell() {
    let sinks = [UdpSink::start().address(), LineSink::start().address()];
    // No file can say which port the kernel will choose.
    let config = |collectd: SocketAddr, lines: SocketAddr| {
        format!(
            "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n\
             [tiers.short]\ntargets = [\"{collectd}\"]\n\
             [tiers.carbon]\nprotocol = \"graphite\"\ntargets = [\"{lines}\"]"
        )
    };
    let coco = Coco::start(&config(sinks[0], sinks[1]));
    let [collectd, lines] = ["collectd", "line-tcp"].map(|protocol| coco.listener(protocol));
    coco.reload(&config(collectd, lines));
    for (tier, target) in [("short", collectd), ("carbon", lines)] {
        wait_for_state(&coco, tier, &target.to_string(), "loop", FOUND);
    }
    send_collectd(collectd, 0..10);
    TcpStream::connect(lines).unwrap().write_all(b"a 1 1700000000\n").unwrap();
    let ledger = coco.wait_for_ledger("all to be shed", SOON, |ledger| {
        let shed = [("short", collectd), ("carbon", lines)]
            .map(|(tier, target)| ledger.shed(tier, &target.to_string(), "loop"));
        if shed == [10, 1] { Ok(()) } else { Err(format!("{shed:?} shed")) }
    });
    ledger.assert_balanced();
    assert_eq!(ledger.samples("decoded"), 11, "none came back: {ledger}");
    coco.stop();
}
