//! Any bytes for a name, any bytes for a line.

use coco_wire::line;
use coco_wire::names::{Allowed, Names};
use proptest::prelude::*;

/// Every kind of treatment.
fn all() -> impl Strategy<Value = Names> {
    prop_oneof![
        Just(Names::Sorted),
        Just(Names::AsIs),
        any::<bool>().prop_map(|normalize_tags| Names::Carbon { normalize_tags }),
        "[-_:#;./ü \n]{0,4}".prop_map(|text| Names::CRelay(Allowed::new(&text))),
        Just(Names::CRelay(Allowed::default())),
        Just(Names::Nanotube),
    ]
}

/// Names of all sorts, without blanks, CR and LF.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let tagged = "~?[a-c./]{0,4}(;~?[abn!^]{0,2}=?[a-c~=]{0,2}){0,5}";
    let many = "a(;[a-z]{1,2}=[ab]){30,40}";
    let open_metrics =
        "~?[a.;]{0,3}\\{([ab,;=]{1,2}=?\"([a-c~=;{]|\\\\[\"\\\\c]){0,3}\"(,|:,|)){0,3}\\}";
    let any = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        2 => "[a-c.:_/;é]{0,12}".prop_map(String::into_bytes),
        2 => tagged.prop_map(String::into_bytes),
        1 => many.prop_map(String::into_bytes),
        2 => open_metrics.prop_map(String::into_bytes),
        1 => any,
    ]
    .prop_map(|name| name.into_iter().filter(|byte| !is_blank(byte)).collect())
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The name and the key, or nothing.
fn apply(names: &Names, name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut scratch = b"old".to_vec();
    names.apply(name, &mut scratch).map(|named| (named.name.to_vec(), named.key.to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_unchanged_name_is_the_callers_own(names in all(), name in name()) {
        let mut scratch = Vec::new();
        if let Some(named) = names.apply(&name, &mut scratch) {
            let same = named.name.as_ptr() == name.as_ptr() && named.name.len() == name.len();
            prop_assert_eq!(same, named.name == name);
            prop_assert!(!named.name.iter().any(is_blank));
            prop_assert!(!named.key.iter().any(is_blank));
        }
    }

    #[test]
    fn what_was_rewritten_stays(names in all(), name in name()) {
        // Carbon may take its own result for OpenMetrics if a `{` is in it.
        let carbon = matches!(names, Names::Carbon { .. });
        if let Some((once, key)) = apply(&names, &name) && !(carbon && once.contains(&b'{')) {
            if carbon && name.contains(&b'{') {
                prop_assert_eq!(key, once);
            } else {
                prop_assert_eq!(apply(&names, &once), Some((once, key)));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_name(names in all(), name in prop::collection::vec(any::<u8>(), 0..40)) {
        let taken = apply(&names, &name);
        if let (Names::CRelay(_) | Names::Nanotube, Some((_, key))) = (names, taken) {
            prop_assert!(!key.iter().any(is_blank));
        }
    }

    #[test]
    fn tags_are_no_part_of_carbon_c_relays_key(allowed in "[-/;.]{0,3}", name in name()) {
        let names = Names::CRelay(Allowed::new(&allowed));
        if let Some((name, key)) = apply(&names, &name) {
            if allowed.contains(';') {
                prop_assert_eq!(&name, &key);
            } else {
                prop_assert!(!key.contains(&b';'));
                prop_assert!(name == key || name.starts_with(&[&key[..], b";"].concat()));
            }
        }
    }

    #[test]
    fn plain_lines_are_read_as_by_the_strict_parser(names in all(), line in "[a;][ a.;1\t-]{0,8}( 1 N| -1 2 ?)?") {
        let strict = line::parse(line.as_bytes()).ok().filter(|_| names != Names::Sorted);
        prop_assert_eq!(names.parse(line.as_bytes()), strict);
    }

    #[test]
    fn any_bytes_are_a_line(names in all(), line in prop::collection::vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'1')], 0..20)) {
        if let Some(parsed) = names.parse(&line) {
            prop_assert!(!parsed.name.is_empty() && !parsed.text.contains(&b'\n'));
            prop_assert!(!parsed.name.iter().any(|byte| matches!(byte, b' ' | b'\t')));
            prop_assert_eq!(parsed.text.as_ptr(), line.as_ptr());
        }
    }
}
