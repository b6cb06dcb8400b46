//! The data path without sockets: bytes in, chunks in the queues, and the ledger.

mod canary;
mod names;
mod outlet;
mod reload;
mod sorter;

use std::{collections::VecDeque, time::Duration};

use coco_ring::{Algorithm, Member, Members, Place, Ring, Weight};
use coco_wire::{
    collectd::{Identity, Kind, Notification, Packer, ValueList, Values},
    names::Names,
};

use super::*;
use crate::{
    ledger::Ledger,
    listen::kernel::DropWatch,
    plan::{
        Address, KeyRule, Limits, ListenerPlan, ListenerProtocol, OnFull, Plan, Probe, Replay,
        RinglessTier, TargetPlan, TargetProtocol, TierPlan,
    },
    telemetry::Registry,
};

const NOW: u64 = 1_795_000_000;

/// A pipeline over these tiers, with its listener.
struct Bench {
    shared: Arc<Shared>,
    pipeline: Pipeline,
    listener: Listener,
}

pub(crate) fn tier(
    name: &str,
    protocol: TargetProtocol,
    targets: usize,
    replicas: usize,
) -> TierPlan {
    let ids: Vec<_> = (0..targets).map(|n| format!("{name}-{n}")).collect();
    let member = |id: &String| Member {
        id: id.clone(),
        weight: Weight::default(),
        zone: None,
        place: Place::default(),
    };
    let members = Members::try_new(ids.iter().map(member).collect()).unwrap();
    let address = Address { host: "127.0.0.1".to_owned(), port: 1 };
    let target = |id: String| TargetPlan {
        label: id.clone(),
        id,
        address: address.clone(),
        probe: Probe::None,
    };
    TierPlan {
        name: name.to_owned(),
        protocol,
        key: KeyRule::Host,
        names: Names::Sorted,
        ring: Ring::build(Algorithm::Xxh3, &members, replicas).unwrap(),
        targets: ids.into_iter().map(target).collect(),
        queue_bytes: 1 << 20,
        resend_bytes: 1 << 20,
        on_full: OnFull::Block,
        replay: Replay::InOrder,
        block_timeout: Duration::from_secs(5),
        datagram_bytes_max: 1452,
    }
}

impl Bench {
    fn new(tiers: Vec<TierPlan>, blacklist: Option<&str>) -> Self {
        let blacklist = blacklist.map(|text| Regex::new(text).unwrap());
        let limits = Limits::default();
        let ringless = Vec::new();
        Self::of(&Plan { listeners: Vec::new(), blacklist, tiers, ringless, limits, spool: None })
    }

    fn of(plan: &Plan) -> Self {
        let shared = Arc::new(Shared::new(plan, Registry::default(), &[], 1));
        let address = "127.0.0.1:1".parse().unwrap();
        let listener = ListenerPlan {
            protocol: ListenerProtocol::Collectd,
            address: Address { host: "127.0.0.1".to_owned(), port: 1 },
            receive_buffer: 1 << 20,
        };
        let listener = Listener::new(&listener, address, DropWatch::default(), &shared.registry);
        Self { pipeline: Pipeline::new(Arc::clone(&shared)), shared, listener }
    }

