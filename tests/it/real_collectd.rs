use std::collections::{BTreeMap, BTreeSet};

use coco_tests::{
    coco::{Coco, targets},
    collectd::{Collectd, READERS, Stopped},
    store,
    wait::{SOON, wait_until},
};

const AGENT: &str = "web01.example";
const SECONDS: usize = 30;
const TIERS: [&str; 2] = ["short", "mid"];

type Stored = BTreeMap<String, Vec<String>>;

/// Owner by tier and host.
type Owners = BTreeMap<(&'static str, String), String>;

#[test]
fn every_series_of_an_agent_is_stored_on_its_owners_and_nowhere_else() {
    let nodes = TIERS.map(|tier| (tier, [(); 2].map(|()| Collectd::node(tier))));
    let mut config = "[listen]\nbind = \"127.0.0.1:0\"\n".to_owned();
    for (tier, nodes) in &nodes {
        let addresses = nodes.each_ref().map(Collectd::address);
        config += &format!("[tiers.{tier}]\n{}", targets(&addresses));
    }
    let coco = Coco::start(&config);
    let port = coco.listener("collectd").port();

    let agent = Collectd::agent(AGENT, port, &READERS);
    let injector = Collectd::agent("injector.example", port, &[]);
    let hosts: Vec<_> = (0..24).map(|number| format!("host{number:02}.example")).collect();
    for second in 0..SECONDS {
        wait_until("the agent's next value", SOON, || {
            store::csv_count(&agent.path("csv"), &format!("{AGENT}/load/load")) > second
        });
        injector.ask(&values(&hosts, second));
    }
    injector.ask(&hosts.iter().map(|host| notification(host)).collect::<Vec<_>>());
    let listed = agent.list();
    let sent = [agent.stop(), injector.stop()].map(|agent| store::csv_series(&agent.path("csv")));
    let samples = sent.iter().flat_map(BTreeMap::values).map(Vec::len).sum::<usize>();
    assert!(sent[0].len() >= 300, "the agent has only {} series", sent[0].len());
    let unsent: Vec<_> = listed.iter().filter(|id| !sent[0].contains_key(*id)).collect();
    assert!(unsent.is_empty(), "known to the agent and not sent: {unsent:?}");
    let sent: Stored = sent.into_iter().flatten().collect();

    let ledger = coco.wait_for_ledger("the last sample", SOON, |ledger| {
        let seen = ledger.samples("decoded") + ledger.samples("notifications");
        let due = (samples + hosts.len()) as u64;
        if seen >= due { Ok(()) } else { Err(format!("{seen} of {due}")) }
    });
    assert_eq!(ledger.kernel_dropped(), 0);
    let ledger = coco.settle();
    assert_eq!(ledger.samples("decoded"), samples as u64, "{ledger}");
    assert_eq!(ledger.samples("notifications"), hosts.len() as u64, "{ledger}");
    assert_eq!(ledger.shed_in_all(), 0, "{ledger}");
    let owners = owners(&coco, &sent);
    coco.stop();

    for (tier, nodes) in nodes {
        wait_until("the nodes to write everything", SOON, || {
            nodes.iter().map(|node| count(&store::csv_series(&node.path("csv")))).sum::<usize>()
                >= samples
        });
        for node in nodes {
            assert_eq!(node.udp_drops(), 0);
            let address = node.address();
            let here = |host: &str| owners[&(tier, host.to_owned())] == address;
            let due: Stored = sent.iter().filter(|(id, _)| here(host(id))).map(clone).collect();
            assert!(!due.is_empty(), "no host for {address} in tier {tier}");
            let listed = node.list();
            let node = node.stop();
            assert_eq!(listed, due.keys().cloned().collect(), "LISTVAL of {address} in {tier}");
            assert_stored(&node, &due);
            for host in &hosts {
                let heard = node.log().contains(&format!("message = to {host}"));
                assert_eq!(heard, here(host), "notification of {host} at {address} in {tier}");
            }
        }
    }
}

/// Every value is in the CSV files; every series is in an RRD file of the right step and end.
fn assert_stored(node: &Stopped, due: &Stored) {
    let stored = store::csv_series(&node.path("csv"));
    for (id, lines) in due {
        assert_eq!(stored.get(id), Some(lines), "{id}");
    }
    assert_eq!(stored.len(), due.len(), "series that nobody sent here");

    let dir = node.path("rrd");
    let series = store::rrd_series(&dir);
    assert_eq!(series, due.keys().cloned().collect::<BTreeSet<_>>());
    let ends = store::rrd_last_updates(&dir, &series);
    for (id, info) in store::rrd_infos(&dir, &series) {
        assert!(info.contains("\nstep = 1\n"), "{id}: {info}");
        assert!(info.contains(".minimal_heartbeat = 2\n"), "{id}: {info}");
        let last = due[&id].last().map(|line| seconds(line, ','));
        let end = seconds(&ends[&id], ':');
        // RRD has whole seconds, rounded.
        let apart = last.map(|last| (last - end).abs());
        assert!(apart.is_some_and(|apart| apart <= 0.51), "{id}: {last:?} sent, {end} stored");
    }
}

/// The time at the start of a line.
fn seconds(line: &str, end: char) -> f64 {
    line.split(end).next().unwrap_or_default().parse().unwrap()
}

/// Five series of each host, one value each.
fn values(hosts: &[String], second: usize) -> Vec<String> {
    let put = |host: &String| {
        ["a", "b", "c", "d", "e"].map(|instance| {
            format!("PUTVAL \"{host}/app-shop/gauge-{instance}\" interval=1 N:{second}.25")
        })
    };
    hosts.iter().flat_map(put).collect()
}

fn notification(host: &str) -> String {
    format!("PUTNOTIF severity=okay time=1795000000 host={host} message=\"to {host}\"")
}

fn owners(coco: &Coco, sent: &Stored) -> Owners {
    let hosts: BTreeSet<_> = sent.keys().map(|id| host(id)).collect();
    let owner = |(tier, host): (&'static str, &str)| {
        ((tier, host.to_owned()), coco.owner(tier, host.as_bytes()))
    };
    hosts.iter().flat_map(|host| TIERS.map(|tier| (tier, *host))).map(owner).collect()
}

fn host(id: &str) -> &str {
    id.split('/').next().unwrap_or_default()
}

fn count(stored: &Stored) -> usize {
    stored.values().map(Vec::len).sum()
}

fn clone((id, lines): (&String, &Vec<String>)) -> (String, Vec<String>) {
    (id.clone(), lines.clone())
}
