//! What carbon takes we take, but for the differences listed here.

use coco_wire::line::{LineError, parse};

use crate::data::{read, unescape};

/// Lines that carbon takes and we do not, and why: a line is passed on as it came, and a control
/// byte in a name breaks what reads it later.
const REFUSED_BY_US: [(&[u8], LineError); 3] = [
    (b"foo\x01 1 1700000000", LineError::ControlByte),
    (b"foo\x7f 1 1700000000", LineError::ControlByte),
    (b"foo\x00x 1 1700000000", LineError::ControlByte),
];

#[test]
fn lines_are_taken_and_ignored_as_by_carbon() {
    let rows = read("graphite/lines-carbon.tsv");
    let mut refused = Vec::new();
    for row in rows.lines().filter(|row| !row.starts_with('#')) {
        let columns: Vec<_> = row.split('\t').collect();
        let line = unescape(columns[0]);
        match (parse(&line), columns[1]) {
            (Ok(_), "!drop" | "!decode_error") => panic!("taken: {row}"),
            (Ok(parsed), name) => assert_eq!(parsed.name, unescape(name), "{row}"),
            (Err(error), "!decode_error") => assert_eq!(error, LineError::NotUtf8),
            (Err(_), "!drop") => {}
            (Err(error), _) => refused.push((line, error)),
        }
    }
    let wanted: Vec<_> = REFUSED_BY_US.map(|(line, error)| (line.to_vec(), error)).into();
    assert_eq!(refused, wanted);
}

/// Carbon's answers to these are in its source and in Python's `float()`, not in the recording.
#[test]
fn other_differences_from_carbon() {
    for (line, error) in [
        // Carbon drops NaN later, and passes infinities to whisper.
        ("a nan 1", LineError::NotFinite),
        ("a -inf 1", LineError::NotFinite),
        ("a 1e400 1", LineError::NotFinite),
        // Carbon fails on int(nan) and int(inf).
        ("a 1 nan", LineError::BadTime),
        ("a 1 1e400", LineError::BadTime),
        // Python knows these digits, what reads the line next may not.
        ("a \u{661} 1", LineError::BadValue),
        // Python strips any control byte that it holds for white space.
        ("a 1 1\r\r", LineError::ControlByte),
        ("a 1 1\u{b}", LineError::ControlByte),
    ] {
        assert_eq!(parse(line.as_bytes()), Err(error), "{line}");
    }
    // Carbon wants a float; rrdcached's clients write N.
    assert!(parse(b"a 1 N").is_ok());
}