    /// One batch, and all of it handed over.
    fn feed(&mut self, route: impl FnOnce(&mut Pipeline, &Source<'_>)) {
        self.batch(route);
        self.pipeline.hand_over_all();
    }

    fn batch(&mut self, route: impl FnOnce(&mut Pipeline, &Source<'_>)) {
        self.pipeline.begin();
        self.pipeline.work.now.unix_seconds = NOW;
        route(&mut self.pipeline, &Source { listener: &self.listener, peer: None });
        self.pipeline.publish(&self.listener, Feeder::Datagram, false, &mut Vec::new());
    }

    fn datagram(&mut self, datagram: &[u8]) {
        self.feed(|pipeline, from| pipeline.datagram(datagram, from));
    }

    fn lines(&mut self, lines: &[u8]) {
        self.feed(|pipeline, from| pipeline.lines(lines, from));
    }

    /// What waits for each target: its label and the units, and settles them as sent.
    fn arrived(&self) -> Vec<(String, Vec<Vec<u8>>)> {
        let routes = self.shared.routes.load();
        let units = |target: &Arc<crate::target::Target>| {
            let mut chunks = VecDeque::new();
            target.queue.take(&mut chunks, usize::MAX);
            let mut units = Vec::new();
            for chunk in &chunks {
                let mut start = 0;
                for frame in &chunk.frames {
                    units.push(chunk.bytes[start..frame.end].to_vec());
                    start = frame.end;
                }
                let lines = chunk.bytes[start..].split_inclusive(|&byte| byte == b'\n');
                units.extend(lines.map(<[u8]>::to_vec));
                target.settle_sent(&self.shared.gate, false, chunk.samples);
            }
            (target.plan.label.clone(), units)
        };
        routes.targets.iter().map(units).collect()
    }

    fn ledger(&self) -> Ledger {
        let ledger = Ledger::take(&self.shared);
        assert_eq!(ledger.residual(), 0, "{ledger:#?}");
        ledger
    }
}

fn identity<'a>(host: &'a str, plugin: &'a str) -> Identity<'a> {
    let [host, plugin] = [host, plugin].map(str::as_bytes);
    Identity { host, plugin, type_: b"gauge", ..Identity::default() }
}

fn datagram(hosts_and_plugins: &[(&str, &str)]) -> Vec<u8> {
    let mut packer = Packer::new(65_000);
    let mut out = Vec::new();
    packer.begin(0);
    let kinds = [Kind::Gauge.to_wire()];
    let raw = 1.5_f64.to_le_bytes();
    for (host, plugin) in hosts_and_plugins {
        let values = Values::try_new(&kinds, &raw).unwrap();
        let (time, interval) = (NOW << 30, 10 << 30);
        let list = ValueList { identity: identity(host, plugin), time, interval, values };
        packer.push(&mut out, &list).unwrap();
    }
    out
}

/// Host and plugin of each value list.
fn contents(datagram: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let items = coco_wire::collectd::Decoder::new(datagram);
    let pair = |identity: &Identity<'_>| (text(identity.host), text(identity.plugin));
    items
        .map(|item| match item {
            coco_wire::collectd::Item::Values(list) => pair(&list.identity),
            coco_wire::collectd::Item::Notification(note) => pair(&note.identity),
            coco_wire::collectd::Item::Refused(refused) => panic!("{refused:?}"),
        })
        .collect()
}

#[test]
fn a_datagram_of_one_host_goes_on_as_it_came() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::Collectd, 4, 1)], None);
    let sent = datagram(&[("web01", "cpu"), ("web01", "load"), ("web01", "df")]);
    bench.datagram(&sent);
    let arrived: Vec<_> = bench.arrived().into_iter().filter(|(_, u)| !u.is_empty()).collect();
    let owner = bench.shared.routes.load().owners(b"web01")[0].targets[0].to_owned();
    assert_eq!(arrived, [(owner, vec![sent])]);
    assert_eq!(bench.ledger().tiers[0].targets.iter().map(|t| t.sent).sum::<u64>(), 3);
}

#[test]
fn a_datagram_of_many_hosts_is_taken_apart_and_each_host_is_at_its_owner() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::Collectd, 4, 2)], None);
    let hosts: Vec<_> = (0..40).map(|n| format!("host{n}")).collect();
    let lists: Vec<_> = hosts.iter().flat_map(|h| [(h.as_str(), "cpu"), (h, "df")]).collect();
    bench.datagram(&datagram(&lists));
    let mut copies = 0;
    for (target, units) in bench.arrived() {
        for (host, _) in units.iter().flat_map(|unit| contents(unit)) {
            let routes = bench.shared.routes.load();
            assert!(routes.owners(host.as_bytes())[0].targets.contains(&target.as_str()));
            copies += 1;
        }
        assert!(units.iter().all(|unit| unit.len() <= 1452));
    }
    assert_eq!(copies, 160, "80 value lists, two owners each");
    assert_eq!(bench.ledger().tiers[0].offered(), 160);
}

