//! A running router allocates nothing per sample once it knows its series: every allocation of the process
//! is counted while samples flow through its sockets.
//!
//! The one test of its program, as the count is the process' own. Feeder and sinks allocate nothing either.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod plans;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use coco_router::{
    Bound, Handle, TierFates,
    plan::{Limits, ListenerProtocol, Plan, TargetProtocol},
    telemetry::Registry,
};
use coco_wire::collectd::{Decoder, Identity, Kind, Packer, ValueList, Values};
use plans::{LONG, listener, tier};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const TARGETS: usize = 4;
const SERIES: usize = 1000;

/// Rounds of all series before anything is counted, and while it is.
const WARM_UP: usize = 200;
const ROUNDS: usize = 1000;

/// Allocations while [`ROUNDS`] pass, a million samples: heartbeats, counters that somebody asks for, and
/// new chunks of thousands of samples when the sinks are slow and a queue grows. Usually fewer than fifty.
const ALLOCATIONS_MAX: u64 = 5000;

/// TCP sinks that only read.
fn line_sinks() -> Vec<u16> {
    let sink = |_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            let (mut stream, _) = listener.accept().unwrap();
            while stream.read(&mut buffer).is_ok_and(|len| len > 0) {}
        });
        port
    };
    (0..TARGETS).map(sink).collect()
}

/// UDP sinks that only decode, and how many value lists they have got.
fn datagram_sinks() -> (Vec<u16>, Arc<AtomicU64>) {
    let lists = Arc::new(AtomicU64::new(0));
    let sink = |_| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, lists) = (socket.local_addr().unwrap().port(), Arc::clone(&lists));
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok(len) = socket.recv(&mut buffer) {
                let count = Decoder::new(&buffer[..len]).count();
                lists.fetch_add(count as u64, Ordering::Relaxed);
            }
        });
        port
    };
    ((0..TARGETS).map(sink).collect(), lists)
}

/// One line of each series.
fn lines() -> Vec<u8> {
    (0..SERIES).flat_map(|n| format!("web{n}.cpu.load {n}.5 1700000000\n").into_bytes()).collect()
}

/// Datagrams with 25 value lists each: of one host, which go on as they came; of several, which are packed
/// anew.
fn datagrams(hosts: usize) -> Vec<Vec<u8>> {
    let (kinds, raw) = ([Kind::Gauge.to_wire()], 1.5_f64.to_le_bytes());
    let datagram = |at: usize| {
        let (mut packer, mut out) = (Packer::new(65_000), Vec::new());
        packer.begin(0);
        for n in 0..25 {
            let (host, instance) = (format!("host{}", at + n % hosts), format!("{n}"));
            let identity = Identity {
                host: host.as_bytes(),
                plugin: b"cpu",
                plugin_instance: instance.as_bytes(),
                type_: b"gauge",
                type_instance: b"",
            };
            let values = Values::try_new(&kinds, &raw).unwrap();
            let list =
                ValueList { identity, time: 1_700_000_000 << 30, interval: 10 << 30, values };
            packer.push(&mut out, &list).unwrap();
        }
        out
    };
    (0..SERIES / 25).map(datagram).collect()
}

fn wait_for(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !reached() {
        assert!(Instant::now() < deadline, "{what}: not within {LONG:?}");
        thread::yield_now();
    }
}

/// Feeds so many rounds to warm up, and then others while allocations are counted.
fn check(what: &str, feed: &mut dyn FnMut(usize)) {
    feed(WARM_UP);
    let before = dhat::HeapStats::get().total_blocks;
    feed(ROUNDS);
    let count = dhat::HeapStats::get().total_blocks - before;
    assert!(count <= ALLOCATIONS_MAX, "{count} allocations for {} {what}", SERIES * ROUNDS);
}

/// Starts the router on a thread of its own; it ends with the process.
fn start(plan: Plan) -> (Handle, Vec<SocketAddr>) {
    let (told, started) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bound = Bound::bind(plan, NonZeroUsize::MIN, Registry::default()).unwrap();
            let addresses = bound.addresses().map(|(_, address)| address).collect();
            let running = bound.run().await.unwrap();
            told.send((running.handle(), addresses)).unwrap();
            std::future::pending::<()>().await;
        });
    });
    started.recv().unwrap()
}

fn plan(line_ports: &[u16], datagram_ports: &[u16]) -> Plan {
    Plan {
        listeners: vec![
            listener(ListenerProtocol::LineTcp, 0),
            listener(ListenerProtocol::Collectd, 0),
        ],
        blacklist: Some(regex::bytes::Regex::new("/(vmem|irq|entropy|users)/").unwrap()),
        tiers: vec![
            tier("lines", TargetProtocol::LineTcp, 2, line_ports),
            tier("collectd", TargetProtocol::Collectd, 1, datagram_ports),
        ],
        limits: Limits::default(),
        spool: None,
        ringless: Vec::new(),
    }
}

#[test]
fn a_sample_costs_no_allocation() {
    let (line_ports, (datagram_ports, arrived)) = (line_sinks(), datagram_sinks());
    let (handle, addresses) = start(plan(&line_ports, &datagram_ports));
    let _profiler = dhat::Profiler::builder().testing().build();

    let (mut client, text) = (TcpStream::connect(addresses[0]).unwrap(), lines());
    let mut feed = |rounds| (0..rounds).for_each(|_| client.write_all(&text).unwrap());
    check("lines", &mut feed);

    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.connect(addresses[1]).unwrap();
    for (what, datagrams) in [
        ("value lists of datagrams that go as they came", datagrams(1)),
        ("value lists of datagrams that are packed anew", datagrams(25)),
    ] {
        check(what, &mut |rounds| {
            for _ in 0..rounds {
                let due = arrived.load(Ordering::Relaxed) + SERIES as u64;
                datagrams.iter().for_each(|datagram| _ = client.send(datagram).unwrap());
                // Not faster than they go, so that none is lost on the way.
                wait_for(what, || arrived.load(Ordering::Relaxed) == due);
            }
        });
    }

    let due = [(2 * SERIES * (WARM_UP + ROUNDS)) as u64, 2 * (SERIES * (WARM_UP + ROUNDS)) as u64];
    wait_for("everything to be sent", || {
        let ledger = handle.ledger();
        assert_eq!(ledger.residual(), 0, "{ledger:#?}");
        let sent = |tier: &TierFates| tier.targets.iter().map(|target| target.sent).sum::<u64>();
        ledger.tiers.iter().map(sent).eq(due)
    });
}
