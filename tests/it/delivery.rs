use std::{io::Write, net::TcpStream, path::Path, thread};

use coco_tests::{
    breaking::BreakingSink,
    coco::{Coco, targets},
    corpus,
    ledger::Ledger,
    port::free_port,
    process::folder,
    wait::{SOON, wait_for, wait_until},
};

/// The default of `resend`.
const WINDOW: usize = 1 << 20;

const LINES: usize = 300_000;

fn start(protocol: &str, tier: &str, spool: Option<&Path>, address: String) -> Coco {
    let spool = spool.map(|dir| format!("[spool]\ndirectory = {dir:?}\n")).unwrap_or_default();
    Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n{spool}\
         [tiers.carbon]\nprotocol = \"{protocol}\"\n{tier}\n{}",
        targets(&[address])
    ))
}

/// All lines have the same length.
fn line(number: usize) -> String {
    format!("servers.web.cpu{number:07}.load {number:07} 1700000000\n")
}

/// Sends all lines, however long that takes.
fn send(coco: &Coco, numbers: std::ops::Range<usize>) -> thread::JoinHandle<()> {
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    thread::spawn(move || {
        let bytes: Vec<u8> = numbers.flat_map(|number| line(number).into_bytes()).collect();
        client.write_all(&bytes).unwrap();
    })
}

/// The numbers of the whole lines of a connection; none is cut or joined to another, but for the last one.
#[track_caller]
fn numbers(connection: &[u8]) -> Vec<usize> {
    let text = std::str::from_utf8(connection).unwrap();
    let whole = text.split_inclusive('\n').filter(|text| text.ends_with('\n'));
    whole
        .map(|text| {
            let number = text.split(' ').nth(1).and_then(|field| field.parse().ok());
            let number = number.unwrap_or_else(|| panic!("{text:?} is no line"));
            assert_eq!(text, line(number), "not as it was sent");
            number
        })
        .collect()
}

/// The numbers in the whole pickle frames of a connection.
#[track_caller]
fn pickled_numbers(mut connection: &[u8]) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some((head, rest)) = connection.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap();
        let Some(frame) = rest.get(..length) else { break };
        assert_eq!(
            (frame[0], frame[length - 1]),
            (0x80, b'.'),
            "a pickle from its begin to its end"
        );
        for at in 0..frame.len() {
            if let Some(digits) = frame[at..].strip_prefix(b"servers.web.cpu") {
                numbers.push(std::str::from_utf8(&digits[..7]).unwrap().parse().unwrap());
            }
        }
        connection = &rest[length..];
    }
    numbers
}

/// Waits until every line has arrived, and asserts that only what the window holds came twice.
#[track_caller]
fn assert_delivered(
    coco: &Coco,
    target: &str,
    count: usize,
    numbers: impl Fn() -> Vec<Vec<usize>>,
) -> Ledger {
    let connections = wait_for("every line", SOON, || {
        let connections = numbers();
        let mut arrived = connections.concat();
        arrived.sort_unstable();
        arrived.dedup();
        if arrived.len() == count {
            Ok(connections)
        } else {
            Err(format!("{} came", arrived.len()))
        }
    });
    let ledger = coco.settle();
    ledger.assert_balanced();
    let counter = |name| usize::try_from(ledger.sent("carbon", target, name)).unwrap();
    assert_eq!(counter("sent"), count, "sent counts once: {ledger}");
    for connection in &connections {
        let in_order = connection.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(in_order, "a connection goes back or leaves something out");
    }
    let twice = connections.iter().map(Vec::len).sum::<usize>() - count;
    assert!(twice <= counter("resent"), "{twice} came twice: {ledger}");
    assert!(counter("in_doubt") <= count && counter("in_doubt") > 0, "{ledger}");
    for pair in connections.windows(2) {
        let (Some(&last), Some(&first)) = (pair[0].last(), pair[1].first()) else { continue };
        let again = (last + 1).saturating_sub(first) * line(0).len();
        // A datapoint takes a little less in a pickle than in a line.
        assert!(again <= WINDOW / 10 * 11, "{again} bytes came twice");
    }
    ledger
}

