use std::{
    io::Write,
    net::{SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use coco_tests::{
    coco::{Coco, targets},
    datagram, http,
    port::free_port,
    process::folder,
    sink::{LineSink, UdpSink},
    wait::{SOON, wait_for, wait_until},
};
use serde_json::{Value, json};

const LINE: &[u8] = b"coco.canary.verify 1 1700000000\n";

/// The same as a pickle frame.
const PICKLE: &[u8] =
    b"\x00\x00\x00\x3b(lp0\n(S'coco.canary.verify'\np1\n(I1700000000\nF1.5\ntp2\ntp3\na.";

const LISTENERS: &str = "[listen]\nbind = \"127.0.0.1:0\"\n\
                         [graphite]\nbind = \"127.0.0.1:0\"\npickle = \"127.0.0.1:0\"\n";

#[track_caller]
fn arm(coco: &Coco) {
    let answer = http::post(coco.api(), "/debug/canary", b"").unwrap();
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let due = json!({ "seconds": 10, "name": "coco.canary.verify", "host": "coco-canary" });
    assert_eq!((answer.status, told), (200, due));
}

fn tcp(to: SocketAddr, bytes: &[u8]) {
    TcpStream::connect(to).unwrap().write_all(bytes).unwrap();
}

fn udp(to: SocketAddr, bytes: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(bytes, to).unwrap();
}

/// One canary to each listener.
fn send_all(coco: &Coco) {
    tcp(coco.listener("line-tcp"), LINE);
    udp(coco.listener("line-udp"), LINE);
    tcp(coco.listener("pickle"), PICKLE);
    udp(coco.listener("collectd"), &datagram::gauge("coco-canary", "coco", "", 1_700_000_000, 1.0));
}

/// Protocol, tier and fate of each copy, sorted.
fn copies(coco: &Coco) -> Vec<(String, String, String)> {
    let answer = coco.get_json("/debug/canary");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let seen = answer["seen"].as_array().unwrap().iter();
    let mut copies: Vec<_> = seen
        .map(|copy| (text(&copy["protocol"]), text(&copy["tier"]), text(&copy["fate"])))
        .collect();
    copies.sort();
    copies
}

#[track_caller]
fn wait_for_copies(coco: &Coco, wanted: &[[&str; 3]]) {
    let text = |text: &&str| (*text).to_owned();
    let wanted: Vec<_> = wanted.iter().map(|[a, b, c]| (text(a), text(b), text(c))).collect();
    wait_for("these fates of canaries", SOON, || {
        let copies = copies(coco);
        (copies == wanted).then_some(()).ok_or(format!("{copies:?}"))
    });
}

#[test]
fn each_listener_is_told_to_reach_the_owners_in_each_tier() {
    let lines: Vec<_> = (0..3).map(|_| LineSink::start()).collect();
    let datagrams: Vec<_> = (0..3).map(|_| UdpSink::start()).collect();
    let (of_lines, of_datagrams): (Vec<_>, Vec<_>) = (
        lines.iter().map(|sink| sink.address().to_string()).collect(),
        datagrams.iter().map(|sink| sink.address().to_string()).collect(),
    );
    let coco = Coco::start(&format!(
        "{LISTENERS}[tiers.a]\nprotocol = \"graphite\"\nreplicas = 2\n{}\
         [tiers.b]\nprotocol = \"graphite\"\n{}[tiers.c]\n{}",
        targets(&of_lines),
        targets(&of_lines),
        targets(&of_datagrams)
    ));
    send_all(&coco);
    wait_until("the samples", SOON, || coco.ledger().samples("decoded") == 4);
    assert_eq!(coco.get_json("/debug/canary"), json!({ "armed": false, "seen": [] }));
    arm(&coco);
    send_all(&coco);
    let of_line =
        |protocol| [[protocol, "a", "sent"], [protocol, "a", "sent"], [protocol, "b", "sent"]];
    let collectd = [["collectd", "c", "sent"]];
    let wanted =
        [&collectd[..], &of_line("line-tcp"), &of_line("line-udp"), &of_line("pickle")].concat();
    wait_for_copies(&coco, &wanted);
    // Each is at the owner that the lookup tells, and came in where it was sent.
    let answer = coco.get_json("/debug/canary");
    assert_eq!(answer["armed"], true);
    for copy in answer["seen"].as_array().unwrap() {
        let (protocol, tier) = (copy["protocol"].as_str().unwrap(), copy["tier"].as_str().unwrap());
        let name: &[u8] = if tier == "c" { b"coco-canary" } else { b"coco.canary.verify" };
        let owners = coco.owner(tier, name);
        let target = copy["target"].as_str().unwrap();
        assert!(owners.split(',').any(|owner| owner == target), "{copy} of {owners}");
        assert_eq!(copy["address"], coco.listener(protocol).to_string());
        assert_eq!(copy["id"], copy["target"]);
    }
    let ledger = coco.settle();
    assert_eq!(ledger.samples("decoded"), 8, "they are samples like all others");
    wait_until("all lines", SOON, || lines.iter().map(LineSink::count).sum::<usize>() == 18);
    coco.stop();
}

#[test]
fn a_canary_of_a_dead_target_is_held_or_on_disk() {
    let (dead, spools, directory) = (free_port(), free_port(), folder());
    let sink = LineSink::start();
    let coco = Coco::start(&format!(
        "{LISTENERS}[spool]\ndirectory = {:?}\n\
         [tiers.dead]\nprotocol = \"graphite\"\non_full = \"block\"\ntargets = [\"127.0.0.1:{dead}\"]\n\
         [tiers.live]\nprotocol = \"graphite\"\ntargets = [\"{}\"]\n\
         [tiers.spools]\nprotocol = \"graphite\"\ntargets = [\"127.0.0.1:{spools}\"]\n",
        directory.path(),
        sink.address()
    ));
    arm(&coco);
    tcp(coco.listener("line-tcp"), LINE);
    wait_for_copies(
        &coco,
        &[
            ["line-tcp", "dead", "held"],
            ["line-tcp", "live", "sent"],
            ["line-tcp", "spools", "on_disk"],
        ],
    );
    // Back again, what waited is sent, though nobody looks for canaries any more.
    wait_until("the end of it", SOON, || coco.get_json("/debug/canary")["armed"] == false);
    let (first, second) = (LineSink::start_on(dead), LineSink::start_on(spools));
    wait_for_copies(
        &coco,
        &[
            ["line-tcp", "dead", "sent"],
            ["line-tcp", "live", "sent"],
            ["line-tcp", "spools", "sent"],
        ],
    );
    wait_until("both lines", SOON, || first.count() + second.count() == 2);
    coco.stop();
}

#[test]
fn a_canary_under_load_is_told_to_be_sent_when_it_is() {
    let sink = LineSink::start();
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.a]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string()])
    ));
    arm(&coco);
    sink.pause();
    let to = coco.listener("line-tcp");
    // More than the kernel takes of it.
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(to).unwrap();
        let line = b"some.name.that.is.rather.long.so.that.it.is.soon.too.much 1 1700000000\n";
        client.write_all(&line.repeat(400_000)).unwrap();
        client.write_all(LINE).unwrap();
        client.write_all(&line.repeat(20_000)).unwrap();
    });
    wait_for_copies(&coco, &[["line-tcp", "a", "held"]]);
    client.join().unwrap();
    assert!(copies(&coco).iter().all(|(_, _, fate)| fate == "held"));
    sink.resume();
    wait_for_copies(&coco, &[["line-tcp", "a", "sent"]]);
    wait_until("all of it", Duration::from_secs(60), || sink.count() == 420_001);
    coco.stop();
}

#[test]
fn a_canary_that_gets_no_owner_is_told_apart() {
    let sink = LineSink::start();
    let coco = Coco::start(&format!(
        "{LISTENERS}[filter]\nblacklist = '^coco\\.canary'\n\
         [tiers.a]\nprotocol = \"graphite\"\ntargets = [\"{}\"]\n",
        sink.address()
    ));
    arm(&coco);
    send_all(&coco);
    wait_for_copies(
        &coco,
        &[
            ["collectd", "-", "unroutable"],
            ["line-tcp", "-", "filtered"],
            ["line-udp", "-", "filtered"],
            ["pickle", "-", "filtered"],
        ],
    );
    arm(&coco);
    tcp(coco.listener("line-tcp"), b"coco.canary.verify one 1700000000\n");
    wait_for_copies(&coco, &[["line-tcp", "-", "malformed"]]);
    coco.stop();
}
