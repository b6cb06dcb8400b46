//! Pickle frames of 500 datapoints: from lines to a frame, and from a frame to datapoints.
//!
//! Every bench asserts its answer, so that a fast wrong codec fails. The names are those of the whole-process bench.
//! No socket, no ring.

use coco_benches::relay::corpus::Lines;
use coco_wire::pickle::{DATAPOINTS_MAX, decode, encode_frame};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

/// The length that stands before a frame, in bytes.
const LENGTH_BYTES: usize = 4;

fn pickle(c: &mut Criterion) {
    let text = Lines::new(0, DATAPOINTS_MAX).text;
    let lines: Vec<_> = text.split(|&byte| byte == b'\n').take(DATAPOINTS_MAX).collect();
    let mut frame = Vec::new();
    encode_frame(lines.iter().copied(), &mut frame);
    let mut group = c.benchmark_group("pickle");
    group.throughput(Throughput::ElementsAndBytes {
        elements: DATAPOINTS_MAX as u64,
        bytes: frame.len() as u64,
    });
    group.bench_function("decode", |b| {
        b.iter(|| {
            let mut expected = lines.iter();
            decode(black_box(&frame[LENGTH_BYTES..]), |datapoint| {
                let datapoint = datapoint.expect("every line was good");
                let line = expected.next().expect("no more than there are lines");
                assert!(line.starts_with(datapoint.name) && datapoint.time.is_some());
                black_box(datapoint.value);
            })
            .expect("a good frame");
            assert_eq!(expected.len(), 0);
        });
    });
    let mut out = Vec::new();
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            let encoded = encode_frame(black_box(&lines).iter().copied(), &mut out);
            assert_eq!((encoded.lines, encoded.datapoints), (DATAPOINTS_MAX, DATAPOINTS_MAX));
            assert_eq!(out.len(), frame.len());
        });
    });
    group.finish();
    every_value_survives(&frame, &lines);
}

/// The frame that was timed says of each line what the line says.
fn every_value_survives(frame: &[u8], lines: &[&[u8]]) {
    let mut expected = lines.iter();
    let checked = decode(&frame[LENGTH_BYTES..], |datapoint| {
        let mut written = Vec::new();
        datapoint.expect("every line was good").append_to(0, &mut written);
        let number = |line: &[u8]| {
            let text = String::from_utf8_lossy(line).into_owned();
            text.split(' ').nth(1).and_then(|value| value.parse::<f64>().ok())
        };
        assert_eq!(number(&written), expected.next().and_then(|line| number(line)));
    });
    assert_eq!(checked, Ok(()));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = pickle
}
criterion_main!(benches);
