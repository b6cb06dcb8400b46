//! Recorded data: captures, vectors, and random names.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use crate::{
    coco::root,
    datagram::{Identity, Record},
};

/// A file below `tests/`.
pub fn file(path: &str) -> PathBuf {
    root().join("tests").join(path)
}

/// The text of a file below `tests/`.
pub fn text(path: &str) -> String {
    let file = file(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// One byte string a line, in lower-case hex.
pub fn hex_lines(path: &str) -> Vec<Vec<u8>> {
    text(path).lines().map(hex).collect()
}

/// One JSON value a line.
pub fn json_lines(path: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{path}: {e}: {line}"));
    text(path).lines().filter(|line| !line.is_empty()).map(parse).collect()
}

/// Bytes from hex.
pub fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    assert!(odd.is_empty(), "half a byte in {text:?}");
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? * 16 + digit(pair[1])?);
    pairs.iter().map(|pair| byte(pair).unwrap_or_else(|| panic!("no hex: {text:?}"))).collect()
}

/// Bytes from text in which `\xNN` stands for one byte.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        bytes.extend(hex(&piece[..2]));
        bytes.extend(&piece.as_bytes()[2..]);
    }
    bytes
}

/// What the JSON of a capture says that a datagram carries, in its raw bytes.
pub fn record(json: &Value) -> Record {
    let text = |key: &str| json[key].as_str().expect("names of captures are text").into();
    let number = |key: &str| json[key].as_u64().expect("captures have raw numbers");
    let identity = Identity {
        host: text("host"),
        plugin: text("plugin"),
        plugin_instance: text("plugin_instance"),
        kind: text("type"),
        type_instance: text("type_instance"),
    };
    let time = number("time_hr");
    if json["kind"] == "notification" {
        let (severity, message) = (number("severity"), text("message"));
        return Record::Notification { identity, time, severity, message };
    }
    let kind = |name: &Value| {
        let kinds = ["counter", "gauge", "derive", "absolute"];
        let kind = kinds.iter().position(|kind| name == kind).expect("a kind of data source");
        u8::try_from(kind).expect("there are four kinds")
    };
    let raw = |raw: &Value| {
        let bytes = hex(raw.as_str().unwrap_or_default());
        <[u8; 8]>::try_from(bytes).expect("a raw value is eight bytes")
    };
    let list = |key: &str| json[key].as_array().expect("captures list their values");
    let values = list("dstypes").iter().map(kind).zip(list("raw").iter().map(raw)).collect();
    Record::Values { identity, time, interval: number("interval_hr"), values }
}

/// Random numbers; the seed is printed, and `COCO_TEST_SEED` gives the same ones again.
pub fn random() -> fastrand::Rng {
    let given = env::var("COCO_TEST_SEED").ok();
    let seed = given.map_or_else(
        || fastrand::u64(..),
        |seed| seed.parse().expect("COCO_TEST_SEED is a number"),
    );
    eprintln!("COCO_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A metric name of a few dotted parts, some with tags; `number` makes it unique.
pub fn metric_name(random: &mut fastrand::Rng, number: usize) -> String {
    const PARTS: [&str; 8] = ["web", "db-03", "load", "cpu_user", "if:eth0", "p99", "x", "été"];
    const TAGS: [&str; 3] = [";dc=ams1", ";role=front", ";env=test"];
    let mut name = format!("t{number}");
    for _ in 0..random.usize(1..5) {
        name.push('.');
        name += PARTS[random.usize(..PARTS.len())];
    }
    if random.u8(..10) == 0 {
        // Not in order, so that sorting them is somebody's work.
        name += TAGS[random.usize(..TAGS.len())];
        name += ";a=1";
    }
    name
}

/// A metric name as careless clients send it: doubled dots and dots at its ends, bytes that relays
/// clean (not all of them UTF-8), and tags; `number` makes it unique, cleaned or not. It has no blank.
///
/// Tags have neither doubled dots nor a dot or another `;` behind a `;`, nor do they end in `;`: there
/// carbon-c-relay 3.7 differs from the later versions that its rules were taken from.
pub fn untidy_name(random: &mut fastrand::Rng, number: usize) -> Vec<u8> {
    const PARTS: [&[u8]; 18] = [
        b"web",
        b"db-03",
        b"load",
        b"if:eth0#1",
        b"p99",
        b"a/b",
        b"x=y",
        b"50%",
        b"(q)",
        b"caf\xe9",
        b"\xff\xfe",
        b"\x01",
        "\u{e9}t\u{e9}".as_bytes(),
        b"a,b",
        b"~",
        b"\\'\"",
        // Blanks to Unicode, and to no relay in C or Go.
        "nb\u{a0}sp".as_bytes(),
        "\u{3000}".as_bytes(),
    ];
    const TAGS: [&[u8]; 7] = [
        b"dc=ams1",
        b"role=front",
        b"a=1",
        b"path=/var/lib",
        b"version=1.2.3",
        b"u=\xc3\xbc",
        b"q",
    ];
    let starts: [&[u8]; 6] = [b"", b"", b"", b"", b".", b"..."];
    let dots: [&[u8]; 5] = [b".", b".", b".", b"..", b"..."];
    let ends: [&[u8]; 6] = [b"", b"", b"", b"", b".", b".."];
    let mut name = pick(random, &starts).to_vec();
    name.extend(format!("t{number}").bytes());
    for _ in 0..random.usize(1..6) {
        name.extend(pick(random, &dots));
        name.extend(pick(random, &PARTS));
    }
    name.extend(pick(random, &ends));
    if random.u8(..4) == 0 {
        for _ in 0..random.usize(1..4) {
            name.push(b';');
            name.extend(pick(random, &TAGS));
        }
    }
    name
}

fn pick<'a>(random: &mut fastrand::Rng, choices: &[&'a [u8]]) -> &'a [u8] {
    choices[random.usize(..choices.len())]
}
