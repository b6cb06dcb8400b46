//! What good files come to.

use std::time::Duration;

use coco_ring::Algorithm;
use coco_router::plan::{KeyRule, Limits, ListenerProtocol, Probe, TargetPlan, TargetProtocol};

use super::{Config, address, parse, with_tiers};

/// A file of Coco 1.x with every key that it had.
const COCO_1X: &str = include_str!("../../../../../tests/data/coco-1.x.toml");

#[test]
fn a_file_of_coco_1x_runs_unchanged() {
    let config = parse(COCO_1X);
    assert_eq!(config.api, address("0.0.0.0", 9090));
    let listeners = &config.plan.listeners;
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0].protocol, ListenerProtocol::Collectd);
    assert_eq!(listeners[0].address, address("0.0.0.0", 25826));
    assert_eq!(listeners[0].receive_buffer, 4 << 20);
    let blacklist = config.plan.blacklist.unwrap();
    assert!(blacklist.is_match(b"web-1/irq/irq-7") && !blacklist.is_match(b"web-1/cpu/0"));
    let names: Vec<&str> = config.plan.tiers.iter().map(|tier| tier.name.as_str()).collect();
    assert_eq!(names, ["shortterm", "midterm"]);
    let tier = &config.plan.tiers[0];
    assert_eq!((tier.protocol, tier.key), (TargetProtocol::Collectd, KeyRule::Host));
    assert_eq!((tier.ring.algorithm(), tier.ring.replicas()), (Algorithm::Xxh3, 1));
    assert_eq!((tier.queue_bytes, tier.datagram_bytes_max), (64 << 20, 1452));
    assert_eq!(tier.block_timeout, Duration::from_secs(5));
    assert_eq!(
        config.notes,
        [
            "coco.toml:4: listen.typesdb: not needed: values are passed on as they come; the key is ignored",
            "coco.toml:9: tiers: tiers without `hash` use the new ring; hash = \"coco\" keeps the placement of Coco 1.x",
            "coco.toml:11: tiers.shortterm: 127.0.0.1:25827 and 1 more are on this machine and may loop back into coco",
            "coco.toml:14: tiers.midterm: 127.0.0.1:25829 and 1 more are on this machine and may loop back into coco",
        ]
    );
}

#[test]
fn graphite_lines_come_over_tcp_and_udp() {
    let config = parse(
        "[graphite]\nbind = [\"[::1]:2003\", \":0\"]\npickle = \"localhost:2004\"\nreceive_buffer = 65536\n\
         [tiers.a]\nprotocol = \"graphite\"\nproto = \"udp\"\ntargets = [\"a:1\"]",
    );
    let seen: Vec<(ListenerProtocol, String)> =
        config.plan.listeners.iter().map(|l| (l.protocol, l.address.to_string())).collect();
    let expected = [
        (ListenerProtocol::LineTcp, "[::1]:2003"),
        (ListenerProtocol::LineUdp, "[::1]:2003"),
        (ListenerProtocol::LineTcp, ":0"),
        (ListenerProtocol::LineUdp, ":0"),
        (ListenerProtocol::Pickle, "localhost:2004"),
    ];
    assert_eq!(seen, expected.map(|(protocol, address)| (protocol, address.to_owned())));
    assert!(config.plan.listeners.iter().all(|listener| listener.receive_buffer == 65536));
    assert_eq!(config.plan.tiers[0].protocol, TargetProtocol::LineUdp);
}

