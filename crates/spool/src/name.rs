//! Whose spool it is: tier and target, and the digest of both that names the folder.
//!
//! The digest is also the seed of every checksum in the folder, so that a record, segment or position
//! of another target is never taken for one of this. It does not look at rings or addresses.

use std::fmt;

use twox_hash::XxHash3_128;

/// Longest tier name and longest target id, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;

/// A tier and one of its targets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    tier: String,
    target: String,
}

/// Why two strings do not name a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Tier or target is empty.
    #[error("the name of a tier or target is empty")]
    Empty,
    /// Tier or target is longer than [`NAME_BYTES_MAX`].
    #[error("the name of a tier or target has {0} bytes, {NAME_BYTES_MAX} are allowed")]
    Long(usize),
    /// The tier has a NUL byte, which is what parts it from the target.
    #[error("the name of the tier has a NUL byte")]
    Nul,
}

impl Name {
    /// Checks and takes the two names.
    ///
    /// # Errors
    /// [`NameError`] if one is empty or too long, or the tier has a NUL byte.
    pub fn new(tier: &str, target: &str) -> Result<Self, NameError> {
        for name in [tier, target] {
            if name.is_empty() {
                return Err(NameError::Empty);
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(NameError::Long(name.len()));
            }
        }
        if tier.contains('\0') {
            return Err(NameError::Nul);
        }
        Ok(Self { tier: tier.to_owned(), target: target.to_owned() })
    }

    /// The tier.
    pub fn tier(&self) -> &str {
        &self.tier
    }

    /// The target's id within the tier.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// XXH3-128 of tier, NUL, target.
    pub(crate) fn digest(&self) -> Digest {
        let bytes = [self.tier.as_bytes(), b"\0", self.target.as_bytes()].concat();
        Digest(XxHash3_128::oneshot(&bytes))
    }
}

/// The digest of a [`Name`]. Its 32 hex digits name the folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(u128);

impl Digest {
    /// The digest that a folder's name tells, if it is one of ours.
    pub(crate) fn parse(folder: &str) -> Option<Self> {
        let ours = folder.len() == 32
            && folder.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        ours.then(|| u128::from_str_radix(folder, 16).ok().map(Self)).flatten()
    }

    /// The state from which the checksum of the position file goes on.
    pub(crate) fn seed(self) -> u32 {
        crc32c::crc32c(&self.0.to_le_bytes())
    }

    /// The state from which the checksums of the records of one segment go on.
    pub(crate) fn segment_seed(self, segment: u64) -> u32 {
        crc32c::crc32c_append(self.seed(), &segment.to_le_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_a_published_format() {
        let name = Name::new("shortterm", "10.0.0.1:25826").unwrap();
        let digest = name.digest();
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        // As xxh3_128 of python-xxhash, the original's binding, gives it.
        assert_eq!(digest.to_string(), "728132877d2d3a2e7095adfcd71ae967");
    }

    #[test]
    fn names_that_could_be_mistaken_are_refused() {
        assert_eq!(Name::new("", "a"), Err(NameError::Empty));
        assert_eq!(Name::new("a\0b", "c"), Err(NameError::Nul));
        assert_eq!(Name::new("a", &"x".repeat(1025)), Err(NameError::Long(1025)));
        for folder in
            ["", "..", "ABCDEF00000000000000000000000000", "+0000000000000000000000000000000"]
        {
            assert_eq!(Digest::parse(folder), None, "{folder}");
        }
    }
}