#[test]
fn a_target_that_dies_with_what_it_had_not_read_gets_it_again() {
    let mut random = corpus::random();
    let cuts = (0..3).map(|_| random.usize(1..4_000_000)).collect();
    let sink = BreakingSink::start(0, cuts);
    let address = sink.address().to_string();
    let coco = start("graphite", "", None, address.clone());
    let client = send(&coco, 0..LINES);
    let ledger = assert_delivered(&coco, &address, LINES, || {
        sink.connections().iter().map(|connection| numbers(connection)).collect()
    });
    client.join().unwrap();
    assert_eq!(sink.connections().len(), 4);
    assert_eq!(ledger.sent("carbon", &address, "disconnects"), 3, "{ledger}");
    assert!(ledger.sent("carbon", &address, "resent") > 0, "{ledger}");
    let vars = coco.get_json("/debug/vars");
    let told = &vars["coco"]["ledger"]["carbon"][&address];
    assert_eq!(told["resent"].as_u64(), Some(ledger.sent("carbon", &address, "resent")));
    let metrics = coco.get("/metrics").body;
    for metric in ["coco_target_resent_total{", "coco_target_in_doubt{"] {
        assert!(metrics.contains(metric), "{metric} is missing:\n{metrics}");
    }
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn a_connection_that_breaks_at_any_byte_joins_and_loses_no_line() {
    let length = line(0).len();
    let cuts =
        [[0, 1], [length - 1, length], [length + 1, 5 * length - 1], [5 * length, 9 * length + 7]];
    let sinks = cuts.map(|cuts| BreakingSink::start(0, cuts.to_vec()));
    let tiers: String = (0..)
        .zip(&sinks)
        .map(|(number, sink)| {
            let targets = targets(&[sink.address().to_string()]);
            format!("[tiers.t{number}]\nprotocol = \"graphite\"\n{targets}")
        })
        .collect();
    let coco = Coco::start(&format!("[graphite]\nbind = \"127.0.0.1:0\"\n{tiers}"));
    send(&coco, 0..10).join().unwrap();
    for (sink, cuts) in sinks.iter().zip(cuts) {
        wait_until("three connections", SOON, || sink.connections().len() == 3);
        wait_until("all lines", SOON, || numbers(&sink.connections()[2]).len() == 10);
        for (connection, cut) in sink.connections().iter().zip(cuts) {
            let all: String = (0..10).map(line).collect();
            assert_eq!(connection.as_slice(), &all.as_bytes()[..cut]);
        }
    }
    coco.settle();
    coco.stop();
}

#[test]
fn pickle_frames_are_sent_again_whole() {
    let mut random = corpus::random();
    let cuts = (0..3).map(|_| random.usize(1..4_000_000)).collect();
    let sink = BreakingSink::start(0, cuts);
    let address = sink.address().to_string();
    let coco = start("graphite-pickle", "", None, address.clone());
    let client = send(&coco, 0..LINES);
    let ledger = assert_delivered(&coco, &address, LINES, || {
        sink.connections().iter().map(|connection| pickled_numbers(connection)).collect()
    });
    client.join().unwrap();
    assert_eq!(ledger.sent("carbon", &address, "disconnects"), 3, "{ledger}");
    coco.stop();
}

#[test]
fn the_window_goes_before_what_waits_on_disk() {
    let (dir, port) = (folder(), free_port());
    let address = format!("127.0.0.1:{port}");
    let first = BreakingSink::start(port, vec![2_000_000]);
    // Held open with nobody who reads: what is not in the kernels goes to disk.
    first.hold();
    let coco = start("graphite", "queue = \"1MiB\"", Some(dir.path()), address.clone());
    let client = send(&coco, 0..LINES);
    wait_until("its first bytes", SOON, || first.bytes() == 2_000_000);
    client.join().unwrap();
    coco.wait_for_ledger("most of them on disk", SOON, |ledger| match ledger.of_all("spooled") {
        100_000.. => Ok(()),
        spooled => Err(format!("{spooled} on disk")),
    });
    let before = first.connections();
    drop(first);
    let second = BreakingSink::start(port, Vec::new());
    let ledger = assert_delivered(&coco, &address, LINES, || {
        before.iter().chain(&second.connections()).map(|connection| numbers(connection)).collect()
    });
    assert_eq!(ledger.of_all("spooled"), 0, "{ledger}");
    assert!(ledger.of_all("resent") > 0, "{ledger}");
    coco.stop();
}

#[test]
fn a_target_that_pauses_for_longer_than_its_connection_bears_loses_nothing() {
    let sink = BreakingSink::start(0, vec![1_000_000]);
    let address = sink.address().to_string();
    // The worst that it can do: it reads no more of the old connection when it goes on.
    sink.hold();
    let coco = start("graphite", "", None, address.clone());
    let client = send(&coco, 0..LINES);
    coco.wait_for_ledger("the connection to be given up", SOON, |ledger| {
        match ledger.sent("carbon", &address, "disconnects") {
            0 => Err("it stands".to_owned()),
            _ => Ok(()),
        }
    });
    sink.release();
    assert_delivered(&coco, &address, LINES, || {
        sink.connections().iter().map(|connection| numbers(connection)).collect()
    });
    client.join().unwrap();
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn a_tier_can_do_without_and_a_stop_waits_for_no_window() {
    let sink = BreakingSink::start(0, vec![5 * line(0).len()]);
    let address = sink.address().to_string();
    let coco = start("graphite", "resend = 0", None, address);
    send(&coco, 0..10).join().unwrap();
    wait_until("a second connection", SOON, || sink.connections().len() == 2);
    send(&coco, 10..20).join().unwrap();
    wait_until("the rest", SOON, || numbers(&sink.connections()[1]).len() == 10);
    assert_eq!(numbers(&sink.connections()[1]), (10..20).collect::<Vec<_>>());
    let ledger = coco.settle();
    let [resent, in_doubt] = ["resent", "in_doubt"].map(|name| ledger.of_all(name));
    assert_eq!((resent, in_doubt), (0, 0), "{ledger}");
    coco.stop();

    // With a window, but nobody to send it to.
    let sink = BreakingSink::start(0, vec![line(0).len()]);
    let address = sink.address().to_string();
    let coco = start("graphite", "", None, address.clone());
    send(&coco, 0..10).join().unwrap();
    wait_until("the second connection", SOON, || sink.connections().len() == 2);
    drop(sink);
    coco.wait_for_ledger("its end", SOON, |ledger| {
        match ledger.sent("carbon", &address, "disconnects") {
            2.. => Ok(()),
            count => Err(format!("{count} ended")),
        }
    });
    let ledger = coco.stop().ledger;
    assert_eq!(
        ledger.sent("carbon", &address, "in_doubt"),
        10,
        "what may be lost is said: {ledger}"
    );
}
