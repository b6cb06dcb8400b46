//! Fields of rows that are parted by tabs and ended by line feeds, whatever bytes they hold.
//!
//! Invariant: what [`escape`] writes has no tab, LF or CR, and [`unescape`] reads it back.

use std::borrow::Cow;

/// Writes backslash, tab, LF and CR as `\\\\`, `\\t`, `\\n` and `\\r`; all else stays.
pub(crate) fn escape(field: &[u8]) -> Cow<'_, [u8]> {
    let letter = |byte| ESCAPES.iter().find(|(raw, _)| *raw == byte).map(|(_, letter)| *letter);
    if field.iter().all(|byte| letter(*byte).is_none()) {
        return Cow::Borrowed(field);
    }
    let mut out = Vec::with_capacity(field.len() + 8);
    for &byte in field {
        match letter(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// Reads what [`escape`] wrote; `None` if that cannot have written it.
pub(crate) fn unescape(field: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !field.contains(&b'\\') {
        return Some(Cow::Borrowed(field));
    }
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' {
            let letter = bytes.next()?;
            out.push(ESCAPES.iter().find(|(_, known)| known == letter)?.0);
        } else {
            out.push(byte);
        }
    }
    Some(Cow::Owned(out))
}

/// Each byte with the letter that stands for it.
const ESCAPES: [(u8, u8); 4] = [(b'\\', b'\\'), (b'\t', b't'), (b'\n', b'n'), (b'\r', b'r')];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back() {
        for (field, written) in [
            (&b""[..], &b""[..]),
            (b"web.load", b"web.load"),
            (b"a\tb\nc\\d\r", br"a\tb\nc\\d\r"),
            (b"\\t\xff", b"\\\\t\xff"),
        ] {
            assert_eq!(*escape(field), *written);
            assert_eq!(unescape(written).as_deref(), Some(field));
        }
        assert_eq!(unescape(br"a\"), None);
        assert_eq!(unescape(br"a\x"), None);
    }
}