#[test]
fn a_target_is_probed_as_it_says_else_as_its_tier_says_else_as_its_protocol_does() {
    let config = parse(&with_tiers(
        "[tiers.a]\nprobe = \"tcp:8080\"\ntargets = [\n\
         \"a:1\", { address = \"b:1\", probe = \"http://:8080/up?x=1\" },\n\
         { address = \"[::1]:1\", probe = \"http://[::2]\" }, { address = \"d:1\", probe = \"none\" },\n\
         { address = \"e:1\", probe = \"rrdcached::42217\" },\n\
         { address = \"f:1\", probe = \"rrdcached:unix:/run/rrdcached.sock\" },\n\
         { address = \"g:1\", probe = \"rrdcached:h:9\" }, { address = \"h:1\", probe = \"udp\" } ]\n\
         [tiers.b]\nprotocol = \"graphite\"\nproto = \"udp\"\ntargets = [\"a:1\"]\n\
         [tiers.c]\nprotocol = \"graphite\"\ntargets = [\"a:1\"]",
    ));
    let probes: Vec<Vec<Probe>> = config
        .plan
        .tiers
        .into_iter()
        .map(|tier| tier.targets.into_iter().map(|target| target.probe).collect())
        .collect();
    let http = |host: &str, port, path: &str| Probe::Http {
        address: address(host, port),
        path: path.to_owned(),
    };
    let of_a = vec![
        Probe::Tcp(address("a", 8080)),
        http("b", 8080, "/up?x=1"),
        http("::2", 80, "/"),
        Probe::None,
        Probe::Rrdcached(address("e", 42217)),
        Probe::RrdcachedUnix("/run/rrdcached.sock".into()),
        Probe::Rrdcached(address("h", 9)),
        Probe::Udp,
    ];
    assert_eq!(probes, [of_a, vec![Probe::Udp], vec![Probe::None]]);
}

#[test]
fn targets_are_texts_or_tables() {
    let config = parse(&with_tiers(
        "[tiers.a]\nreplicas = 2\ntargets = [\n\
         \"10.0.0.1:2003\", \"[::1]:2003:a\", { address = \"b:2003\", instance = \"x\" },\n\
         { address = \"c:2003:y\", id = \"store-c\", weight = 7, zone = \"rack2\" } ]",
    ));
    let target = |id: &str, label: &str, host: &str| TargetPlan {
        id: id.to_owned(),
        label: label.to_owned(),
        address: address(host, 2003),
        probe: Probe::Udp,
    };
    let tier = &config.plan.tiers[0];
    let expected = [
        target("10.0.0.1:2003", "10.0.0.1:2003", "10.0.0.1"),
        target("[::1]:2003:a", "[::1]:2003:a", "::1"),
        target("b:2003:x", "b:2003", "b"),
        target("store-c", "c:2003:y", "c"),
    ];
    assert_eq!(tier.targets, expected);
    let members: Vec<_> =
        tier.ring.members().iter().map(|m| (m.weight.get(), m.zone.as_deref())).collect();
    assert_eq!(members, [(1, None), (1, None), (1, None), (7, Some("rack2"))]);
    assert_eq!(tier.ring.replicas(), 2);
}

#[test]
fn tiers_take_from_limits_what_they_do_not_say() {
    let config = parse(&with_tiers(
        "[tiers.a]\ntargets = [\"a:1\"]\n\
         [tiers.b]\nhash = \"coco\"\nkey = \"series\"\nqueue = \"1GiB\"\nblock_timeout = \"1m30s\"\n\
         max_packet_size = 65507\ntargets = [\"a:1\"]\n\
         [limits]\nqueue = \"100KB\"\nblock_timeout = \"250ms\"\ndrain_timeout = \"1h\"\n\
         drain_delay = \"15s\"\nline = 64\nconnections = 1\nmemory = \"3MiB\"\nseries = 1000",
    ));
    let (a, b) = (&config.plan.tiers[0], &config.plan.tiers[1]);
    assert_eq!((a.queue_bytes, a.block_timeout), (100_000, Duration::from_millis(250)));
    assert_eq!((b.queue_bytes, b.block_timeout), (1 << 30, Duration::from_secs(90)));
    assert_eq!((b.key, b.datagram_bytes_max), (KeyRule::Series, 65_507));
    assert_eq!(b.ring.algorithm(), Algorithm::Coco);
    assert_eq!(config.drain_timeout, Duration::from_secs(3600));
    assert_eq!(config.drain_delay, Duration::from_secs(15));
    let limits = Limits {
        line_bytes_max: 64,
        connections_max: 1,
        memory_bytes_max: 3 << 20,
        series_max: 1000,
        ..Limits::default()
    };
    assert_eq!(config.plan.limits, limits);
    assert_eq!(config.api, address("127.0.0.1", 9090));
}