#[test]
fn what_the_filter_takes_out_is_counted_and_does_not_arrive() {
    let tiers = vec![tier("t", TargetProtocol::Collectd, 1, 1)];
    let mut bench = Bench::new(tiers, Some("/(irq|users)/"));
    bench.datagram(&datagram(&[("web01", "cpu"), ("web01", "irq"), ("web01", "df")]));
    let units = bench.arrived().remove(0).1;
    let plugins: Vec<_> = contents(&units[0]).into_iter().map(|(_, plugin)| plugin).collect();
    assert_eq!(plugins, ["cpu", "df"]);
    assert_eq!(bench.ledger().samples.filtered, 1);
    assert_eq!(bench.shared.blacklisted.names(0, 1)[0].0.rest.as_ref(), b"irq/gauge");
}

#[test]
fn a_notification_passes_the_filter_and_goes_by_its_host() {
    let tiers = vec![tier("t", TargetProtocol::Collectd, 3, 1)];
    let mut bench = Bench::new(tiers, Some("."));
    let (mut packer, mut sent) = (Packer::new(1452), Vec::new());
    packer.begin(0);
    let (time, severity) = (NOW << 30, 2);
    let notification =
        Notification { identity: identity("", "cpu"), time, severity, message: b"hot" };
    packer.push_notification(&mut sent, &notification).unwrap();
    bench.datagram(&sent);
    let owner = bench.shared.routes.load().owners(b"")[0].targets[0].to_owned();
    let arrived = bench.arrived().into_iter().find(|(target, _)| *target == owner).unwrap();
    assert_eq!(arrived.1, [sent]);
    assert_eq!(bench.ledger().samples.notifications, 1);
}

#[test]
fn lines_arrive_as_they_came_and_only_now_becomes_a_time() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::LineTcp, 1, 1)], None);
    bench.lines(b"a.b;y=2;x=1 1e3 1700000000.5\r\nc \t 7 -1\nbad nan 1\nd 1 N");
    let lines = bench.arrived().remove(0).1;
    let wanted: [&[u8]; 3] =
        [b"a.b;y=2;x=1 1e3 1700000000.5\n", b"c \t 7 1795000000\n", b"d 1 1795000000\n"];
    assert_eq!(lines, wanted);
    let samples = bench.ledger().samples;
    assert_eq!((samples.decoded, samples.malformed), (3, 1));
}

#[test]
fn a_sample_that_no_tier_can_carry_is_unroutable() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::LineTcp, 2, 1)], None);
    bench.datagram(&datagram(&[("web01", "cpu")]));
    bench.lines(b"a 1 1\n");
    let samples = bench.ledger().samples;
    assert_eq!((samples.unroutable, samples.routed()), (1, 1));
}

#[test]
fn what_falls_to_a_tier_without_a_ring_is_shed_and_stands_in_the_ledger() {
    let ringless = |name: &str, protocol| RinglessTier { name: name.to_owned(), protocol };
    let plan = |tiers, ringless| Plan {
        listeners: Vec::new(),
        blacklist: None,
        tiers,
        ringless,
        limits: Limits::default(),
        spool: None,
    };
    // Alone, it takes what would be unroutable otherwise.
    let mut bench = Bench::of(&plan(vec![], vec![ringless("g", TargetProtocol::Pickle)]));
    bench.datagram(&datagram(&[("web01", "cpu")]));
    bench.lines(b"a 1 1\nb 1 1\n");
    let ledger = bench.ledger();
    assert_eq!((ledger.samples.unroutable, ledger.samples.routed()), (1, 2));
    let fates = &ledger.tiers[0];
    assert_eq!((fates.routed, fates.no_ring, fates.due, fates.replicas), (2, 2, 0, 0));
    // Beside others, it keeps nothing from them.
    let tiers = vec![tier("t", TargetProtocol::LineTcp, 2, 1)];
    let none =
        vec![ringless("c", TargetProtocol::Collectd), ringless("e", TargetProtocol::Embedded)];
    let mut bench = Bench::of(&plan(tiers, none));
    bench.datagram(&datagram(&[("web01", "cpu"), ("web02", "cpu")]));
    bench.lines(b"a 1 1\n");
    let ledger = bench.ledger();
    assert_eq!(ledger.samples.unroutable, 0);
    let shed: Vec<_> = ledger.tiers.iter().map(|tier| (tier.no_ring, tier.offered())).collect();
    assert_eq!(shed, [(0, 1), (2, 0), (3, 0)]);
    let owners = bench.shared.routes.load_full();
    let owners = owners.owners(b"a");
    assert_eq!(owners.iter().map(|o| o.targets.len()).collect::<Vec<_>>(), [1, 0, 0]);
}

