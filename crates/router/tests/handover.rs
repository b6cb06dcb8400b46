//! A hand-over from one router to the next, with no process between them: sockets go on, clients stay
//! connected, order holds, and each ledger adds up.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod plans;

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use coco_router::{
    Bound, Drained, Running,
    handover::{Inheritance, Piece},
    plan::{Limits, ListenerProtocol, Plan, TargetProtocol},
    telemetry::Registry,
};
use plans::{LONG, listener, tier};
use tokio::sync::mpsc;

/// What has come, in the order of arrival.
type Lines = Arc<Mutex<Vec<String>>>;

fn keep_lines(listener: TcpListener) -> Lines {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    thread::spawn(move || {
        // One connection after the other: a process' last line is read before the first of the next.
        for stream in listener.incoming() {
            for line in BufReader::new(stream.unwrap()).lines() {
                kept.lock().unwrap().push(line.unwrap());
            }
        }
    });
    lines
}

fn plan(port: u16) -> Plan {
    Plan {
        listeners: vec![
            listener(ListenerProtocol::LineTcp, 0),
            listener(ListenerProtocol::LineUdp, 0),
        ],
        blacklist: None,
        tiers: vec![tier("lines", TargetProtocol::LineTcp, 1, &[port])],
        limits: Limits::default(),
        spool: None,
        ringless: Vec::new(),
    }
}

async fn start(port: u16, shards: usize) -> (Running, Vec<SocketAddr>) {
    let shards = NonZeroUsize::new(shards).unwrap();
    let bound = Bound::bind(plan(port), shards, Registry::default()).unwrap();
    let addresses = bound.addresses().map(|(_, address)| address).collect();
    (bound.run().await.unwrap(), addresses)
}

/// Hands over to a router with the same plan; returns both and what is left to take.
async fn hand_over(old: Running, port: u16, shards: usize) -> (Drained, Running) {
    let sockets = std::mem::take(&mut old.hold().await.unwrap().sockets);
    let shards = NonZeroUsize::new(shards).unwrap();
    let bound = Bound::bind_behind(plan(port), shards, Registry::default(), sockets).unwrap();
    let (new, inheritance) = bound.run_behind().unwrap();
    let (heir, pieces) = mpsc::channel(4);
    let taking = tokio::spawn(take_all(inheritance, pieces));
    let drained = old.hand_over(heir).await;
    tokio::time::timeout(LONG, taking).await.unwrap().unwrap();
    (drained, new)
}

async fn take_all(mut inheritance: Inheritance, mut pieces: mpsc::Receiver<Piece>) {
    while let Some(piece) = pieces.recv().await {
        inheritance.take(piece).await;
    }
    inheritance.finish();
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_client_goes_on_in_the_middle_of_a_line_and_all_shards_sockets_are_read() {
    let sink = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = sink.local_addr().unwrap().port();
    let lines = keep_lines(sink);
    // As many sockets as clients with addresses of their own may hash to.
    let (old, addresses) = start(port, 4).await;
    let mut client = TcpStream::connect(addresses[0]).unwrap();
    client.write_all(b"a 1 1700000000\na 2 17000").unwrap();
    until("the first line", || lines.lock().unwrap().len() == 1).await;
    until("the half line to be read", || old.handle().connections() == 1).await;
    let (drained, new) = hand_over(old, port, 1).await;
    assert_eq!((drained.ledger.residual(), drained.ledger.samples.decoded), (0, 1));
    assert_eq!(drained.ledger.samples.malformed, 0, "{:?}", drained.ledger);
    assert_eq!(new.handle().connections(), 1);
    client.write_all(b"00000\na 3 1700000000\n").unwrap();
    let senders: Vec<_> =
        (0..32).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    for sender in &senders {
        sender.send_to(b"u 1 1700000000\n", addresses[1]).unwrap();
    }
    until("the rest", || lines.lock().unwrap().len() == 3 + senders.len()).await;
    let mut of_a = lines.lock().unwrap().clone();
    of_a.retain(|line| line.starts_with('a'));
    assert_eq!(of_a, ["a 1 1700000000", "a 2 1700000000", "a 3 1700000000"]);
    drop(client);
    let drained = new.drain(LONG).await.ledger;
    assert_eq!((drained.residual(), drained.samples.decoded), (0, 2 + 32));
}

#[tokio::test]
async fn what_a_deaf_target_did_not_take_comes_before_what_the_new_router_got() {
    // Taken again later: the port is that of nobody until then.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (old, addresses) = start(port, 2).await;
    let mut client = TcpStream::connect(addresses[0]).unwrap();
    let send = |client: &mut TcpStream, numbers: std::ops::Range<usize>| {
        let line = |number| format!("a {number} 1700000000\n").into_bytes();
        client.write_all(&numbers.flat_map(line).collect::<Vec<_>>()).unwrap();
    };
    send(&mut client, 0..50_000);
    until("the lines", || old.handle().ledger().samples.decoded == 50_000).await;
    // From now on the new router reads.
    let (drained, new) = tokio::join!(hand_over(old, port, 2), async {
        send(&mut client, 50_000..60_000);
    })
    .0;
    let target = &drained.ledger.tiers[0].targets[0];
    assert_eq!(drained.ledger.residual(), 0);
    assert_eq!((target.sent, target.shed()), (0, 0));
    assert_eq!(target.handed_over, drained.ledger.samples.decoded);
    until("all of it", || {
        let ledger = new.handle().ledger();
        assert_eq!(ledger.residual(), 0);
        let target = &ledger.tiers[0].targets[0];
        target.recovered + target.offered == 60_000
    })
    .await;
    let lines = keep_lines(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    until("all lines at the target", || lines.lock().unwrap().len() == 60_000).await;
    let wanted = (0..60_000).map(|number| format!("a {number} 1700000000"));
    assert!(lines.lock().unwrap().iter().cloned().eq(wanted), "in their order");
    drop(client);
    assert_eq!(new.drain(LONG).await.ledger.residual(), 0);
}

#[tokio::test]
async fn a_router_without_an_heir_counts_what_it_cannot_hand_over() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (old, addresses) = start(port, 2).await;
    let mut client = TcpStream::connect(addresses[0]).unwrap();
    client.write_all(b"a 1 1700000000\na 2 17000").unwrap();
    until("the line", || old.handle().ledger().samples.decoded == 1).await;
    let (heir, pieces) = mpsc::channel(4);
    drop(pieces);
    let ledger = old.hand_over(heir).await.ledger;
    let target = &ledger.tiers[0].targets[0];
    assert_eq!((ledger.residual(), target.shed(), target.handed_over), (0, 1, 0));
    assert_eq!(ledger.samples.malformed, 1, "the half line: {ledger:?}");
}
