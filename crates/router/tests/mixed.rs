//! A folder with records of two protocols, as a Coco may have left it that took no care of that: what comes before
//! the first one of another protocol goes its way, and from there on all stays.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod plans;

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use coco_router::{
    Bound, Running, TargetFates, offline,
    plan::{
        Limits, ListenerProtocol, OnChange, OnFull, Plan, ReplayRate, SpoolPlan, TargetProtocol,
        TierPlan,
    },
    telemetry::Registry,
};
use coco_spool::{
    AtBound, Budget, Config, Name, NewRecord, Now, Root, SEGMENT_BYTES, Sync, disk::OsDisk, ls,
};
use plans::{LONG, listener, tier};

/// Formats as they are written: lines, and datagrams of collectd behind a table.
const LINES: (u8, &[u8]) = (0, b"a.name 1 1700000000\n");
const DATAGRAM: (u8, &[u8]) = (1, b"\x01\0\0\0\x04\0\0\0\x01\0\0\0abcd");
/// Lines that hold none.
const NONSENSE: (u8, &[u8]) = (0, b"a line that has no end");

fn root(directory: &Path) -> Root<OsDisk> {
    Root::open(OsDisk, directory, Arc::new(Budget::new(u64::MAX))).unwrap()
}

/// Puts lines, a datagram and lines on disk for a target of tier `t`.
fn fill(directory: &Path, id: &str) -> Name {
    put(directory, id, &[LINES, LINES, DATAGRAM, LINES])
}

/// Puts these records on disk for a target of tier `t`.
fn put(directory: &Path, id: &str, records: &[(u8, &[u8])]) -> Name {
    let name = Name::new("t", id).unwrap();
    let config = Config {
        sync: Sync::Never,
        segment_bytes: SEGMENT_BYTES,
        bytes_max: u64::MAX,
        max_age: None,
        at_bound: AtBound::Refuse,
    };
    let now = Now { unix_ms: 1_700_000_000_000, monotonic: Duration::ZERO };
    let mut spool = root(directory).spool(&name, config, now).unwrap();
    let record = |&(format, payload)| NewRecord { samples: 1, format, epoch: 1, payload };
    let records: Vec<_> = records.iter().map(record).collect();
    spool.append(now, &records).unwrap();
    spool.close().1.unwrap();
    name
}

fn plan(directory: &Path, port: u16) -> Plan {
    let tier =
        TierPlan { on_full: OnFull::Spool, ..tier("t", TargetProtocol::LineTcp, 1, &[port]) };
    let spool = SpoolPlan {
        directory: directory.to_owned(),
        bytes_max: 1 << 30,
        target_bytes_max: 1 << 30,
        max_age: None,
        sync: Sync::Never,
        replay_rate: ReplayRate::Unlimited,
        on_change: OnChange::Keep,
    };
    Plan {
        listeners: vec![listener(ListenerProtocol::LineTcp, 0)],
        blacklist: None,
        tiers: vec![tier],
        limits: Limits::default(),
        spool: Some(spool),
        ringless: Vec::new(),
    }
}

/// Samples in each folder.
fn held(directory: &Path) -> Vec<(String, u64)> {
    let listings = ls(&OsDisk, directory).unwrap().into_iter();
    let named = listings.filter_map(|l| l.name.map(|name| (name.target().to_owned(), l.samples)));
    let mut held: Vec<_> = named.collect();
    held.sort();
    held
}

/// A Coco with this plan, and a client of it.
async fn start(plan: Plan) -> (Running, TcpStream) {
    let shards = NonZeroUsize::new(1).unwrap();
    let bound = Bound::bind(plan, shards, Registry::default()).unwrap();
    let (_, address) = bound.addresses().next().unwrap();
    let running = bound.run().await.unwrap();
    (running, TcpStream::connect(address).unwrap())
}

