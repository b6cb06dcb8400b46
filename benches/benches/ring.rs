//! Placement: a lookup with its hash, and building the largest common table.
//!
//! Every bench asserts its answer, so that a fast wrong ring fails. Keys are 60 bytes, as long as Graphite names tend
//! to be, and there are more of them than a branch predictor remembers. No socket, no parser.

use coco_ring::{Algorithm, Key, Member, Members, Ring, Weight};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

const KEYS: usize = 1 << 14;
const KEY_BYTES: usize = 60;

fn members(count: usize) -> Members {
    let members = (0..count)
        .map(|i| Member {
            id: format!("10.0.{}.{}:2003", i / 250, i % 250),
            weight: Weight::default(),
            zone: None,
        })
        .collect();
    Members::try_new(members).expect("the ids differ")
}

fn ring(algorithm: Algorithm, count: usize) -> Ring {
    Ring::build(algorithm, &members(count), 1).expect("one replica of a small ring")
}

fn keys() -> Vec<[u8; KEY_BYTES]> {
    (0..KEYS)
        .map(|i| {
            let name = format!("{:.<width$}.host-{i:05}.cpu", "servers.dc1.rack", width = 45);
            name.as_bytes().try_into().expect("the format is 60 bytes long")
        })
        .collect()
}

/// The sum of all owners: recorded once, since placement never changes.
fn owners_sum(ring: &Ring, keys: &[[u8; KEY_BYTES]]) -> usize {
    keys.iter().map(|key| usize::from(ring.owner(&Key::new(black_box(key))))).sum()
}

fn lookup(c: &mut Criterion) {
    let keys = keys();
    let mut group = c.benchmark_group("lookup");
    group.throughput(Throughput::Elements(KEYS as u64));
    for (algorithm, targets, want) in [
        (Algorithm::Xxh3, 4, 24_703),
        (Algorithm::Xxh3, 64, 513_833),
        (Algorithm::Xxh3, 1_000, 8_062_724),
        (Algorithm::Coco, 4, 24_550),
        (Algorithm::Coco, 64, 518_844),
    ] {
        let ring = ring(algorithm, targets);
        assert_eq!(owners_sum(&ring, &keys), want, "{algorithm} {targets}");
        group.bench_function(format!("{algorithm}/{targets}"), |b| {
            b.iter(|| owners_sum(&ring, &keys));
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let members = members(1_000);
    let key = Key::new(b"web-17.example.com");
    let mut group = c.benchmark_group("build");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    for replicas in [1, 3] {
        group.bench_function(format!("xxh3/1000/replicas-{replicas}"), |b| {
            b.iter(|| {
                let ring = Ring::build(Algorithm::Xxh3, black_box(&members), replicas);
                let ring = ring.expect("1,000 members are enough");
                assert_eq!(usize::from(ring.owner(&key)), 615);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookup, build);
criterion_main!(benches);
