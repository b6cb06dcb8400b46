//! Names with `*`.

use std::str::FromStr;

/// A name in which each `*` stands for any characters, dots among them, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

/// Longest pattern in bytes: an address in a long tier fits.
const BYTES_MAX: usize = 512;

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Longer than any name.
    #[error("it is longer than {BYTES_MAX} bytes")]
    TooLong,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        match text.len() {
            0 => Err(PatternError::Empty),
            length if length > BYTES_MAX => Err(PatternError::TooLong),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl Pattern {
    /// Whether it takes in this name. Going back to the last `*` only, it takes no more than the product of
    /// both lengths.
    pub(crate) fn takes(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Behind the last `*`, and what it stands for so far.
        let mut last: Option<(usize, usize)> = None;
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                p += 1;
                last = Some((p, n));
            } else if pattern.get(p) == name.get(n) {
                p += 1;
                n += 1;
            } else if let Some((behind, until)) = &mut last {
                *until += 1;
                (p, n) = (*behind, *until);
            } else {
                return false;
            }
        }
        pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything() {
        for (pattern, name, takes) in [
            ("coco.send.*", "coco.send.10.0.0.1:25826", true),
            ("coco.send.*", "coco.send.", true),
            ("coco.send.*", "coco.sent.x", false),
            ("coco.ledger.*.10.0.0.1:1.offered", "coco.ledger.short.10.0.0.1:1.offered", true),
            ("coco.ledger.*.10.0.0.1:1.offered", "coco.ledger.short.110.0.0.1:1.offered", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*ab", "aab", true),
            ("*ab", "aabb", false),
            ("**", "", true),
            ("a", "", false),
            ("coco.filter.accepted", "coco.filter.accepted", true),
            ("coco.filter.accepted", "coco.filter.accepted2", false),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            assert_eq!(parsed.takes(name), takes, "{pattern} {name}");
        }
        assert_eq!("".parse::<Pattern>(), Err(PatternError::Empty));
        assert_eq!("a".repeat(513).parse::<Pattern>(), Err(PatternError::TooLong));
    }
}