/// Waits until this is so of the first target.
async fn wait_for(what: &str, running: &Running, is_so: impl Fn(&TargetFates) -> bool) {
    let begun = Instant::now();
    loop {
        let ledger = running.handle().ledger();
        let target = &ledger.tiers[0].targets[0];
        if is_so(target) {
            return;
        }
        assert!(begun.elapsed() < LONG, "{what}: {target:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_is_in_front_of_another_protocol_is_sent_and_the_rest_stays() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = sink.local_addr().unwrap().port();
    let id = format!("t-{port}");
    fill(dir.path(), &id);
    let lines = std::thread::spawn(move || {
        let (stream, _) = sink.accept().unwrap();
        BufReader::new(stream).lines().map(Result::unwrap).collect::<Vec<_>>()
    });
    let (running, mut client) = start(plan(dir.path(), port)).await;
    wait_for("the first lines", &running, |target| target.replayed == 2).await;
    // It goes on, and as one without a spool.
    client.write_all(LINES.1).unwrap();
    wait_for("what comes then", &running, |target| target.sent == 3).await;
    drop(client);
    let ledger = running.drain(LONG).await.ledger;
    let target = &ledger.tiers[0].targets[0];
    assert_eq!((target.replayed, target.spooled, target.shed()), (2, 2, 0));
    assert_eq!((target.to_disk, ledger.residual()), (0, 0));
    assert_eq!(held(dir.path()), [(id, 2)]);
    assert_eq!(lines.join().unwrap().len(), 3);
}

#[tokio::test]
async fn one_that_cannot_use_its_spool_is_waited_for_at_a_stop_and_its_bytes_count() {
    const DRAIN: Duration = Duration::from_millis(500);
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = sink.local_addr().unwrap().port();
    drop(sink);
    let id = format!("t-{port}");
    put(dir.path(), &id, &[DATAGRAM, LINES]);
    let (running, mut client) = start(plan(dir.path(), port)).await;
    client.write_all(LINES.1).unwrap();
    wait_for("a line", &running, |target| target.offered == 1 && target.dial_errors > 0).await;
    let has_bytes = |target: &TargetFates| target.spool.is_some_and(|spool| spool.bytes > 0);
    wait_for("its bytes", &running, has_bytes).await;
    // Its protocol cannot be changed in passing, and the reason is told.
    let mut other = plan(dir.path(), port);
    other.tiers[0].protocol = TargetProtocol::Collectd;
    let refused = running.handle().reload(other, LONG).await.unwrap_err().to_string();
    assert!(refused.contains("goes without its spool") && refused.contains("restart"), "{refused}");
    // Long down, it has nothing put behind what is on disk.
    wait_for("two seconds", &running, |target| target.state_seconds >= 2).await;
    drop(client);
    let begun = Instant::now();
    let ledger = running.drain(DRAIN).await.ledger;
    assert!(begun.elapsed() >= DRAIN);
    let target = &ledger.tiers[0].targets[0];
    assert_eq!((target.spooled, target.to_disk, target.shed()), (2, 0, 1));
    assert_eq!((target.spool.unwrap().eta, ledger.residual()), (None, 0));
    assert_eq!(held(dir.path()), [(id, 2)]);
}

#[tokio::test]
async fn what_is_in_another_protocol_and_too_old_is_shed_and_the_target_spools_again() {
    let dir = tempfile::tempdir().unwrap();
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = sink.local_addr().unwrap().port();
    drop(sink);
    put(dir.path(), &format!("t-{port}"), &[DATAGRAM, LINES]);
    let mut plan = plan(dir.path(), port);
    plan.spool.as_mut().unwrap().max_age = Some(Duration::from_secs(3600));
    let (running, mut client) = start(plan).await;
    client.write_all(LINES.1).unwrap();
    wait_for("the disk", &running, |target| target.shed_on_disk == 2 && target.to_disk == 1).await;
    drop(client);
    assert_eq!(running.drain(LONG).await.ledger.residual(), 0);
}

#[tokio::test]
async fn owners_do_not_wait_for_what_stays() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = sink.local_addr().unwrap().port();
    // Nobody listens on port 1.
    let both = |ports: &[u16]| {
        let mut plan = plan(dir.path(), port);
        plan.tiers[0] =
            TierPlan { on_full: OnFull::Spool, ..tier("t", TargetProtocol::LineTcp, 1, ports) };
        plan.spool.as_mut().unwrap().on_change = OnChange::Reroute;
        plan
    };
    put(dir.path(), "t-1", &[LINES, NONSENSE, DATAGRAM, LINES]);
    let (running, mut client) = start(both(&[port, 1])).await;
    running.handle().reload(both(&[port]), LONG).await.unwrap();
    client.write_all(LINES.1).unwrap();
    wait_for("what was moved, and what comes", &running, |target| target.sent == 2).await;
    drop(client);
    let ledger = running.drain(LONG).await.ledger;
    let gone = ledger.tiers[0].targets.iter().find(|target| target.id == "t-1").unwrap();
    assert_eq!((gone.damaged_bytes, gone.shed_on_disk), (NONSENSE.1.len() as u64, 1));
    assert_eq!(ledger.residual(), 0);
    assert_eq!(held(dir.path()), [("t-1".to_owned(), 2)]);
}

#[test]
fn what_is_in_front_of_another_protocol_is_moved_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let name = fill(dir.path(), "gone");
    let now = || Now { unix_ms: 1_700_000_000_000, monotonic: Duration::ZERO };
    let plan = plan(dir.path(), 1);
    let moved = offline::reroute(&root(dir.path()), &plan, &name, now).unwrap();
    assert_eq!(moved.moved.into_iter().collect::<Vec<_>>(), [("t-1".to_owned(), 2)]);
    assert_eq!((moved.left, moved.shed.len()), (2, 0));
    assert_eq!(held(dir.path()), [("gone".to_owned(), 2), ("t-1".to_owned(), 2)]);
    let again = offline::reroute(&root(dir.path()), &plan, &name, now).unwrap();
    assert_eq!((again.moved.len(), again.left), (0, 2));
}

#[test]
fn nothing_is_moved_behind_what_is_in_another_protocol() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "t-1", &[DATAGRAM]);
    let name = put(dir.path(), "gone", &[LINES, LINES]);
    let now = || Now { unix_ms: 1_700_000_000_000, monotonic: Duration::ZERO };
    let plan = plan(dir.path(), 1);
    let done = offline::reroute(&root(dir.path()), &plan, &name, now).unwrap();
    assert_eq!((done.moved.len(), done.left), (0, 2));
    assert_eq!(done.refused.into_iter().collect::<Vec<_>>(), [("t-1".to_owned(), 2)]);
    assert_eq!(held(dir.path()), [("gone".to_owned(), 2), ("t-1".to_owned(), 1)]);
}

#[tokio::test]
async fn bytes_of_records_that_hold_nonsense_are_counted() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = sink.local_addr().unwrap().port();
    put(dir.path(), &format!("t-{port}"), &[NONSENSE, LINES]);
    let (running, client) = start(plan(dir.path(), port)).await;
    wait_for("the line behind it", &running, |target| target.replayed == 1).await;
    drop(client);
    let ledger = running.drain(LONG).await.ledger;
    let target = &ledger.tiers[0].targets[0];
    assert_eq!((target.damaged_bytes, target.shed_on_disk), (NONSENSE.1.len() as u64, 1));
}
