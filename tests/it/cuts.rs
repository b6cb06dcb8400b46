use std::{collections::BTreeSet, io::Write, net::TcpStream, sync::Arc};

use coco_tests::{
    arrivals::{Arrivals, Clock, EPOCH, Target},
    coco::{Coco, targets},
    proxy::Proxy,
    wait::{SOON, wait_for, wait_until},
};

/// Longer than a line: the connection ends at each offset in it, and at both its ends.
const OFFSETS: usize = 40;

/// Names of each target, so that each has some of each kind.
const NAMES: usize = 4000;

/// Half a line and the beginning of the next one must never be one line, and nothing is lost.
#[test]
fn what_a_target_that_closes_in_mid_line_has_got_of_it_is_never_joined_to_another() {
    let any = "127.0.0.1:0".parse().unwrap();
    let arrivals = Arrivals::new(Clock::new());
    let nodes: Vec<_> = (0..OFFSETS).map(|_| Target::of_lines(any, &arrivals)).collect();
    let proxies: Vec<_> = nodes.iter().map(|node| Proxy::start(any, node.address())).collect();
    for (offset, proxy) in proxies.iter().enumerate() {
        proxy.cut_next_after(1 + offset);
    }
    let addresses: Vec<_> = proxies.iter().map(|proxy| proxy.address().to_string()).collect();
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(&addresses)
    ));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    let mut send = |first: usize| {
        let line = |n: usize| format!("name{n:05} 1 {}\n", EPOCH + (first + n) as u64);
        let lines: String = (0..NAMES).map(line).collect();
        client.write_all(lines.as_bytes()).unwrap();
    };
    send(0);
    wait_for("each connection to be cut", SOON, || {
        let cut = proxies.iter().filter(|proxy| proxy.cuts() == 1).count();
        if cut == OFFSETS { Ok(()) } else { Err(format!("{cut}")) }
    });
    // Each target is connected to again, and gets all.
    wait_until("the connections", SOON, || {
        let ledger = coco.ledger();
        let is_up = |address| ledger.target("carbon", address)["state"] == "up";
        addresses.iter().all(|address| is_up(address))
    });
    send(NAMES);
    wait_for("all that was sent, before and after the cuts", SOON, || {
        let came = numbers(&arrivals).len();
        if came == 2 * NAMES { Ok(()) } else { Err(format!("{came} of {}", 2 * NAMES)) }
    });
    assert_eq!(arrivals.odd(), Vec::<Vec<u8>>::new());
    let twice = arrivals.count() - 2 * NAMES;
    eprintln!("FIGURE cuts: {twice} of {} came twice for {OFFSETS} cuts", 2 * NAMES);
    let stopped = coco.stop();
    assert_eq!(stopped.ledger.of_all("disconnects"), OFFSETS as u64, "{}", stopped.ledger);
    assert_eq!(stopped.ledger.shed_in_all(), 0, "{}", stopped.ledger);
}

fn numbers(arrivals: &Arc<Arrivals>) -> BTreeSet<u64> {
    arrivals.all().iter().map(|arrival| arrival.number).collect()
}
