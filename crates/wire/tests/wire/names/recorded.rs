//! What other relays made of lines and names we make of them too, without exception.

use coco_wire::line::{Line, parse};
use coco_wire::names::{Allowed, Names};

use crate::data::{read, unescape};

/// The rows of a file, each of so many columns; there must be `count`.
fn rows<const COLUMNS: usize>(file: &str, count: usize) -> Vec<[String; COLUMNS]> {
    let text = read(&format!("graphite/{file}"));
    let rows = text.lines().filter(|row| !row.starts_with('#'));
    let rows = rows.map(|row| {
        let columns: Vec<_> = row.split('\t').map(str::to_owned).collect();
        columns.try_into().unwrap_or_else(|columns| panic!("{file}: {columns:?}"))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), count, "{file}");
    rows
}

/// The name that goes on and the key of a line, whichever parser is asked first.
fn forwarded(names: &Names, line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let named = |line: Line<'_>| {
        let mut scratch = Vec::new();
        let named = names.apply(line.name, &mut scratch)?;
        Some((named.name.to_vec(), named.key.to_vec()))
    };
    let (strict, lenient) = (parse(line).ok(), names.parse(line));
    let ours = strict.or(lenient).and_then(named);
    assert_eq!(lenient.or(strict).and_then(named), ours, "{}", line.escape_ascii());
    ours
}

/// Checks one line against the name that a relay sent, and returns the key.
fn check(names: &Names, line: &[u8], wanted: Option<&str>) -> Option<Vec<u8>> {
    let (name, key) = forwarded(names, line).unzip();
    assert_eq!(name, wanted.map(unescape), "{names:?} {}", line.escape_ascii());
    key
}

#[test]
fn carbon() {
    for row in rows::<6>("lines-carbon.tsv", 174) {
        let [line, received, plain, _, normalized, _] = &row;
        let line = unescape(line);
        let refused = ["!drop", "!decode_error"].contains(&received.as_str());
        for (normalize_tags, sent) in [(false, plain), (true, normalized)] {
            let names = Names::Carbon { normalize_tags };
            let key = check(&names, &line, (!refused).then_some(sent));
            assert_eq!(key, (!refused).then(|| unescape(sent)));
        }
    }
}

#[test]
fn nanotube() {
    for [line, normalized, raw] in rows::<3>("lines-nanotube.tsv", 150) {
        for (names, path) in [(Names::Nanotube, normalized), (Names::AsIs, raw)] {
            let path = (path != "!").then_some(path.as_str());
            let key = check(&names, &unescape(&line), path);
            assert_eq!(key, path.map(unescape));
        }
    }
}

#[test]
fn carbon_c_relay() {
    for row in rows::<6>("lines-ccr.tsv", 270) {
        let [option, sent, name, ..] = &row;
        let allowed = match option.strip_prefix("-c\\x20") {
            Some(characters) => Allowed::new(std::str::from_utf8(&unescape(characters)).unwrap()),
            None => {
                assert_eq!(option, "-");
                Allowed::default()
            }
        };
        let tags = !allowed.characters().contains(';');
        let line = [&unescape(sent)[..], b" 1 1700000000"].concat();
        let key = check(&Names::CRelay(allowed), &line, Some(name));
        let wanted = if tags { name.split(';').next().unwrap() } else { name };
        assert_eq!(key, Some(unescape(wanted)), "{row:?}");
    }
}
