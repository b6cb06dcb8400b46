use std::{
    env,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use coco_tests::{
    coco::{Coco, targets},
    datagram,
    process::folder,
    storage::Storage,
    store,
    wait::{wait_for, wait_until},
};

const HOSTS: u64 = 200;

/// Of each host, in one datagram.
const SERIES: [&str; 4] = ["a", "b", "c", "d"];

/// A node gets all within this after it is back: probes, and what waited.
const BACK_MAX: Duration = Duration::from_secs(60);

/// Datagrams that a node may be sent while nobody listens, before it is judged down.
const UNJUDGED_MAX: u64 = 20;

/// Each host sends one datagram a second, one host after the other, until told to stop.
fn feed(to: SocketAddr, sent: &AtomicU64, stop: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (began, step) = (Instant::now(), Duration::from_secs(1) / u32::try_from(HOSTS).unwrap());
    for (turn, number) in (0..).zip(0_u64..) {
        let due = began + step * turn;
        while let Some(rest) = due.checked_duration_since(Instant::now()) {
            thread::park_timeout(rest);
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (host, time) = (format!("host{:03}", number % HOSTS), start + number / HOSTS);
        let lists = SERIES.map(|name| datagram::gauge(&host, "outage", name, time, 1.0));
        socket.send_to(&lists.concat(), to).unwrap();
        sent.fetch_add(SERIES.len() as u64, Ordering::Relaxed);
    }
}

/// Lets the load go on for so long.
fn let_pass(time: Duration) {
    let since = Instant::now();
    wait_until("the load to go on", 2 * time, || since.elapsed() >= time);
}

/// One node of two is away for a while, and misses nothing but what it was sent before it was judged down.
fn outage(what: &str, stop: impl Fn(&mut Storage), start: impl Fn(&mut Storage)) {
    let seconds = env::var("COCO_TEST_OUTAGE").map_or(10, |text| text.parse().unwrap());
    let (mut bad, good, spool) = (Storage::start(), Storage::start(), folder());
    let addresses = [bad.address(), good.address()];
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[spool]\ndirectory = {:?}\n[tiers.short]\n{}",
        spool.path(),
        targets(&addresses)
    ));
    let listener = coco.listener("collectd");
    let sent_to = |at: usize| coco.ledger().sent("short", &addresses[at], "sent");
    let (fed, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (lost, back_in) = thread::scope(|scope| {
        scope.spawn(|| feed(listener, &fed, &over));
        wait_until("every series", BACK_MAX, || bad.updates() + good.updates() > 2 * HOSTS * 4);
        stop(&mut bad);
        let before = bad.updates();
        let_pass(Duration::from_secs(seconds));
        // What was sent to a port where nobody listens.
        let lost = sent_to(0) - before;
        start(&mut bad);
        let since = Instant::now();
        wait_for("the node to have all", BACK_MAX, || {
            let ledger = coco.ledger();
            let spooled = ledger.sent("short", &addresses[0], "spooled");
            let is_up = ledger.target("short", &addresses[0])["state"] != "down";
            if spooled == 0 && is_up { Ok(()) } else { Err(format!("{spooled} spooled")) }
        });
        let back_in = since.elapsed();
        let_pass(Duration::from_secs(1));
        over.store(true, Ordering::Relaxed);
        (lost, back_in)
    });
    let fed = fed.load(Ordering::Relaxed);
    coco.wait_for_ledger("everything to be read", BACK_MAX, |ledger| {
        let decoded = ledger.samples("decoded");
        if decoded == fed { Ok(()) } else { Err(format!("{decoded} of {fed}")) }
    });
    coco.settle();
    let due = [sent_to(0) - lost, sent_to(1)];
    let drops = || bad.socket().drops;
    wait_for("the nodes to store all", BACK_MAX, || {
        let now = [bad.updates(), good.updates()];
        let is_all =
            now == due || (drops() > 0 && bad.socket().waiting_bytes == 0 && now[1] == due[1]);
        if is_all { Ok(()) } else { Err(format!("{now:?} of {due:?}, {:?}", bad.socket())) }
    });
    eprintln!(
        "FIGURE {what} for {seconds} s: {fed} samples, {lost} lost before the judgement, {} of {} stored, {} \
         refused, {} dropped at its socket, back {back_in:.1?} after the start",
        bad.updates(),
        sent_to(0),
        bad.refused().len(),
        drops(),
    );
    assert!(lost <= UNJUDGED_MAX * SERIES.len() as u64, "{lost} samples lost");
    assert_eq!([bad.refused(), good.refused()], [const { Vec::<String>::new() }; 2]);
    assert_eq!(drops(), 0, "datagrams that the node could not hold");
    assert_eq!(good.socket().drops, 0);
    let series = [bad.rrd(), good.rrd()].map(|dir| store::rrd_series(&dir).len() as u64);
    assert_eq!(series[0] + series[1], HOSTS * SERIES.len() as u64, "series: {series:?}");
    let ledger = coco.stop().ledger;
    assert_eq!((ledger.shed_in_all(), ledger.kernel_dropped()), (0, 0), "{ledger}");
}

#[test]
fn a_node_whose_collectd_is_away_for_a_while_gets_all_and_refuses_nothing() {
    outage("collectd away", Storage::stop_collectd, Storage::start_collectd);
}

#[test]
fn a_node_that_is_away_for_a_while_gets_all_and_refuses_nothing() {
    let stop = |node: &mut Storage| {
        node.stop_collectd();
        node.stop_rrdcached();
    };
    let start = |node: &mut Storage| {
        node.start_rrdcached();
        node.start_collectd();
    };
    outage("collectd and rrdcached away", stop, start);
}
