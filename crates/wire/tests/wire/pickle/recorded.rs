//! Frames written by CPython 2.7 and 3.11, protocols 0 to 5, and what CPython reads from them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use coco_wire::pickle::{Number, PickleErrorKind, decode as decode_frame, encode_frame};
use serde_json::Value as Json;

use super::decode;
use crate::data::{read_jsonl, unhex};

fn number(json: &Json) -> Number {
    match json["f"].as_str() {
        Some(bits) => Number::Float(f64::from_bits(u64::from_str_radix(bits, 16).unwrap())),
        None => Number::Int(json.as_i64().unwrap()),
    }
}

/// Equal, floats to 2 units in the last place: integers over 64 bits are rounded step by step.
fn is_same(found: Number, wanted: Number) -> bool {
    match (found, wanted) {
        (Number::Float(a), Number::Float(b)) => a.to_bits().abs_diff(b.to_bits()) <= 2,
        (found, wanted) => found == wanted,
    }
}

#[test]
fn frames_decode_as_in_cpython() {
    for frame in read_jsonl("graphite/pickle/frames.jsonl") {
        let id = &frame["id"];
        let found = decode(&unhex(frame["frame"].as_str().unwrap()));
        if let Some(error) = frame["error"].as_str() {
            assert_eq!(found.unwrap_err().kind.as_str(), error, "{id}");
            continue;
        }
        let (found, wanted) = (found.unwrap(), frame["want"].as_array().unwrap());
        assert_eq!(found.len(), wanted.len(), "{id}");
        for (found, wanted) in found.iter().zip(wanted) {
            let ((name, time, value), wanted) = match (found, wanted.as_array()) {
                (Ok(found), Some(wanted)) => (found, wanted),
                (Err(_), None) => continue,
                _ => panic!("{id}: {found:?} {wanted}"),
            };
            assert_eq!(name, wanted[0].as_str().unwrap(), "{id}");
            assert!(
                is_same(time.unwrap_or(Number::Int(-1)), number(&wanted[1]))
                    || time.is_none() && number(&wanted[1]).to_f64() == -1.0,
                "{id}"
            );
            assert!(is_same(*value, number(&wanted[2])), "{id}: {value:?} {}", wanted[2]);
        }
    }
}

#[test]
fn datapoints_are_written_as_lines() {
    let frame =
        read_jsonl("graphite/pickle/frames.jsonl").into_iter().find(|f| f["id"] == "floats-p2");
    let mut lines = Vec::new();
    decode_frame(&unhex(frame.unwrap()["frame"].as_str().unwrap()), |datapoint| {
        datapoint.unwrap().append_to(7, &mut lines);
        lines.push(b'\n');
    })
    .unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let values: Vec<_> = lines.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(values, ["0.1", "-0.0", "1e300", "5e-324", "1.7976931348623157e308", "1e16"]);
    assert!(lines.lines().all(|line| line.ends_with(" 1700000000.25")));
}

#[test]
fn whole_seconds_stay_whole_and_now_is_filled_in() {
    let mut lines = Vec::new();
    let frame = b"((S'a'\n(F1700000000.0\nI-5\ntt(S'b'\n(I-1\nI6\nttl.";
    decode_frame(frame, |datapoint| datapoint.unwrap().append_to(1_700_000_001, &mut lines))
        .unwrap();
    assert_eq!(lines, b"a -5 1700000000b 6 1700000001");
}

#[test]
fn shared_names_do_not_blow_up() {
    // One name of 10,000 bytes, shared by 100,000 elements: 1 GB if it were written out.
    let mut frame = b"](X\x10\x27\x00\x00".to_vec();
    frame.extend(vec![b'a'; 10_000]);
    frame.extend(b"q\x00K\x01K\x02\x86\x86q\x01");
    frame.extend(b"h\x01".repeat(100_000));
    frame.extend(b"e.");
    let mut bytes = 0;
    let mut elements = 0;
    decode_frame(&frame, |element| {
        elements += 1;
        bytes += element.map_or(0, |datapoint| datapoint.name.len());
    })
    .unwrap();
    assert_eq!(elements, 100_001);
    assert!(bytes <= 16 << 20);
}

#[test]
fn frames_have_bounds() {
    let kind = |frame: &[u8]| decode(frame).unwrap_err().kind;
    assert_eq!(kind(&vec![b'N'; (1 << 20) + 1]), PickleErrorKind::TooLong);
    assert_eq!(kind(&vec![b'N'; 1 << 20]), PickleErrorKind::TooManyObjects);
    assert_eq!(
        kind(&[b"]".repeat(1 << 18), b"0".repeat(9), b"]".repeat(99)].concat()),
        PickleErrorKind::TooManyObjects
    );
    assert_eq!(kind(&b"(".repeat(100)), PickleErrorKind::TooDeep);
}

/// Needs `python3` on the path.
#[test]
fn cpython_reads_our_frames() {
    const SCRIPT: &str = "
import pickle, struct, sys
data = sys.stdin.buffer.read()
while data:
    (size,) = struct.unpack('>L', data[:4])
    for name, (time, value) in pickle.loads(data[4:4 + size]):
        print(name, repr(value), repr(time))
    data = data[4 + size:]
";
    let lines: Vec<_> = (0..1200_i64)
        .map(|i| {
            format!(
                "caf\u{e9}.{i};t=1 {} {}",
                (i - 600) * 9_007_199_254_740_993,
                1_700_000_000 + i * 1_000_000
            )
        })
        .chain(["a 0.1 1700000000.5", "b -1.5 -1", "c 1e+300 1700000000"].map(str::to_owned))
        .collect();
    let (mut out, mut taken) = (Vec::new(), 0);
    while taken < lines.len() {
        taken += encode_frame(lines[taken..].iter().map(String::as_bytes), &mut out).lines;
    }
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&out).unwrap();
    let read = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(read.lines().collect::<Vec<_>>(), lines);
}
