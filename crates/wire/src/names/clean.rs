//! Names with only certain bytes, as carbon-c-relay and nanotube forward them.
//!
//! Sources: carbon-c-relay's dispatcher, nanotube's record normalisation, and names recorded from
//! both. Invariant: a cleaned name cleans to itself. Not here: which bytes stay ([`Classes`]).

use super::Named;
use super::classes::{Class, Classes, DOT, KEPT, OTHER, TAGS};

/// So many bytes are looked up before it is asked whether one of them ends the clean part.
const CHUNK_BYTES: usize = 8;

/// What nanotube keeps; a `;` is nothing special to it.
static NANOTUBE: Classes = Classes::new(OTHER, b":_-#");

/// As carbon-c-relay: what stands before the name's first byte is skipped, and one dot at its end
/// goes. What follows the first `;` stays as it is and is not part of the key.
#[inline]
pub(super) fn as_c_relay<'a>(
    mut name: &'a [u8],
    classes: &Classes,
    scratch: &'a mut Vec<u8>,
) -> Option<Named<'a>> {
    while let [b'.' | b' ' | b'\t', rest @ ..] = name {
        name = rest;
    }
    cleaned(name, classes, scratch)
}

/// As nanotube: dots at both ends go first, then other bytes become `_`.
#[inline]
pub(super) fn as_nanotube<'a>(name: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<Named<'a>> {
    let mut name = name;
    while let [b'.', rest @ ..] | [rest @ .., b'.'] = name {
        name = rest;
    }
    cleaned(name, &NANOTUBE, scratch)
}

/// Cleans a name that does not begin with a dot; `None` if it is empty.
#[inline]
fn cleaned<'a>(name: &'a [u8], classes: &Classes, scratch: &'a mut Vec<u8>) -> Option<Named<'a>> {
    let clean = clean_bytes(name, classes);
    match name.get(clean).map(|byte| classes.of(*byte)) {
        None if name.is_empty() => None,
        None => Some(Named::alike(name.strip_suffix(b".").unwrap_or(name))),
        Some(TAGS) => Some(Named { name, key: name.get(..clean)? }),
        Some(_) => {
            let key_bytes = rewrite(name, clean, classes, scratch);
            Some(Named { name: scratch, key: scratch.get(..key_bytes)? })
        }
    }
}

/// How many bytes of `name` can stay up to the first that cannot, or that starts the tags.
#[inline]
fn clean_bytes(name: &[u8], classes: &Classes) -> usize {
    let mut before = KEPT;
    let mut clean = 0;
    // One branch for a chunk: half the time of one for each byte.
    let (chunks, rest) = name.as_chunks::<CHUNK_BYTES>();
    for chunk in chunks {
        let mut last = before;
        let stops = chunk.iter().fold(KEPT, |stops, byte| stops | stop(*byte, &mut last, classes));
        if stops != KEPT {
            return clean + clean_prefix(chunk, before, classes);
        }
        before = last;
        clean += CHUNK_BYTES;
    }
    clean + clean_prefix(rest, before, classes)
}

/// As [`clean_bytes`], of bytes that follow one of the class `before`.
#[inline]
fn clean_prefix(bytes: &[u8], mut before: Class, classes: &Classes) -> usize {
    bytes.iter().take_while(|byte| stop(**byte, &mut before, classes) == KEPT).count()
}

/// Not [`KEPT`] if `byte` cannot stay, is a dot after a dot, or starts the tags.
#[inline]
fn stop(byte: u8, before: &mut Class, classes: &Classes) -> Class {
    let class = classes.of(byte);
    // A class before that is more than a dot has stopped the scan already.
    class & (OTHER | TAGS | std::mem::replace(before, class))
}

/// Puts the cleaned name into `scratch`; its first `clean` bytes can stay. Returns how many bytes
/// stand before the tags.
#[cold]
fn rewrite(name: &[u8], clean: usize, classes: &Classes, scratch: &mut Vec<u8>) -> usize {
    let (head, rest) = name.split_at(clean.min(name.len()));
    scratch.clear();
    scratch.extend_from_slice(head);
    for (at, byte) in rest.iter().enumerate() {
        match classes.of(*byte) {
            KEPT => scratch.push(*byte),
            DOT if scratch.last() == Some(&b'.') => {}
            DOT => scratch.push(b'.'),
            TAGS => {
                let key_bytes = scratch.len();
                scratch.extend_from_slice(rest.get(at..).unwrap_or_default());
                return key_bytes;
            }
            _ => scratch.push(b'_'),
        }
    }
    if scratch.last() == Some(&b'.') {
        scratch.pop();
    }
    scratch.len()
}

#[cfg(test)]
mod tests {
    use crate::names::{Allowed, Named, Names};

    fn check(names: &Names, rows: &[(&str, Option<(&str, &str)>)]) {
        for (name, wanted) in rows {
            let mut scratch = b"old".to_vec();
            let wanted =
                wanted.map(|(name, key)| Named { name: name.as_bytes(), key: key.as_bytes() });
            assert_eq!(names.apply(name.as_bytes(), &mut scratch), wanted, "{name:?}");
        }
    }

    #[test]
    fn c_relay_leaves_tags_out_of_the_key() {
        check(
            &Names::CRelay(Allowed::default()),
            &[
                ("a.b-_:#9", Some(("a.b-_:#9", "a.b-_:#9"))),
                ("a;b=c", Some(("a;b=c", "a"))),
                ("a.;b=c", Some(("a.;b=c", "a."))),
                ("a..;b=c", Some(("a.;b=c", "a."))),
                ("a/;b=/..c;", Some(("a_;b=/..c;", "a_"))),
                (".;a=b", Some((";a=b", ""))),
                (";", Some((";", ""))),
                ("..a..", Some(("a", "a"))),
                ("a/..b.", Some(("a_.b", "a_.b"))),
                (" \t.a b", Some(("a_b", "a_b"))),
                ("é", Some(("__", "__"))),
                ("", None),
                (" \t..", None),
            ],
        );
    }

    #[test]
    fn c_relay_that_allows_semicolons_knows_no_tags() {
        check(
            &Names::CRelay(Allowed::new(";. \n")),
            &[
                ("a;b=c..d.", Some(("a;b_c.d", "a;b_c.d"))),
                ("a.;b", Some(("a.;b", "a.;b"))),
                (";", Some((";", ";"))),
                ("a-b c\nd", Some(("a_b_c_d", "a_b_c_d"))),
            ],
        );
    }

    #[test]
    fn nanotube_trims_dots_first() {
        check(
            &Names::Nanotube,
            &[
                ("a.b:_-#9", Some(("a.b:_-#9", "a.b:_-#9"))),
                ("..a..", Some(("a", "a"))),
                ("a/..", Some(("a_", "a_"))),
                ("a/..b", Some(("a_.b", "a_.b"))),
                ("a;b=c", Some(("a_b_c", "a_b_c"))),
                (".;.", Some(("_", "_"))),
                (" .a", Some(("_.a", "_.a"))),
                ("...", None),
                ("", None),
            ],
        );
    }
}
