//! The bytes that all spools of a process may hold together.
//!
//! Invariant: a spool reserves before it writes and releases after it unlinked, so the sum never
//! passes the limit, but by what an earlier process with a greater limit left behind.

use std::sync::atomic::{AtomicU64, Ordering};

/// A shared limit in bytes.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes, of which none are used.
    pub fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    /// Bytes that the open spools hold on disk.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that they may hold.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Takes `bytes` if that many are left.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        let taken = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Counts bytes that are on disk already.
    pub(crate) fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was taken.
    pub(crate) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
