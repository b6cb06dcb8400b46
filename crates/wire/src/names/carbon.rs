//! Names rewritten as carbon-relay.py does it with `TAG_RELAY_NORMALIZED`: tags sorted, each once.
//!
//! Source of the rules: `TaggedSeries` in carbon 1.1.10. A name that carbon finds fault with stays as
//! it is, and so do the tags of other spellings. Invariant: without `{` in it, a rewritten name is
//! rewritten to itself. (With one, carbon may take its own result for OpenMetrics.)

use std::cmp::Reverse;

use super::open_metrics;

/// So many tags are sorted without a heap allocation; carbon itself bounds nothing.
const TAGS_INLINE: usize = 32;

/// The name that carbon sends: `name` itself, or the end of `scratch`.
#[inline]
pub(super) fn normalize<'a>(name: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let open_metrics = open_metrics::is_open_metrics(name);
    if !open_metrics && is_normal(name) {
        return name;
    }
    match rewrite(name, open_metrics, scratch) {
        Some(start) => scratch.get(start..).unwrap_or(name),
        None => name,
    }
}

/// Whether the rewritten name would be `name`.
#[inline]
fn is_normal(name: &[u8]) -> bool {
    if name.first() == Some(&b'~') {
        return false;
    }
    let Some(metric) = memchr::memchr(b';', name) else {
        return true;
    };
    let mut before = &b""[..];
    let mut tags = name.get(metric + 1..).unwrap_or_default().split(|byte| *byte == b';');
    tags.all(|tag| {
        let Some(equals) = equals_of(tag) else {
            return false;
        };
        let key = tag.get(..=equals).unwrap_or_default();
        key > std::mem::replace(&mut before, key) && key != b"name="
    })
}

/// Where the `=` of a tag stands that carbon finds no fault with.
#[inline]
fn equals_of(tag: &[u8]) -> Option<usize> {
    let equals = memchr::memchr(b'=', tag)?;
    let name = tag.get(..equals)?;
    let value = tag.get(equals + 1)?;
    let good = !name.is_empty() && memchr::memchr2(b'!', b'^', name).is_none() && *value != b'~';
    good.then_some(equals)
}

/// Appends the rewritten name to `scratch` and returns where it starts there; `None` if carbon
/// leaves the name as it is.
#[cold]
fn rewrite(name: &[u8], open_metrics: bool, scratch: &mut Vec<u8>) -> Option<usize> {
    scratch.clear();
    let metric_end = if open_metrics {
        open_metrics::respell(name, scratch)?
    } else {
        scratch.extend_from_slice(name);
        memchr::memchr(b';', name).unwrap_or(name.len())
    };
    let metric_start = scratch.iter().take_while(|byte| **byte == b'~').count();
    if metric_start >= metric_end {
        return None;
    }
    let mut inline = [Place::default(); TAGS_INLINE];
    let mut heap = Vec::new();
    let count = memchr::memchr_iter(b';', scratch.get(metric_end..)?).count();
    let places = match inline.get_mut(..count) {
        Some(places) => places,
        None => {
            heap.resize(count, Place::default());
            &mut heap[..]
        }
    };
    find(scratch, metric_end, places)?;
    places.sort_unstable_by_key(|place| (place.key(scratch), Reverse(place.start)));
    let start = scratch.len();
    scratch.extend_from_within(metric_start..metric_end);
    append(places, scratch);
    Some(start)
}

/// Where a tag stands in a text.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    start: usize,
    equals: usize,
    end: usize,
}

impl Place {
    /// The tag's name and its `=`, so that names are in the order of whole tags.
    fn key(self, text: &[u8]) -> &[u8] {
        text.get(self.start..=self.equals).unwrap_or_default()
    }
}

/// Finds the tags of `text` after `metric_end`, one for each place; `None` if one has a fault.
fn find(text: &[u8], metric_end: usize, places: &mut [Place]) -> Option<()> {
    let mut start = metric_end + 1;
    for place in places {
        let rest = text.get(start..)?;
        let tag = rest.get(..memchr::memchr(b';', rest).unwrap_or(rest.len()))?;
        *place = Place { start, equals: start + equals_of(tag)?, end: start + tag.len() };
        start = place.end + 1;
    }
    Some(())
}

/// Appends the sorted tags, of each name the first.
fn append(places: &[Place], text: &mut Vec<u8>) {
    // No key: one has two bytes at least.
    let mut before = Place::default();
    for place in places {
        let key = place.key(text);
        if key != before.key(text) && key != b"name=" {
            text.push(b';');
            text.extend_from_within(place.start..place.end);
        }
        before = *place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, wanted: &str) {
        let mut scratch = b"old".to_vec();
        let result = normalize(name.as_bytes(), &mut scratch);
        assert_eq!(std::str::from_utf8(result).unwrap(), wanted, "{name}");
        assert_eq!(result.as_ptr() == name.as_ptr(), name == wanted, "{name}");
    }

    #[test]
    fn sorts_tags_and_takes_the_last_of_each() {
        for (name, wanted) in [
            ("a", "a"),
            ("a.b..c", "a.b..c"),
            ("a;x=1;y=2", "a;x=1;y=2"),
            ("a;y=2;x=1", "a;x=1;y=2"),
            ("a;a=y;a1=x", "a;a1=x;a=y"),
            ("a;x=9;x=1;b=0", "a;b=0;x=1"),
            ("a;x=1;x=1", "a;x=1"),
            ("a;name=b", "a"),
            ("a;name=c;name=b;a=0", "a;a=0"),
            ("~~a;y=2;x=1", "a;x=1;y=2"),
            ("~a", "a"),
            ("a;x==", "a;x=="),
            (r#"a{x="1",b="\"",x="0"}"#, r#"a;b=";x=0"#),
            (r#"~a;b{x="1"}"#, "a;b;x=1"),
        ] {
            check(name, wanted);
        }
    }

    #[test]
    fn leaves_a_faulty_name_alone() {
        for name in [
            "",
            "~",
            "~;a=b",
            ";b=1;a=2",
            "a;",
            "a;b",
            "a;b=",
            "a;=b",
            "~a;b=~c",
            "a;b=1;a!=2",
            "a;b^=1",
            "~a;name=",
            r#"~{a="b"}"#,
            r#"{a="b"}"#,
            r#"a{b=""}"#,
            r#"a{b="~"}"#,
            r#"a{b!="c"}"#,
            r#"a{="c"}"#,
            "a{}",
        ] {
            check(name, name);
        }
    }

    #[test]
    fn sorts_many_tags() {
        let name = |tags: &mut dyn Iterator<Item = u32>| {
            tags.fold("a".to_owned(), |name, tag| format!("{name};t{tag:05}=1"))
        };
        check(&name(&mut (0..1000).rev()), &name(&mut (0..1000)));
        check(&name(&mut (0..33).rev()), &name(&mut (0..33)));
        check(&name(&mut (0..32).rev()), &name(&mut (0..32)));
    }
}
