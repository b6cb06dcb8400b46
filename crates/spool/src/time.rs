//! The moment of a call. The crate reads no clock: the caller does, once per round.

use std::time::Duration;

/// The two times that a spool needs: one that other processes understand, one that never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since the Unix epoch; ages of records are measured by it.
    pub unix_ms: u64,
    /// Time since any fixed moment of this process; intervals and retries are measured by it.
    pub monotonic: Duration,
}
