use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use coco_tests::{
    coco::{Coco, targets},
    port::free_port,
    process::Signal,
    sink::LineSink,
    wait::{SOON, wait_until},
};

fn start(limits: &str, tier: &str, addresses: &[String]) -> Coco {
    Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\npickle = \"127.0.0.1:0\"\n[limits]\n{limits}\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{tier}\n{}",
        targets(addresses)
    ))
}

fn lines(client: usize, count: usize) -> Vec<u8> {
    let line = |n| format!("client{client}.name{n} {n} 1700000000\n").into_bytes();
    (0..count).flat_map(line).collect()
}

#[test]
fn clients_that_wait_to_be_accepted_are_read_before_the_end() {
    let sink = LineSink::start();
    let coco = start("", "", &[sink.address().to_string()]);
    let listener = coco.listener("line-tcp");
    // It can neither accept nor read before it is told to stop.
    coco.signal(Signal::SIGSTOP);
    let clients: Vec<_> = (0..300)
        .map(|client| {
            let mut stream = TcpStream::connect(listener).unwrap();
            stream.write_all(&lines(client, 10)).unwrap();
            stream
        })
        .collect();
    coco.signal(Signal::SIGTERM);
    coco.signal(Signal::SIGCONT);
    let ledger = coco.wait().ledger;
    assert_eq!(ledger.samples("decoded"), 3000, "{ledger}");
    wait_until("the last lines", SOON, || sink.count() == 3000);
    drop(clients);
}

#[test]
fn what_open_clients_sent_last_is_read_before_the_end() {
    let sink = LineSink::start();
    let coco = start("", "", &[sink.address().to_string()]);
    let listener = coco.listener("line-tcp");
    let mut clients: Vec<_> = (0..100).map(|_| TcpStream::connect(listener).unwrap()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&lines(n, 1)).unwrap();
    }
    wait_until("the first lines", SOON, || sink.count() == 100);
    coco.signal(Signal::SIGSTOP);
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&lines(n, 2)).unwrap();
    }
    coco.signal(Signal::SIGTERM);
    coco.signal(Signal::SIGCONT);
    let ledger = coco.wait().ledger;
    assert_eq!(ledger.samples("decoded"), 300, "{ledger}");
    wait_until("the last lines", SOON, || sink.count() == 300);
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let dead = format!("127.0.0.1:{}", free_port());
    let coco = start("drain_timeout = \"60s\"", "", &[dead]);
    TcpStream::connect(coco.listener("line-tcp")).unwrap().write_all(&lines(0, 5)).unwrap();
    wait_until("the lines to be read", SOON, || coco.ledger().samples("decoded") == 5);
    coco.signal(Signal::SIGTERM);
    wait_until("the stop to begin", SOON, || coco.log().contains("stopping"));
    let since = Instant::now();
    coco.signal(Signal::SIGTERM);
    wait_until("the end", SOON, || coco.log().contains("while stopping"));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[test]
fn the_half_line_of_a_client_that_broke_is_no_sample() {
    let sink = LineSink::start();
    let coco = start("", "", &[sink.address().to_string()]);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(b"good 1 1700000000\nbad 12345 17000").unwrap();
    wait_until("the whole line", SOON, || sink.count() == 1);
    // Without a linger time, closing resets the connection.
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    wait_until("the reset to be seen", SOON, || {
        coco.ledger().rejected("line-tcp", "truncated") == 1
    });
    assert_eq!(coco.ledger().samples("decoded"), 1);
    coco.stop();
    assert_eq!(sink.count(), 1);
}

#[test]
fn a_last_line_without_line_end_counts_when_the_client_closes() {
    let sink = LineSink::start();
    let coco = start("", "", &[sink.address().to_string()]);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(b"last 1 1700000000").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "closed from the other side");
    wait_until("the line", SOON, || sink.count() == 1);
    coco.stop();
}

/// A target that reads as fast as it can is not made to shed by many clients at once.
#[test]
fn many_clients_of_a_small_queue_wait_and_lose_nothing() {
    let sink = LineSink::start();
    let tier = "queue = \"256KiB\"\nblock_timeout = \"60s\"";
    let coco = start("", tier, &[sink.address().to_string()]);
    let listener = coco.listener("line-tcp");
    let clients: Vec<_> = (0..24)
        .map(|client| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(listener).unwrap();
                stream.write_all(&lines(client, 20_000)).unwrap();
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let stopped = coco.stop();
    assert_eq!(stopped.ledger.shed_in_all(), 0, "{}", stopped.ledger);
    assert_eq!(stopped.ledger.samples("decoded"), 480_000);
    wait_until("the last lines", SOON, || sink.count() == 480_000);
}
