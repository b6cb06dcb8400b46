//! The order in which carbon-c-relay's jump hash numbers its buckets.
//!
//! Invariant: targets with an instance come first, by instance, then those without, as listed. Two instances compare
//! as numbers if both are, else byte by byte. Where numbers and other texts are mixed that is no order at all ("2" <
//! "10" < "1a" < "2"); the outcome then depends on the sort, so it is done step by step as glibc's `qsort` does it.

use crate::{Members, TargetIdx};
use std::cmp::Ordering;

/// The targets by bucket.
pub(crate) fn order(members: &Members) -> Vec<TargetIdx> {
    let mut instances: Vec<(TargetIdx, &str)> = TargetIdx::each(members)
        .filter_map(|(target, member)| Some((target, member.place.instance.as_deref()?)))
        .collect();
    merge_sort(&mut instances);
    let without = TargetIdx::each(members).filter(|(_, member)| member.place.instance.is_none());
    instances.into_iter().map(|(target, _)| target).chain(without.map(|(t, _)| t)).collect()
}

fn compare(a: &str, b: &str) -> Ordering {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_bytes().cmp(b.as_bytes()),
    }
}

/// What C's `strtol` makes of a text if it takes all of it; too large numbers become the largest.
fn number(text: &str) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let largest = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(largest))
}

/// Both halves, the smaller first, then the merging of them: stable, and sure to end whatever `compare` says.
fn merge_sort(list: &mut [(TargetIdx, &str)]) {
    if list.len() < 2 {
        return;
    }
    let (left, right) = list.split_at_mut(list.len() / 2);
    merge_sort(left);
    merge_sort(right);
    let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(&&left), Some(&&right)) = (l.peek(), r.peek()) {
        let from_left = compare(left.1, right.1).is_le();
        merged.extend(if from_left { l.next() } else { r.next() });
    }
    merged.extend(l.chain(r));
    list.copy_from_slice(&merged);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_strtol_takes_whole() {
        for (text, want) in [
            ("0", Some(0)),
            ("+2", Some(2)),
            ("-007", Some(-7)),
            (" \t12", Some(12)),
            ("9223372036854775808", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("", None),
            ("+", None),
            ("+-2", None),
            ("12 ", None),
            ("0x1", None),
            ("\u{661}", None),
        ] {
            assert_eq!(number(text), want, "{text:?}");
        }
    }

    /// A cycle, which the sort of the standard library may answer with a panic.
    #[test]
    fn numbers_among_other_texts_are_sorted_somehow() {
        assert!(compare("2", "10").is_lt() && compare("10", "1a").is_lt());
        assert!(compare("1a", "2").is_lt());
        let members = crate::testing::plain_members(60);
        let texts = ["2", "10", "1a"].into_iter().cycle();
        let mut list: Vec<_> = TargetIdx::each(&members).map(|(t, _)| t).zip(texts).collect();
        merge_sort(&mut list);
        let mut targets: Vec<_> = list.into_iter().map(|(target, _)| target).collect();
        targets.sort_unstable();
        targets.dedup();
        assert_eq!(targets.len(), 60);
    }
}
