//! Many reloads under load lose nothing: every line and every value list arrives once in its tier, and the
//! ledger adds up all the while.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod plans;

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use coco_router::{
    Bound, Handle, Ledger, TargetFates,
    plan::{Limits, ListenerProtocol, Plan, TargetProtocol},
    telemetry::Registry,
};
use coco_wire::collectd::{Decoder, Identity, Item, Kind, Packer, ValueList, Values};
use plans::{LONG, listener, tier};
use regex::bytes::Regex;

const RELOADS: usize = 50;

/// Samples that may be on their way: less than any buffer holds, so that the kernel drops none.
const LINES_AHEAD: usize = 40_000;
const LISTS_AHEAD: usize = 500;

/// Most samples of each kind in one run.
const SAMPLES_MAX: usize = 10_000_000;

/// How often each sample has arrived, by its number.
struct Marks {
    seen: Vec<AtomicU8>,
    arrived: AtomicUsize,
}

impl Marks {
    fn new() -> Arc<Self> {
        let seen = (0..SAMPLES_MAX).map(|_| AtomicU8::new(0)).collect();
        Arc::new(Self { seen, arrived: AtomicUsize::new(0) })
    }

    fn mark(&self, number: usize) {
        self.seen[number].fetch_add(1, Ordering::Relaxed);
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }

    /// The first of `sent` samples that have not arrived once each.
    fn wrong(&self, sent: usize) -> Vec<(usize, u8)> {
        let seen = self.seen.iter().map(|seen| seen.load(Ordering::Relaxed)).enumerate();
        seen.take(sent).filter(|(_, seen)| *seen != 1).take(20).collect()
    }
}

/// A target that takes lines `name NUMBER time` from any number of connections.
fn line_sink(marks: &Arc<Marks>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, marks) = (listener.local_addr().unwrap().port(), Arc::clone(marks));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, marks) = (stream.unwrap(), Arc::clone(&marks));
            thread::spawn(move || {
                let mut lines = BufReader::with_capacity(1 << 18, stream);
                let mut line = Vec::new();
                while lines.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                    let text = std::str::from_utf8(&line).unwrap();
                    marks.mark(text.split(' ').nth(1).unwrap().parse().unwrap());
                    line.clear();
                }
            });
        }
    });
    port
}

/// A target that takes value lists whose derive is their number.
fn datagram_sink(marks: &Arc<Marks>) -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, marks) = (socket.local_addr().unwrap().port(), Arc::clone(marks));
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok(len) = socket.recv(&mut buffer) {
            for item in Decoder::new(&buffer[..len]) {
                let Item::Values(list) = item else { panic!("{item:?}") };
                let (_, number) = list.values.iter().next().unwrap();
                marks.mark(usize::try_from(i64::from_be_bytes(number)).unwrap());
            }
        }
    });
    port
}

fn line_client(address: SocketAddr, marks: Arc<Marks>, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) && number + 1000 < SAMPLES_MAX {
            if number > marks.arrived() + LINES_AHEAD {
                thread::park_timeout(Duration::from_millis(1));
                continue;
            }
            let line = |n: usize| format!("web{}.load {n} 1700000000\n", n % 997).into_bytes();
            let lines: Vec<u8> = (number..number + 1000).flat_map(line).collect();
            stream.write_all(&lines).unwrap();
            number += 1000;
            thread::park_timeout(Duration::from_millis(5));
        }
        number
    })
}

fn list_client(address: SocketAddr, marks: Arc<Marks>, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    thread::spawn(move || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) && number < SAMPLES_MAX {
            if number > marks.arrived() + LISTS_AHEAD {
                thread::park_timeout(Duration::from_millis(1));
                continue;
            }
            let host = format!("host{}", number % 997);
            let identity = Identity {
                host: host.as_bytes(),
                plugin: b"cpu",
                type_: b"derive",
                ..Identity::default()
            };
            let raw = i64::try_from(number).unwrap().to_be_bytes();
            let kinds = [Kind::Derive.to_wire()];
            let values = Values::try_new(&kinds, &raw).unwrap();
            let list =
                ValueList { identity, time: 1_700_000_000 << 30, interval: 10 << 30, values };
            let (mut packer, mut datagram) = (Packer::new(1452), Vec::new());
            packer.begin(0);
            packer.push(&mut datagram, &list).unwrap();
            socket.send_to(&datagram, address).unwrap();
            number += 1;
            if number % 20 == 0 {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
        number
    })
}

/// The address on which a protocol is taken.
fn address(handle: &Handle, protocol: &str) -> SocketAddr {
    let ledger = handle.ledger();
    let listener = ledger.listeners.iter().find(|listener| listener.protocol == protocol);
    listener.unwrap().address.parse().unwrap()
}

/// Lets the runtime go on until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// All targets, and what has arrived at them.
struct Field {
    lines: Arc<Marks>,
    lists: Arc<Marks>,
    copies: Arc<Marks>,
    line_ports: Vec<u16>,
    list_ports: Vec<u16>,
    copy_ports: Vec<u16>,
}

