//! The key of a tagged name: one series, one key, in whatever order a client writes its tags.

/// So many tags are sorted without a heap allocation; carbon itself bounds nothing.
const TAGS_INLINE: usize = 32;

/// The name with its `;tag=value` parts in byte order, each compared as a whole string. That is the
/// name itself if it has no `;` or its tags are in order already; else the key is put into
/// `scratch`, whose old content is lost. Tags are neither checked nor dropped, doubled ones stay.
#[inline]
pub fn tag_key<'a>(name: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(end) = memchr::memchr(b';', name) else {
        return name;
    };
    let tags = || name.get(end + 1..).unwrap_or_default().split(|byte| *byte == b';');
    if tags().is_sorted() {
        return name;
    }
    let mut inline = [&[][..]; TAGS_INLINE];
    let mut heap = Vec::new();
    let count = tags().count();
    let sorted: &mut [&[u8]] = match inline.get_mut(..count) {
        Some(slots) => slots,
        None => {
            heap.resize(count, &[][..]);
            &mut heap
        }
    };
    for (slot, tag) in sorted.iter_mut().zip(tags()) {
        *slot = tag;
    }
    sorted.sort_unstable();
    scratch.clear();
    scratch.extend_from_slice(name.get(..end).unwrap_or_default());
    for tag in sorted.iter() {
        scratch.push(b';');
        scratch.extend_from_slice(tag);
    }
    scratch
}

#[cfg(test)]
mod tests {
    use super::tag_key;

    fn check(name: &str, key: &str) {
        let mut scratch = b"old".to_vec();
        assert_eq!(tag_key(name.as_bytes(), &mut scratch), key.as_bytes());
    }

    #[test]
    fn sorts_tags_as_whole_strings() {
        check("a.b", "a.b");
        check("", "");
        check("a;x=1", "a;x=1");
        check("a;x=2;b=1", "a;b=1;x=2");
        check("a;a=y;a1=x", "a;a1=x;a=y");
        check("a;b;;a", "a;;a;b");
        check("a;x=1;x=1;a=0", "a;a=0;x=1;x=1");
        check(";b;a", ";a;b");
    }

    #[test]
    fn many_tags_are_sorted_too() {
        let name = |tags: &mut dyn Iterator<Item = u32>| {
            tags.fold("a".to_owned(), |name, tag| format!("{name};t={tag:05}"))
        };
        check(&name(&mut (0..1000).rev()), &name(&mut (0..1000)));
    }
}
