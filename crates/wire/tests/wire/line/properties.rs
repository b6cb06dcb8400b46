//! Any line: never a panic, always the reference's answer.

use coco_wire::line::{LineError, Scanner, Timestamp, parse, tag_key};
use proptest::prelude::*;

use super::reference;

/// Numbers, good ones and near misses.
const NUMBER: &str = "-1|-1\\.0|N|[-+]?[0-9]{1,12}|[-+]?[0-9_]{0,4}\\.?[0-9_]{0,3}([eE][-+]?[0-9_]{0,4})?|\
                      [-+]?(nan|inf|Infinity)|[-+]?1e400|[ -~]{1,3}";

/// Three fields more or less, now and then with stranger bytes.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let blank = || "[ \t]{1,2}|[ \t\u{a0}\u{3000}]{1,2}";
    let name = "[a-z.;=]{1,8}|[!-~]{1,4}|[!-~é日\u{85}]{1,4}";
    let good = ("[ \t]{0,1}", name, blank(), NUMBER, blank(), NUMBER, "[ \t]{0,1}\r{0,1}")
        .prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g].concat().into_bytes());
    let plain = (name, NUMBER, NUMBER).prop_map(|(a, b, c)| format!("{a} {b} {c}").into_bytes());
    let odd = (good.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut line, at, byte)| {
            line.insert(at.index(line.len()), byte);
            line
        },
    );
    let any = prop::collection::vec(any::<u8>(), 0..30);
    let short = "[ \ta1.\r-]{0,8}".prop_map(String::into_bytes);
    prop_oneof![3 => plain, 3 => good, 2 => odd, 1 => any, 1 => short]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parse_agrees_with_the_reference(line in line()) {
        let line: Vec<_> = line.into_iter().filter(|byte| *byte != b'\n').collect();
        prop_assert_eq!(parse(&line), reference(&line));
    }

    #[test]
    fn a_batch_is_cut_at_each_lf_and_what_is_usual_parses_so(
        lines in prop::collection::vec(line(), 0..12),
        long in prop::option::weighted(0.02, 0..40_000_usize),
        ended in any::<bool>(),
    ) {
        let mut batch = lines.join(&b'\n');
        if let Some(len) = long {
            let at = batch.iter().position(|byte| *byte == b' ').unwrap_or_default();
            batch.splice(at..at, vec![b'a'; len]);
        }
        if ended && !batch.is_empty() {
            batch.push(b'\n');
        }
        let mut texts: Vec<_> = batch.split(|byte| *byte == b'\n').collect();
        if texts.last().is_some_and(|last| last.is_empty()) {
            texts.pop();
        }
        let mut scanner = Scanner::default();
        let scanned: Vec<_> = scanner.lines(&batch).collect();
        prop_assert_eq!(scanned.len(), texts.len());
        for (scanned, text) in scanned.into_iter().zip(texts) {
            let Some(line) = scanned.usual() else {
                prop_assert_eq!(scanned.text, text);
                continue;
            };
            prop_assert_eq!(scanned.text, text.strip_suffix(b"\r").unwrap_or(text));
            prop_assert_eq!(Ok(line), parse(text));
            prop_assert!(scanned.text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')));
            prop_assert_eq!(scanned.is_tagged(), line.name.contains(&b';'));
        }
    }

    #[test]
    fn a_line_of_now_is_stamped(name in "[a-z]{1,9}", blank in "[ \t]{1,3}", time in "-1|N|-1\\.0|-1e0", end in "[ \r]?") {
        let line = format!("{name}{blank}1{blank}{time}{end}");
        let parsed = parse(line.as_bytes()).unwrap();
        let mut out = Vec::new();
        parsed.append_to(1_700_000_000, &mut out);
        let wanted = format!("{name}{blank}1{blank}1700000000{}", end.trim_end_matches('\r'));
        prop_assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn tag_keys_are_sorted(name in "[a-c;=]{0,20}") {
        let (head, tags) = name.split_once(';').map_or((&name[..], None), |(head, tags)| (head, Some(tags)));
        let mut tags: Vec<_> = tags.into_iter().flat_map(|tags| tags.split(';')).collect();
        tags.sort_unstable();
        let wanted = [vec![head], tags].concat().join(";");
        let mut scratch = Vec::new();
        prop_assert_eq!(tag_key(name.as_bytes(), &mut scratch), wanted.as_bytes());
    }
}

#[test]
fn names_of_errors_are_unlike() {
    let names: std::collections::HashSet<_> = LineError::ALL.map(LineError::as_str).into();
    assert_eq!(names.len(), LineError::ALL.len());
}

#[test]
fn long_lines_are_read_whole() {
    let (name, digits) = ("a".repeat(100_000), "1".repeat(300));
    let line = format!("{name} {digits}.{digits} {digits}");
    let parsed = parse(line.as_bytes()).unwrap();
    assert_eq!((parsed.name.len(), parsed.value.len()), (100_000, 601));
    assert_eq!(parsed.time, Timestamp::Given(digits.as_bytes()));
    assert_eq!(parse(format!("a {digits}{digits} 1").as_bytes()), Err(LineError::NotFinite));
}

#[test]
fn a_usual_line_is_known_at_sight() {
    let usual = |line: &str| {
        let batch = format!("{line}\n");
        Scanner::default().lines(batch.as_bytes()).next().unwrap().usual().is_some()
    };
    for line in [
        "a 1 2",
        "a.b;x=1 -1.5 1700000000",
        "a\t+.5\t1.",
        "a 1 2\r",
        "a 0.30000000000000004 1700000000",
    ] {
        assert!(usual(line), "{line}");
    }
    let others =
        [" a 1 2", "a  1 2", "a 1 2 ", "a 1\r 2", "a 1e5 2", "a . 2", "a 1 .2", "a 1.2.3 4"];
    let more =
        ["a - 2", "a 1 -1", "a 1 N", "a nan 1", "é 1 2", "a 1", "a 1 2 3", "a 1+ 2", "a 1 \x01"];
    for line in others.into_iter().chain(more) {
        assert!(!usual(line), "{line}");
    }
}
