//! A folder with records of two protocols, as a Coco may have left it that took no care of that: what comes before
//! the first one of another protocol goes its way, and from there on all stays.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod plans;

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use coco_router::{
    Bound, offline,
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

fn root(directory: &Path) -> Root<OsDisk> {
    Root::open(OsDisk, directory, Arc::new(Budget::new(u64::MAX))).unwrap()
}

/// Puts lines, a datagram and lines on disk for a target.
fn fill(directory: &Path, tier: &str, id: &str) -> Name {
    let name = Name::new(tier, id).unwrap();
    let config = Config {
        sync: Sync::Never,
        segment_bytes: SEGMENT_BYTES,
        bytes_max: u64::MAX,
        max_age: None,
        at_bound: AtBound::Refuse,
    };
    let now = Now { unix_ms: 1_700_000_000_000, monotonic: Duration::ZERO };
    let mut spool = root(directory).spool(&name, config, now).unwrap();
    let record = |(format, payload)| NewRecord { samples: 1, format, epoch: 1, payload };
    let records = [LINES, LINES, DATAGRAM, LINES].map(record);
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

#[tokio::test]
async fn what_is_in_front_of_another_protocol_is_sent_and_the_rest_stays() {
    let (dir, sink) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = sink.local_addr().unwrap().port();
    let id = format!("t-{port}");
    fill(dir.path(), "t", &id);
    let lines = std::thread::spawn(move || {
        let (stream, _) = sink.accept().unwrap();
        BufReader::new(stream).lines().map(Result::unwrap).collect::<Vec<_>>()
    });
    let shards = NonZeroUsize::new(1).unwrap();
    let bound = Bound::bind(plan(dir.path(), port), shards, Registry::default()).unwrap();
    let running = bound.run().await.unwrap();
    let begun = Instant::now();
    let replayed = || running.handle().ledger().tiers[0].targets[0].replayed;
    while replayed() < 2 {
        assert!(begun.elapsed() < LONG, "the first lines");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let ledger = running.drain(LONG).await.ledger;
    let target = &ledger.tiers[0].targets[0];
    assert_eq!((target.replayed, target.spooled, target.shed()), (2, 2, 0));
    assert_eq!(ledger.residual(), 0);
    assert_eq!(held(dir.path()), [(id, 2)]);
    assert_eq!(lines.join().unwrap().len(), 2);
}

#[test]
fn what_is_in_front_of_another_protocol_is_moved_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let name = fill(dir.path(), "t", "gone");
    let now = || Now { unix_ms: 1_700_000_000_000, monotonic: Duration::ZERO };
    let plan = plan(dir.path(), 1);
    let moved = offline::reroute(&root(dir.path()), &plan, &name, now).unwrap();
    assert_eq!(moved.moved.into_iter().collect::<Vec<_>>(), [("t-1".to_owned(), 2)]);
    assert_eq!((moved.left, moved.shed.len()), (2, 0));
    assert_eq!(held(dir.path()), [("gone".to_owned(), 2), ("t-1".to_owned(), 2)]);
    let again = offline::reroute(&root(dir.path()), &plan, &name, now).unwrap();
    assert_eq!((again.moved.len(), again.left), (0, 2));
}
