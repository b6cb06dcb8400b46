//! The key: the exact bytes that are hashed, and their hash.
//!
//! Invariant: the hash always belongs to the bytes. What the bytes of a sample's key are (host, name, tags) is
//! decided by the caller; nothing here trims, folds or decodes them.

use twox_hash::XxHash3_64;

/// A key: any bytes, with their XXH3-64 (seed 0), computed once however many rings are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    bytes: &'a [u8],
    xxh3: u64,
}

impl<'a> Key<'a> {
    /// Hashes the bytes; every byte string is a key, the empty one too.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, xxh3: XxHash3_64::oneshot(bytes) }
    }

    /// The bytes as given.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// XXH3-64 with seed 0 of the bytes, as specified in `doc/xxhash_spec.md` of github.com/Cyan4973/xxHash.
    #[inline]
    #[must_use]
    pub fn xxh3(&self) -> u64 {
        self.xxh3
    }
}
