use std::{
    io::Write,
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use coco_tests::{
    coco::{Coco, targets},
    datagram,
    marks::Marks,
    wait::{SOON, wait_until},
};

/// As many as one reload a second allows in the time that a test may take; those without that bound are in
/// `crates/router/tests/reload.rs`.
const RELOADS: usize = 12;

/// Samples that may be on their way: less than any buffer holds, so that the kernel drops none.
const LINES_AHEAD: usize = 40_000;
const LISTS_AHEAD: usize = 500;

const SAMPLES_MAX: usize = 10_000_000;

/// About 100,000 lines a second, or what arrives.
fn feed_lines(to: SocketAddr, marks: &Marks, stop: &AtomicBool) -> usize {
    let mut stream = TcpStream::connect(to).unwrap();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        if number < marks.arrived() + LINES_AHEAD {
            let line = |n: usize| format!("web{}.load {n} 1700000000\n", n % 997).into_bytes();
            let lines: Vec<u8> = (number..number + 500).flat_map(line).collect();
            stream.write_all(&lines).unwrap();
            number += 500;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    number
}

/// About 20,000 datagrams a second, or what arrives.
#[expect(clippy::cast_precision_loss, reason = "numbers far below 2^53")]
fn feed_lists(to: SocketAddr, marks: &Marks, stop: &AtomicBool) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        if number < marks.arrived() + LISTS_AHEAD {
            for number in number..number + 22 {
                let host = format!("host{}", number % 997);
                let list = datagram::gauge(&host, "flood", "a", 1_700_000_000, number as f64);
                socket.send_to(&list, to).unwrap();
            }
            number += 22;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    number
}

fn pick(marks: &Marks, which: &[usize]) -> String {
    let address = |&at: &usize| marks.addresses()[at].to_string();
    targets(&which.iter().map(address).collect::<Vec<_>>())
}

#[test]
fn reloads_under_a_flood_lose_nothing() {
    let (lines, lists) = (Marks::of_lines(5, SAMPLES_MAX), Marks::of_lists(5, SAMPLES_MAX));
    let config = |round: usize| {
        let which = [0, 1, 2, 3 + round % 2];
        // Beside the targets a listener and the filter come and go.
        let more = match round % 2 {
            0 => "",
            _ => "pickle = \"127.0.0.1:0\"\n[filter]\nblacklist = \"nothing\"\n",
        };
        format!(
            "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n{more}\
             [tiers.lists]\n{}[tiers.lines]\nprotocol = \"graphite\"\n{}",
            pick(&lists, &which),
            pick(&lines, &which)
        )
    };
    let coco = Coco::start(&config(0));
    let (line_to, list_to) = (coco.listener("line-tcp"), coco.listener("collectd"));
    let stop = AtomicBool::new(false);
    let (line_count, list_count) = thread::scope(|scope| {
        let line_feeder = scope.spawn(|| feed_lines(line_to, &lines, &stop));
        let list_feeder = scope.spawn(|| feed_lists(list_to, &lists, &stop));
        let began_at = Instant::now();
        for round in 1..=RELOADS {
            let changes = coco.reload(&config(round));
            assert_eq!(changes["targets"]["added"].as_array().map(Vec::len), Some(2), "{changes}");
            coco.ledger().assert_balanced();
        }
        let seconds = began_at.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        let sent = (line_feeder.join().unwrap(), list_feeder.join().unwrap());
        println!("{} lines and {} datagrams in {seconds:.1} s, {RELOADS} reloads", sent.0, sent.1);
        sent
    });
    wait_until("the last samples", SOON, || {
        coco.ledger().assert_balanced();
        lines.arrived() >= line_count && lists.arrived() >= list_count
    });
    let ledger = coco.settle();
    assert_eq!((ledger.shed_in_all(), ledger.kernel_dropped()), (0, 0), "{ledger}");
    for address in &lines.addresses()[..3] {
        let disconnects = ledger.sent("lines", &address.to_string(), "disconnects");
        assert_eq!(disconnects, 0, "{address}: {ledger}");
    }
    assert_eq!(coco.ledger().samples("decoded"), (line_count + list_count) as u64);
    coco.stop();
    lines.assert_once_each(line_count);
    lists.assert_once_each(list_count);
}
