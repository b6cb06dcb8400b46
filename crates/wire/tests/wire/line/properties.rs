//! Any line: never a panic, always the reference's answer.

use coco_wire::line::{LineError, Timestamp, is_plain, parse, parse_plain, tag_key};
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
        let batch = [&line[..], b"\n"].concat();
        if is_plain(&batch) {
            prop_assert_eq!(parse_plain(&line), parse(&line));
        } else {
            let taken = parse_plain(&line);
            prop_assert!(taken.is_ok() || taken.is_err());
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

    #[test]
    fn plain_is_what_it_says(batch in prop::collection::vec(prop_oneof![9 => 0x20..0x7f_u8, 1 => any::<u8>(), 1 => Just(b'\r'), 1 => Just(b'\n')], 0..12), filler in 0..3_usize) {
        let batch = [vec![b'a'; filler * 2047], batch].concat();
        let plain = |at: usize| match batch[at] {
            b'\r' => batch.get(at + 1) == Some(&b'\n'),
            byte => matches!(byte, b' '..=b'~' | b'\n' | b'\t'),
        };
        prop_assert_eq!(is_plain(&batch), (0..batch.len()).all(plain));
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
