//! What becomes of each byte of a name that is cleaned.
//!
//! Invariant: blanks, CR and LF are never kept: a cleaned name stays one field of one line.

use std::fmt;

/// What becomes of a byte. Each is one bit, so that a scan tests for several at once.
pub(super) type Class = u8;

/// It stays.
pub(super) const KEPT: Class = 0;
/// A dot: it stays where it divides two parts.
pub(super) const DOT: Class = 1;
/// It becomes `_`.
pub(super) const OTHER: Class = 2;
/// It ends the name, tags follow.
pub(super) const TAGS: Class = 4;

/// The class of each byte.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Classes([Class; 256]);

impl fmt::Debug for Classes {
    /// Not the whole table: what it was made of is told beside it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classes").finish_non_exhaustive()
    }
}

impl Classes {
    /// ASCII letters, digits and `_` stay (it is put for others), and so do the bytes of `kept`.
    pub(super) const fn new(semicolon: Class, kept: &[u8]) -> Self {
        let mut classes = [OTHER; 256];
        classes[b';' as usize] = semicolon;
        let mut at = 0;
        while at < kept.len() {
            classes[kept[at] as usize] = KEPT;
            at += 1;
        }
        let mut byte = 0;
        while byte < 128_u8 {
            if byte.is_ascii_alphanumeric() || byte == b'_' {
                classes[byte as usize] = KEPT;
            } else if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                classes[byte as usize] = OTHER;
            }
            byte += 1;
        }
        classes[b'.' as usize] = DOT;
        Self(classes)
    }

    /// What becomes of `byte`.
    #[inline]
    pub(super) fn of(&self, byte: u8) -> Class {
        self.0[usize::from(byte)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_divides_lines_is_never_kept() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let classes = Classes::new(TAGS, &all);
        for byte in all {
            let wanted = match byte {
                b' ' | b'\t' | b'\r' | b'\n' => OTHER,
                b'.' => DOT,
                _ => KEPT,
            };
            assert_eq!(classes.of(byte), wanted, "{byte:#x}");
        }
    }

    #[test]
    fn the_least_is_letters_digits_underscores_and_dots() {
        let classes = Classes::new(TAGS, b"");
        for byte in 0..=u8::MAX {
            let wanted = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => KEPT,
                b'.' => DOT,
                b';' => TAGS,
                _ => OTHER,
            };
            assert_eq!(classes.of(byte), wanted, "{byte:#x}");
        }
    }
}
