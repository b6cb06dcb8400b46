use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use coco_tests::{
    coco::{Coco, targets},
    collectd::CollectdTg,
    port::udp_sockets,
    sink::UdpSink,
    wait::{SOON, wait_until},
};

#[test]
fn each_host_of_the_generator_is_at_the_one_sink_that_lookup_names() {
    let sinks = [UdpSink::start(), UdpSink::start()];
    let addresses = sinks.each_ref().map(|sink| sink.address().to_string());
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\n{}",
        targets(&addresses)
    ));
    let port = coco.listener("collectd").port();
    let generator = CollectdTg::start(port, 500, 20);
    coco.wait_for_ledger("5,000 samples", Duration::from_secs(60), |ledger| {
        let decoded = ledger.samples("decoded");
        if decoded >= 5_000 { Ok(()) } else { Err(decoded.to_string()) }
    });
    generator.stop();
    wait_until("Coco to read what is left", SOON, || udp_sockets(port).waiting_bytes == 0);
    let ledger = coco.settle();
    assert_eq!(ledger.kernel_dropped(), 0, "{ledger}");
    assert_eq!(ledger.shed_in_all(), 0, "{ledger}");

    let received = || sinks.iter().map(|sink| sink.records().len()).sum::<usize>() as u64;
    wait_until("the sinks to have it all", SOON, || received() == coco.ledger().samples("decoded"));

    let mut places = BTreeMap::<String, BTreeSet<&str>>::new();
    for (sink, address) in sinks.iter().zip(&addresses) {
        for record in sink.records() {
            let host = String::from_utf8(record.identity().host.clone()).unwrap();
            places.entry(host).or_default().insert(address);
        }
    }
    assert_eq!(places.len(), 20);
    for (host, places) in &places {
        let owner = coco.owner("short", host.as_bytes());
        assert_eq!(*places, BTreeSet::from([owner.as_str()]), "{host}");
    }
    let used = places.into_values().flatten().collect::<BTreeSet<_>>();
    assert_eq!(used.len(), 2, "both sinks own hosts");
    coco.stop();
}
