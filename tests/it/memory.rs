//! The bound on the memory of all queues together.

use std::{io::Write, net::TcpStream};

use coco_tests::{
    coco::{Coco, targets},
    port::free_port,
    sink::LineSink,
    wait::{SOON, wait_for, wait_until},
};

const LIMIT: u64 = 2 << 20;

#[test]
fn dead_targets_share_the_memory_that_there_is_and_a_live_one_loses_nothing() {
    let live = LineSink::start();
    let live_address = live.address().to_string();
    let mut addresses: Vec<_> = (0..4).map(|_| format!("127.0.0.1:{}", free_port())).collect();
    addresses.push(live_address.clone());
    let coco = Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[limits]\nmemory = \"{LIMIT}B\"\ndrain_timeout = \"1s\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\non_full = \"shed_oldest\"\n{}",
        targets(&addresses)
    ));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    let mut sent = 0;
    let mut send = |count: usize| {
        let line = |number: usize| format!("name{number} {number} 1700000000\n");
        let lines: String = (sent..sent + count).map(line).collect();
        client.write_all(lines.as_bytes()).unwrap();
        sent += count;
    };
    // Four dead targets get some 10 MB, 2 MB each.
    send(400_000);
    wait_for("the queues to come down", SOON, || {
        // A queue sheds when something is offered to it.
        send(100);
        let vars = coco.get_json("/debug/vars");
        let held = vars["coco"]["queues.bytes"].as_u64().unwrap_or(u64::MAX);
        if held <= LIMIT { Ok(()) } else { Err(format!("they hold {held} bytes")) }
    });
    coco.wait_for_ledger("all to be read", SOON, |ledger| {
        let decoded = ledger.samples("decoded");
        if decoded == sent as u64 { Ok(()) } else { Err(format!("{decoded} of {sent}")) }
    });
    let ledger = coco.ledger();
    ledger.assert_balanced();
    for address in &addresses {
        let shed = ledger.shed("carbon", address, "memory");
        assert_eq!(shed > 0, *address != live_address, "{ledger}");
        assert_eq!(ledger.shed("carbon", address, ""), shed, "no other reason: {ledger}");
    }
    let due = ledger.sent("carbon", &live_address, "offered");
    wait_until("all that falls to the live target", SOON, || live.count() as u64 == due);
    coco.stop();
}
