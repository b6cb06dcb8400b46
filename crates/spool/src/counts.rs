//! What became of the samples of one spool since it was opened, and what it holds.
//!
//! Invariant (E6): `spooled + recovered = acked + shed + depth`, in samples, after every call.

/// Samples given up, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shed {
    /// Older than the age allowed.
    pub age: u64,
    /// Gave way at the bound of the spool or of the shared budget.
    pub bytes: u64,
    /// Gave way to newer ones on a full disk.
    pub disk_full: u64,
    /// Lost in damaged ranges. Exact if an intact record or segment head follows.
    pub corrupt: u64,
    /// Taken out by hand.
    pub operator: u64,
}

impl Shed {
    /// The sum of all reasons.
    pub fn total(&self) -> u64 {
        self.age + self.bytes + self.disk_full + self.corrupt + self.operator
    }
}

/// Counters of one spool, in samples where nothing else is said. They never go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Taken by `append`.
    pub spooled: u64,
    /// Found unacknowledged at open.
    pub recovered: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Given up.
    pub shed: Shed,
    /// Not taken by `append`: not part of the equation.
    pub refused: u64,
    /// Spooled, but the sync that should have made them safe failed. They are still read.
    pub unsynced: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// Writes and creations that failed.
    pub write_errors: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Bytes skipped as damaged.
    pub corrupt_bytes: u64,
    /// Damaged ranges skipped.
    pub corrupt_ranges: u64,
    /// Records lost in damaged ranges.
    pub corrupt_records: u64,
    /// Bytes cut off the end of the last segment at open: writes that a crash tore.
    pub torn_bytes: u64,
    /// Samples in those, as far as the heads of their records can be read: at least so many.
    pub torn_samples: u64,
    /// Segment files in the folder that are another target's or of another version.
    pub foreign: u64,
}

/// What a spool holds unacknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Records.
    pub records: u64,
    /// Samples.
    pub samples: u64,
    /// Bytes on disk, in whole segments; what the bounds count.
    pub bytes: u64,
    /// When the oldest record was spooled, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<u64>,
}

impl Counts {
    /// Left side of E6 less the right side: 0 unless the spool lost count.
    pub fn residual(&self, depth: &Depth) -> i128 {
        let left = i128::from(self.spooled) + i128::from(self.recovered);
        left - i128::from(self.acked) - i128::from(self.shed.total()) - i128::from(depth.samples)
    }
}