impl Field {
    fn new() -> Self {
        let (lines, lists, copies) = (Marks::new(), Marks::new(), Marks::new());
        let line_ports = (0..5).map(|_| line_sink(&lines)).collect();
        let list_ports = (0..5).map(|_| datagram_sink(&lists)).collect();
        let copy_ports = (0..3).map(|_| line_sink(&copies)).collect();
        Self { lines, lists, copies, line_ports, list_ports, copy_ports }
    }

    /// Plans share most targets and their listeners; all else comes and goes, replicas too.
    fn plan(&self, which: usize) -> Plan {
        let ports = |ports: &[u16]| [ports[0], ports[1], ports[2], ports[3 + which % 2]];
        let mut tiers = vec![
            tier("lines", TargetProtocol::LineTcp, 1, &ports(&self.line_ports)),
            tier("lists", TargetProtocol::Collectd, 1, &ports(&self.list_ports)),
        ];
        let mut listeners =
            vec![listener(ListenerProtocol::LineTcp, 0), listener(ListenerProtocol::Collectd, 0)];
        if which % 2 == 1 {
            let replicas = 1 + which / 2 % 3;
            tiers.insert(0, tier("copies", TargetProtocol::LineTcp, replicas, &self.copy_ports));
            listeners.push(listener(ListenerProtocol::LineUdp, 0));
            listeners.push(listener(ListenerProtocol::Pickle, 0));
        }
        let blacklist = (which % 3 == 1).then(|| Regex::new("nothing").unwrap());
        let (limits, ringless) = (Limits::default(), Vec::new());
        Plan { listeners, blacklist, tiers, limits, spool: None, ringless }
    }

    /// Reloads while samples flow.
    async fn reload_often(&self, handle: &Handle) {
        let (lines, lists) = (&self.lines, &self.lists);
        for which in 1..=RELOADS {
            let before = (lines.arrived(), lists.arrived());
            let changes = handle.reload(self.plan(which), LONG).await.unwrap();
            assert_eq!(changes.targets.added.len(), if which % 2 == 1 { 5 } else { 2 });
            assert_eq!(handle.epoch(), 1 + u64::try_from(which).unwrap());
            until("samples to flow", || {
                assert_eq!(handle.ledger().residual(), 0, "after reload {which}");
                lines.arrived() > before.0 + 5_000 && lists.arrived() > before.1 + 1_000
            })
            .await;
        }
    }

    /// Waits until so many samples have arrived, and nothing is held.
    async fn gets(&self, handle: &Handle, sent: usize) {
        until("the last samples", || {
            let ledger = handle.ledger();
            assert_eq!(ledger.residual(), 0);
            let held = ledger.tiers.iter().flat_map(|t| &t.targets).map(|t| t.queued + t.in_flight);
            held.sum::<u64>() == 0 && self.lines.arrived() + self.lists.arrived() >= sent
        })
        .await;
    }

    async fn judge(&self, drained: &Ledger, line_count: usize, list_count: usize) {
        assert_eq!(self.lines.wrong(line_count), [], "lines lost or doubled: {drained:#?}");
        assert_eq!(self.lists.wrong(list_count), [], "value lists lost or doubled: {drained:#?}");
        assert_eq!(drained.residual(), 0);
        assert_eq!(drained.samples.decoded, u64::try_from(line_count + list_count).unwrap());
        let due = drained.tiers.iter().find(|tier| tier.name == "copies").unwrap().due;
        until("the last copies", || self.copies.arrived() as u64 >= due).await;
        assert_eq!(self.copies.arrived() as u64, due);
        let shed = drained.tiers.iter().flat_map(|t| &t.targets).map(|t| t.shed()).sum::<u64>();
        assert_eq!(shed, 0);
        // What stayed has never lost its connection.
        let stayed = |target: &&TargetFates| {
            self.line_ports[..3].iter().any(|port| target.label == format!("127.0.0.1:{port}"))
        };
        let lines = drained.tiers.iter().find(|tier| tier.name == "lines").unwrap();
        assert!(lines.targets.iter().filter(stayed).all(|target| target.disconnects == 0));
    }
}

#[test]
fn fifty_reloads_under_load_lose_nothing() {
    let field = Field::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shards = NonZeroUsize::new(2).unwrap();
        let running = Bound::bind(field.plan(0), shards, Registry::default()).unwrap();
        let running = running.run().await.unwrap();
        let handle = running.handle();
        let stop = Arc::new(AtomicBool::new(false));
        let (line_to, list_to) = (address(&handle, "line-tcp"), address(&handle, "collectd"));
        let line_client = line_client(line_to, Arc::clone(&field.lines), Arc::clone(&stop));
        let list_client = list_client(list_to, Arc::clone(&field.lists), Arc::clone(&stop));
        let started = Instant::now();
        field.reload_often(&handle).await;
        let elapsed = started.elapsed();
        stop.store(true, Ordering::Relaxed);
        let (line_count, list_count) = (line_client.join().unwrap(), list_client.join().unwrap());
        println!("{line_count} lines, {list_count} value lists, {RELOADS} reloads in {elapsed:?}");
        field.gets(&handle, line_count + list_count).await;
        let drained = running.drain(LONG).await.ledger;
        field.judge(&drained, line_count, list_count).await;
    });
}
