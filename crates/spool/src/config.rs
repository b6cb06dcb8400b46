//! What a spool may use and when it makes sure.

use std::time::Duration;

/// Default size of a segment file, in bytes.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// When appended records are made safe from a crash of the machine. A crash of the process alone loses
/// none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before each append returns.
    Each,
    /// By [`tick`](crate::Spool::tick) when this time has passed since the last, and when a segment is
    /// closed.
    Interval(Duration),
    /// When the system likes.
    Never,
}

/// What gives way at a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtBound {
    /// The oldest segment of this spool is shed, with all that is in it.
    ShedOldest,
    /// The append is refused.
    Refuse,
}

/// The settings of one spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// When appended records are synced.
    pub sync: Sync,
    /// A segment is closed before it passes this size in bytes, unless one record alone does. At most a
    /// quarter of `bytes_max` is used, so that shedding a segment never sheds the most of a spool.
    pub segment_bytes: u64,
    /// Bytes on disk that this spool may hold, in whole segments.
    pub bytes_max: u64,
    /// Records older than this are shed by [`expire`](crate::Spool::expire); `None` keeps them.
    pub max_age: Option<Duration>,
    /// What gives way when `bytes_max` or the shared budget is reached.
    pub at_bound: AtBound,
}

impl Config {
    /// The size in force.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes.min(self.bytes_max / 4)
    }
}
