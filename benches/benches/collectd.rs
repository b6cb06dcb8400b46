//! collectd datagrams: decode, pack, the path that the filter sees, and its verdict.
//!
//! Every bench asserts its answer, so that a fast wrong codec fails. The datagrams are those of the whole-process
//! bench, 27 value lists each, as many as Coco reads at once: of one host each, and of 27. No socket, no ring.

use coco_benches::relay::corpus::{Fleet, LISTS};
use coco_wire::collectd::{
    DATAGRAM_BYTES_DEFAULT, Decoder, Identity, Item, Packer, ValueList, filter_path,
};
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use regex::bytes::Regex;
use std::hint::black_box;
use std::time::Duration;

/// Datagrams in one read.
const DATAGRAMS: usize = 64;
const HOSTS_SINGLE: usize = 5;
const HOSTS_MIXED: usize = 27;

/// The blacklist of the configuration of 1.x.
const BLACKLIST_1X: &str = "/(vmem|irq|entropy|users)/";

/// Five unlike alternatives: at the start, inside, at the end.
const BLACKLIST_5: &str = r"^staging|\.lab\.net/|/irq/|/users$|ps_pagefaults";

type Datagrams = [(&'static str, Vec<Vec<u8>>); 2];

fn datagrams() -> Datagrams {
    let fleets = [
        ("1 host", Fleet::single(HOSTS_SINGLE).expect("27 value lists fit")),
        ("27 hosts", Fleet::mixed(HOSTS_MIXED).expect("27 value lists fit")),
    ];
    fleets.map(|(name, mut fleet)| {
        fleet.datagrams.truncate(DATAGRAMS);
        assert_eq!(fleet.datagrams.len(), DATAGRAMS);
        (name, fleet.datagrams)
    })
}

fn lists(datagram: &[u8]) -> impl Iterator<Item = ValueList<'_>> {
    Decoder::new(datagram).map(|item| match item {
        Item::Values(list) => list,
        other => panic!("the corpus has only value lists, not {other:?}"),
    })
}

fn group<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements((DATAGRAMS * LISTS) as u64));
    group
}

fn decode(c: &mut Criterion) {
    let mut group = group(c, "collectd decode");
    for (name, datagrams) in &datagrams() {
        group.bench_function(*name, |b| {
            b.iter(|| {
                for datagram in datagrams {
                    let mut decoder = Decoder::new(black_box(datagram));
                    let count = decoder.by_ref().map(black_box).count();
                    assert!(count == LISTS && decoder.outcome().strict);
                }
            });
        });
    }
    group.finish();
}

/// Packs what comes; the datagram is to be what the corpus has.
fn pack<'a>(packer: &mut Packer, out: &mut Vec<u8>, lists: impl Iterator<Item = ValueList<'a>>) {
    out.clear();
    packer.begin(0);
    for list in lists {
        packer.push(out, black_box(&list)).expect("it fitted before");
    }
}

fn encode(c: &mut Criterion) {
    let mut group = group(c, "collectd encode");
    for (name, datagrams) in &datagrams() {
        let decoded: Vec<Vec<_>> = datagrams.iter().map(|it| lists(it).collect()).collect();
        let (mut packer, mut out) = (Packer::new(DATAGRAM_BYTES_DEFAULT), Vec::new());
        group.bench_function(*name, |b| {
            b.iter(|| {
                for (datagram, lists) in datagrams.iter().zip(&decoded) {
                    pack(&mut packer, &mut out, lists.iter().copied());
                    assert_eq!(&out, datagram);
                }
            });
        });
        group.bench_function(format!("{name}, decode included"), |b| {
            b.iter(|| {
                for datagram in datagrams {
                    pack(&mut packer, &mut out, lists(black_box(datagram)));
                    assert_eq!(&out, datagram);
                }
            });
        });
    }
    group.finish();
}

/// The path as 1.x's documentation has it, without a thought for speed.
fn slow_path(identity: &Identity<'_>) -> Vec<u8> {
    let Identity { host, plugin, plugin_instance, type_, type_instance } = *identity;
    let parts = [host, plugin, plugin_instance, type_, type_instance];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(&b'/')
}

fn filter(c: &mut Criterion) {
    let [(_, datagrams), _] = &datagrams();
    let identities: Vec<_> =
        datagrams.iter().flat_map(|datagram| lists(datagram)).map(|list| list.identity).collect();
    let paths: Vec<_> = identities.iter().map(slow_path).collect();
    let mut group = group(c, "filter");
    let mut out = Vec::new();
    group.bench_function("path", |b| {
        b.iter(|| {
            for (identity, path) in identities.iter().zip(&paths) {
                out.clear();
                filter_path(black_box(identity), &mut out);
                assert_eq!(&out, path);
            }
        });
    });
    for (name, text) in [("verdict, 5 alternatives", BLACKLIST_5), ("verdict, 1.x", BLACKLIST_1X)] {
        let regex = Regex::new(text).expect("a good expression");
        assert!(regex.is_match(b"web0001.dc1.net/irq/irq/8"));
        group.bench_function(name, |b| {
            b.iter(|| assert!(!paths.iter().any(|path| regex.is_match(black_box(path)))));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = decode, encode, filter
}
criterion_main!(benches);