#[test]
fn targets_share_what_is_kept_to_be_sent_again() {
    let config = parse(&with_tiers(
        "[tiers.a]\nprotocol = \"graphite\"\ntargets = [\"a:1\", \"b:1\"]\n\
         [tiers.b]\nprotocol = \"graphite-pickle\"\nresend = 70000\ntargets = [\"a:2\", \"b:2\"]\n\
         [tiers.c]\nprotocol = \"graphite\"\nresend = 0\ntargets = [\"a:3\", \"b:3\"]\n\
         [tiers.d]\ntargets = [\"a:4\"]\n\
         [limits]\nresend = \"400KB\"",
    ));
    let bytes = config.plan.tiers.iter().map(|tier| config.plan.resend_bytes(tier));
    assert_eq!(bytes.collect::<Vec<_>>(), [100_000, 70_000, 0, 0]);
}

#[test]
fn the_embedded_default_is_the_first_five_minutes() {
    let config = Config::embedded_default();
    let seen: Vec<(ListenerProtocol, String)> =
        config.plan.listeners.iter().map(|l| (l.protocol, l.address.to_string())).collect();
    let expected = [
        (ListenerProtocol::Collectd, "127.0.0.1:25826"),
        (ListenerProtocol::LineTcp, "127.0.0.1:2003"),
        (ListenerProtocol::LineUdp, "127.0.0.1:2003"),
        (ListenerProtocol::Pickle, "127.0.0.1:2004"),
    ];
    assert_eq!(seen, expected.map(|(protocol, address)| (protocol, address.to_owned())));
    assert_eq!(config.api, address("127.0.0.1", 9090));
    assert_eq!(config.plan.tiers.len(), 1);
    let tier = &config.plan.tiers[0];
    assert_eq!((tier.name.as_str(), tier.protocol), ("demo", TargetProtocol::Embedded));
    let ids: Vec<&str> = tier.targets.iter().map(|target| target.id.as_str()).collect();
    assert_eq!(ids, ["demo-a", "demo-b", "demo-c"]);
    assert_eq!(config.notes, Vec::<String>::new());
}

#[test]
fn a_node_that_moved_is_hashed_as_it_was_and_keeps_its_name() {
    let tier = |target: &str| {
        let tier = format!(
            "[graphite]\nbind = \":2003\"\n[tiers.a]\nprotocol = \"graphite\"\n\
             hash = \"c-relay/carbon_ch\"\ntargets = [\"10.0.0.1:2003:a\", {target}]"
        );
        parse(&tier).plan.tiers.remove(0)
    };
    let before = tier("\"10.0.0.2:2003:b\"");
    let moved = tier("{ address = \"10.0.0.9:2003\", hash_as = \"10.0.0.2:2003:b\" }");
    let named = tier("{ address = \"10.0.0.9:2003\", hash_as = \"10.0.0.2:2003:b\", id = \"b\" }");
    assert_eq!(moved.targets[1].address, address("10.0.0.9", 2003));
    assert_eq!(
        (moved.targets[1].id.as_str(), named.targets[1].id.as_str()),
        ("10.0.0.2:2003:b", "b")
    );
    assert_eq!(moved.ring.digest(), before.ring.digest());
    assert_ne!(named.ring.digest(), before.ring.digest());
    for key in [&b"web01.load"[..], b"", b"db02.cpu"] {
        let key = coco_ring::Key::new(key);
        assert_eq!(moved.ring.owner(&key), before.ring.owner(&key));
        assert_eq!(named.ring.owner(&key), before.ring.owner(&key));
    }
}