#[test]
fn a_value_list_that_fits_into_no_datagram_is_shed_by_name() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::Collectd, 1, 1)], None);
    let kinds = vec![Kind::Derive.to_wire(); 300];
    let raw = vec![1; 8 * kinds.len()];
    let values = Values::try_new(&kinds, &raw).unwrap();
    let list = ValueList { identity: identity("h", "p"), time: NOW << 30, interval: 0, values };
    let (mut packer, mut sent) = (Packer::new(65_000), Vec::new());
    packer.begin(0);
    packer.push(&mut sent, &list).unwrap();
    bench.datagram(&sent);
    let target = bench.ledger().tiers.remove(0).targets.remove(0);
    assert_eq!((target.offered, target.shed()), (1, 1));
    assert!(target.shed.contains(&("oversize", 1)));
}

#[test]
fn a_chunk_that_got_lost_shows() {
    let mut bench = Bench::new(vec![tier("t", TargetProtocol::LineTcp, 1, 1)], None);
    bench.lines(b"a 1 1\nb 2 2\nc 3 3\n");
    bench.ledger();
    bench.shared.routes.load().targets[0].queue.lose_one_chunk();
    let ledger = Ledger::audit(&bench.shared);
    assert_eq!(ledger.residual(), 3);
    let faults = ledger.faults().concat();
    assert!(faults.starts_with("tier t, ") && faults.contains("offered: 3,"), "{faults}");
}

#[test]
fn tiers_of_each_protocol_take_what_they_can_carry() {
    let tiers = vec![
        tier("c", TargetProtocol::Collectd, 2, 1),
        tier("g", TargetProtocol::Pickle, 2, 1),
        tier("e", TargetProtocol::Embedded, 2, 1),
    ];
    let mut bench = Bench::new(tiers, None);
    bench.datagram(&datagram(&[("web01", "cpu"), ("web02", "cpu")]));
    bench.lines(b"a 1 1\n");
    let offered: Vec<_> = bench.ledger().tiers.iter().map(crate::TierFates::offered).collect();
    assert_eq!(offered, [2, 1, 3]);
}

#[test]
fn a_tier_keyed_by_series_spreads_a_host() {
    let mut by_series = tier("t", TargetProtocol::Collectd, 4, 1);
    by_series.key = KeyRule::Series;
    let mut bench = Bench::new(vec![by_series], None);
    let plugins: Vec<_> = (0..60).map(|n| format!("plugin{n}")).collect();
    let lists: Vec<_> = plugins.iter().map(|plugin| ("web01", plugin.as_str())).collect();
    bench.datagram(&datagram(&lists));
    for (target, units) in bench.arrived() {
        assert!(!units.is_empty(), "{target} got nothing");
        for (host, plugin) in units.iter().flat_map(|unit| contents(unit)) {
            let identifier = format!("{host}/{plugin}/gauge");
            let routes = bench.shared.routes.load();
            assert_eq!(routes.owners(identifier.as_bytes())[0].targets, [target.as_str()]);
        }
    }
    bench.ledger();
}
