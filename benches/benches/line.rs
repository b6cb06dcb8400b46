//! Graphite lines: cut a batch into lines and fields, parse each line by itself, order the tags of a name.
//!
//! Every bench asserts its answer, so that a fast wrong parser fails. The lines are those of the whole-process bench,
//! as many as Coco reads at once; a bench of them includes the search for their ends. No socket, no ring.

use coco_benches::relay::corpus::Lines;
use coco_wire::line::{Line, LineError, Scanner, Timestamp, parse, tag_key};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

/// 256 KiB of lines.
const LINES: usize = 3600;

/// One line in so many is bad, where some are.
const BAD_STEP: usize = 10;

/// What clients get wrong, and what is said of it.
const BAD: [(&[u8], LineError); 8] = [
    (b"web.load 0.5", LineError::MissingField),
    (b"web.load 0.5 1700000000 extra", LineError::ExtraField),
    (b"web.load up 1700000000", LineError::BadValue),
    (b"web.load nan 1700000000", LineError::NotFinite),
    (b"web.load 0.5 yesterday", LineError::BadTime),
    (b"", LineError::Empty),
    (b"web\0load 0.5 1700000000", LineError::ControlByte),
    (b"web.l\xffad 0.5 1700000000", LineError::NotUtf8),
];

/// What came of a batch: bytes in the fields of good lines, and how many lines are bad.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    field_bytes: usize,
    bad: usize,
}

impl Outcome {
    fn note(&mut self, parsed: Result<Line<'_>, LineError>) {
        match parsed {
            Ok(Line { name, value, time: Timestamp::Given(time), .. }) => {
                self.field_bytes += name.len() + value.len() + time.len();
            }
            Ok(line) => panic!("every line of the corpus has a time, not {line:?}"),
            Err(_) => self.bad += 1,
        }
    }
}

/// As the router reads a batch.
fn scan(scanner: &mut Scanner, batch: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    for scanned in scanner.lines(black_box(batch)) {
        outcome.note(scanned.usual().map_or_else(|| parse(scanned.text), Ok));
    }
    outcome
}

/// Each line by itself.
fn parse_each(batch: &[u8]) -> Outcome {
    let (mut start, mut outcome) = (0, Outcome::default());
    for end in memchr::memchr_iter(b'\n', batch) {
        outcome.note(parse(black_box(&batch[start..end])));
        start = end + 1;
    }
    outcome
}

fn throughput(lines: usize, batch: &[u8]) -> Throughput {
    Throughput::ElementsAndBytes { elements: lines as u64, bytes: batch.len() as u64 }
}

fn good(c: &mut Criterion) {
    let Lines { text, .. } = Lines::new(0, LINES);
    // Each line has two blanks and an LF that belong to no field.
    let want = Outcome { field_bytes: text.len() - 3 * LINES, bad: 0 };
    both(c, "line", &text, &want);
}

fn both(c: &mut Criterion, name: &str, batch: &[u8], want: &Outcome) {
    let (mut group, mut scanner) = (c.benchmark_group(name), Scanner::default());
    group.throughput(throughput(LINES, batch));
    group.bench_function("scan", |b| b.iter(|| assert_eq!(scan(&mut scanner, batch), *want)));
    group.bench_function("parse", |b| b.iter(|| assert_eq!(parse_each(batch), *want)));
    group.finish();
}

/// The corpus with a bad line in the place of every tenth.
fn spoilt() -> (Vec<u8>, Outcome) {
    let Lines { text, .. } = Lines::new(0, LINES);
    let (mut batch, mut want) = (Vec::new(), Outcome::default());
    for (at, line) in text.split(|&byte| byte == b'\n').take(LINES).enumerate() {
        if at % BAD_STEP == 0 {
            let (line, error) = BAD[at / BAD_STEP % BAD.len()];
            assert_eq!(parse(line), Err(error));
            batch.extend_from_slice(line);
            want.bad += 1;
        } else {
            batch.extend_from_slice(line);
            want.field_bytes += line.len() - 2;
        }
        batch.push(b'\n');
    }
    (batch, want)
}

fn bad(c: &mut Criterion) {
    let (batch, want) = spoilt();
    both(c, "line, one in ten bad", &batch, &want);
}

/// Names with four tags, in this order.
fn tagged(order: [usize; 4]) -> Vec<String> {
    (0..LINES)
        .map(|at| {
            let (host, cpu) = (format!("host=web{:05}", at / 32), format!("cpu={}", at % 32));
            let tags = [cpu.as_str(), "dc=dc1", host.as_str(), "state=user"];
            order.iter().fold("cpu.percent".to_owned(), |mut name, &tag| {
                write!(name, ";{}", tags[tag]).expect("writing into memory does not fail");
                name
            })
        })
        .collect()
}

fn tags(c: &mut Criterion) {
    let (sorted, mixed) = (tagged([0, 1, 2, 3]), tagged([2, 0, 3, 1]));
    let plain: Vec<_> =
        Lines::new(0, LINES).names(1).map(|name| name.escape_ascii().to_string()).collect();
    let mut group = c.benchmark_group("tag_key");
    let cases = [
        ("no tags", &plain, &plain),
        ("sorted", &sorted, &sorted),
        ("not sorted", &mixed, &sorted),
    ];
    for (name, names, keys) in cases {
        let bytes = names.iter().map(String::len).sum::<usize>() as u64;
        group.throughput(Throughput::ElementsAndBytes { elements: LINES as u64, bytes });
        let mut scratch = Vec::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                for (name, key) in names.iter().zip(keys) {
                    assert_eq!(tag_key(black_box(name.as_bytes()), &mut scratch), key.as_bytes());
                }
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
    targets = good, bad, tags
}
criterion_main!(benches);
