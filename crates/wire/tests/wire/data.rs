//! Reads the recorded data.

use std::path::PathBuf;

use serde_json::Value as Json;

/// The text of a file below `tests/data`.
pub(crate) fn read(path: &str) -> String {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data")).join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// One JSON value a line.
pub(crate) fn read_jsonl(path: &str) -> Vec<Json> {
    read(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The bytes of lower-case hex.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "odd hex");
    let digits = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(|pair| digits(pair)).collect()
}

/// One datagram a line.
pub(crate) fn read_hex(path: &str) -> Vec<Vec<u8>> {
    read(path).lines().map(unhex).collect()
}

/// The bytes of a recorded text, in which `\xNN` stands for a byte.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend(&piece.as_bytes()[2..]);
    }
    bytes
}
