//! Placement: a lookup with its hash, and building the largest common table.
//!
//! Every bench asserts its answer, so that a fast wrong ring fails. Keys are 60 bytes, as long as Graphite names tend
//! to be, and there are more of them than a branch predictor remembers. No socket, no parser.

use coco_ring::{Algorithm, CarbonHash, CharSign, Key, Member, Members, Place, Ring, Weight};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

const KEYS: usize = 1 << 14;
const KEY_BYTES: usize = 60;

const FAST: Algorithm = Algorithm::CarbonFast { hash: CarbonHash::Mmh3Ch, diverse: true };

const fn carbon(hash: CarbonHash) -> Algorithm {
    Algorithm::Carbon { hash, diverse: true }
}

/// Targets as they are listed everywhere; the instance is what `fnv1a_ch` hashes.
fn members(count: u16) -> Members {
    let members = (0..count)
        .map(|i| Member {
            id: format!("10.0.{}.{}:2003", i / 250, i % 250),
            weight: Weight::default(),
            zone: None,
            place: Place {
                host: format!("10.0.{}.{}", i / 250, i % 250),
                port: 2003,
                instance: Some(format!("{i:03}")),
                index: Some(i),
            },
        })
        .collect();
    Members::try_new(members).expect("the ids differ")
}

fn ring(algorithm: Algorithm, count: u16) -> Ring {
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

/// The sums at 4, 64 and 1,000 targets; fewer where the original does not take as many.
const WANTS: [(Algorithm, &[usize]); 13] = [
    (Algorithm::Xxh3, &[24_703, 513_833, 8_062_724]),
    (Algorithm::Coco, &[24_550, 518_844]),
    (carbon(CarbonHash::CarbonCh), &[24_753, 501_431, 5_365_155]),
    (carbon(CarbonHash::Fnv1aCh), &[26_040, 500_141, 5_387_985]),
    (carbon(CarbonHash::Mmh3Ch), &[24_378, 514_401, 8_182_045]),
    (FAST, &[24_348, 516_760, 8_227_064]),
    (Algorithm::CRelayCarbonCh, &[24_753, 504_999]),
    (Algorithm::CRelayFnv1aCh(CharSign::Signed), &[26_040, 502_686]),
    (Algorithm::CRelayJump(CharSign::Signed), &[24_475, 513_220]),
    (Algorithm::CRelayAnyOf(CharSign::Signed), &[24_576, 514_592]),
    (Algorithm::NanotubeJump, &[24_475, 513_220, 8_160_665]),
    (Algorithm::RelayNgV1, &[24_753, 504_999, 6_342_718]),
    (Algorithm::RelayNgV2, &[24_753, 501_393]),
];

fn lookup(c: &mut Criterion) {
    let keys = keys();
    let mut group = c.benchmark_group("lookup");
    group.throughput(Throughput::Elements(KEYS as u64));
    for (algorithm, wants) in WANTS {
        for (targets, want) in [4, 64, 1_000].into_iter().zip(wants.iter().copied()) {
            let ring = ring(algorithm, targets);
            assert_eq!(owners_sum(&ring, &keys), want, "{algorithm} {targets}");
            group.bench_function(format!("{algorithm}/{targets}"), |b| {
                b.iter(|| owners_sum(&ring, &keys));
            });
        }
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

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = lookup, build
}
criterion_main!(benches);
