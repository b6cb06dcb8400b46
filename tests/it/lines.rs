use std::{
    io::{Read, Write},
    net::TcpStream,
};

use coco_tests::{
    coco::{Coco, targets},
    corpus, http,
    sink::LineSink,
    wait::{SOON, wait_until},
};

/// A Coco that takes lines and pickles and sends lines to `sink`.
fn start(sink: &LineSink) -> Coco {
    Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\npickle = \"127.0.0.1:0\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(&[sink.address().to_string()])
    ))
}

fn connect(coco: &Coco, protocol: &str) -> TcpStream {
    let client = TcpStream::connect(coco.listener(protocol)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

#[track_caller]
fn wait_for_line(sink: &LineSink, line: &str) {
    wait_until(&format!("the line {line:?}"), SOON, || {
        sink.lines().iter().any(|received| received == line.as_bytes())
    });
}

#[test]
fn an_http_request_on_the_line_port_gets_one_400_and_is_not_stored() {
    let sink = LineSink::start();
    let coco = start(&sink);
    let request = b"GET /render?target=x HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    let reply = http::exchange(coco.listener("line-tcp"), request).unwrap();
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 ") || reply.starts_with("HTTP/1.0 400 "), "{reply}");
    assert_eq!(reply.matches("HTTP/1.").count(), 1, "{reply}");

    connect(&coco, "line-tcp").write_all(b"after.http 1 1700000000\n").unwrap();
    wait_for_line(&sink, "after.http 1 1700000000");
    let ledger = coco.settle();
    assert_eq!(sink.count(), 1);
    assert_eq!(ledger.samples("decoded"), 1, "{ledger}");
    assert_eq!(ledger.rejected("line-tcp", "http"), 1, "{ledger}");
    coco.stop();
}

#[test]
fn no_line_that_carbon_was_asked_about_closes_a_connection() {
    let sink = LineSink::start();
    let coco = start(&sink);
    let cases = corpus::text("data/graphite/lines-carbon.tsv");
    let lines: Vec<_> = cases.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 100);
    for (number, case) in lines.iter().enumerate() {
        let mut columns = case.split('\t').map(corpus::unescape);
        let (line, name) = (columns.next().unwrap(), columns.next().unwrap());
        let mut client = connect(&coco, "line-tcp");
        client
            .write_all(&[&line[..], format!("\ngood.{number} 1 1700000000\n").as_bytes()].concat())
            .unwrap();
        wait_for_line(&sink, &format!("good.{number} 1 1700000000"));
        // Two connections have no order between them, but one has.
        let taken = sink.lines().contains(&line);
        if name.starts_with(b"!") {
            assert!(!taken, "carbon does not take {case}");
        } else if !line.iter().any(u8::is_ascii_control) {
            assert!(taken, "carbon takes {case}");
        }
    }
    let ledger = coco.settle();
    let rejected = ledger.rejected("line-tcp", "");
    assert_eq!(ledger.samples("decoded") + rejected, 2 * lines.len() as u64, "{ledger}");
    assert_eq!(ledger.samples("malformed"), rejected, "{ledger}");
    coco.stop();
}

#[test]
fn an_over_long_line_is_rejected_once_and_the_next_one_is_taken() {
    let sink = LineSink::start();
    let coco = start(&sink);
    for bytes in [5_000, 300_000, 3_000_000] {
        let mut client = connect(&coco, "line-tcp");
        client.write_all(&vec![b'x'; bytes]).unwrap();
        client
            .write_all(format!(" 1 1700000000\nafter.{bytes} 1 1700000000\n").as_bytes())
            .unwrap();
        wait_for_line(&sink, &format!("after.{bytes} 1 1700000000"));
    }
    let ledger = coco.settle();
    assert_eq!(ledger.rejected("line-tcp", "too_long"), 3, "{ledger}");
    assert_eq!(sink.count(), 3);
    coco.stop();
}

#[test]
fn what_is_refused_on_one_pickle_connection_does_not_hurt_another() {
    let sink = LineSink::start();
    let coco = start(&sink);
    // [("ok.pickle", (1700000000, 1.5))] in protocol 2, by hand.
    let good = b"\x80\x02]X\x09\0\0\0ok.pickleJ\x00\xf1\x53\x65G\x3f\xf8\0\0\0\0\0\0\x86\x86a.";
    let bad: [&[u8]; 4] = [
        // A call of os.system, which no unpickler of ours may know.
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x02}q\x00.",
        b"\x80\x02",
        b"",
    ];
    for (number, payload) in bad.iter().enumerate() {
        let mut client = connect(&coco, "pickle");
        client.write_all(&frame(payload)).unwrap();
        let mut client = connect(&coco, "pickle");
        client.write_all(&frame(good)).unwrap();
        wait_until("the good frame's point", SOON, || sink.count() > number);
    }
    // A frame of 4 GiB: the connection is closed instead of waiting for it.
    let mut client = connect(&coco, "pickle");
    client.write_all(&u32::MAX.to_be_bytes()).unwrap();
    let mut rest = Vec::new();
    assert!(matches!(client.read_to_end(&mut rest), Ok(0) | Err(_)), "{rest:?}");

    let ledger = coco.settle();
    let names = ["ok.pickle 1.5 1700000000"; 4].map(|line| line.as_bytes().to_vec());
    assert_eq!(sink.lines(), names);
    assert!(ledger.rejected("pickle", "") >= 4, "{ledger}");
    coco.stop();
}

#[test]
fn lines_that_end_as_on_other_systems_are_taken() {
    let sink = LineSink::start();
    let coco = start(&sink);
    connect(&coco, "line-tcp").write_all(b"crlf 1 1700000000\r\nlf 2 1700000000\n").unwrap();
    wait_until("both lines", SOON, || sink.count() == 2);
    let lines = sink.lines();
    assert_eq!(lines[0].trim_ascii_end(), b"crlf 1 1700000000");
    assert_eq!(lines[1], b"lf 2 1700000000");
    coco.stop();
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_be_bytes(), payload].concat()
}
