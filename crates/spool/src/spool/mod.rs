//! One target's spool: the state, and what it tells about itself.
//!
//! Invariants: `acked <= cursor <= end`; segments are in order of their numbers and only the last may be
//! active; numbers of segments, records and samples are never given twice. What is held is always
//! `end - acked`, so no sum can drift. It starts no thread, reads no clock and knows no target's state.

mod append;
mod open;
mod read;
mod release;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

#[cfg(test)]
pub(crate) use append::is_full;
pub use append::{AppendError, Cause};
pub use read::{Batch, Record};

use crate::{
    Budget, Config, Counts, Depth, Name, Now, Sync,
    disk::Disk,
    name::Digest,
    position::{Mark, Tally},
    scan::Window,
};

/// After a failed write or creation the disk is left alone for this long.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The acknowledged position is saved this often while it moves; what was acknowledged since is read
/// again after a crash.
pub(crate) const POSITION_INTERVAL: Duration = Duration::from_secs(1);
/// The last segment of an empty spool is removed after this time without an append.
pub(crate) const IDLE: Duration = Duration::from_secs(1);

/// The disk half of one target's queue.
#[derive(Debug)]
pub struct Spool<D: Disk> {
    disk: D,
    /// Held, so that no other process opens the root.
    _lock: Arc<D::Lock>,
    budget: Arc<Budget>,
    folder: PathBuf,
    name: Name,
    digest: Digest,
    config: Config,

    segments: VecDeque<Segment>,
    active: Option<Active<D::File>>,
    next_number: u64,
    /// All of `segments` on disk.
    bytes: u64,

    end: Tally,
    acked: Mark,
    /// What the position file says.
    saved: Option<Mark>,
    /// Everything before it was synced, or counted as unsynced.
    synced: Tally,
    cursor: Mark,
    /// Ranges passed over between `acked` and `cursor`.
    skips: VecDeque<Skip>,
    /// Ends and times of the records read and not acknowledged.
    unacked: VecDeque<(Mark, u64)>,
    /// Time of the first record behind a position.
    oldest: Option<(Mark, u64)>,

    reader: Reader<D::File>,
    /// Records on their way to the disk.
    scratch: Vec<u8>,
    /// Where each ends in `scratch`, and its samples.
    ends: Vec<(usize, u32)>,

    counts: Counts,
    times: Times,
}

/// How the segments are read, one at a time.
#[derive(Debug)]
struct Reader<F> {
    /// The one that is open, by its number.
    open: Option<(u64, F)>,
    window: Window,
    /// Reads in a row that failed.
    failures: u32,
}

/// When something was done last, in monotonic time.
#[derive(Debug)]
struct Times {
    synced: Duration,
    saved: Duration,
    appended: Duration,
    /// When the disk may be tried again.
    retry: Option<Duration>,
}

/// A segment on disk.
#[derive(Debug)]
struct Segment {
    number: u64,
    start: Mark,
    /// Where its records end, in bytes.
    end: u64,
    /// What it takes on disk.
    bytes: u64,
}

/// The segment that is written.
#[derive(Debug)]
struct Active<F> {
    file: F,
    dirty: bool,
}

/// A range of the log that gives no record.
#[derive(Debug)]
struct Skip {
    from: Mark,
    to: Mark,
    /// Bytes of it that are damaged.
    bytes: u64,
    why: Why,
}

/// Why a range is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Damaged; or nothing but the border of two segments, then it has neither samples nor bytes.
    Corrupt,
    Age,
}

/// What becomes of samples that leave the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acked,
    Bytes,
    DiskFull,
    Operator,
}

impl<D: Disk> Spool<D> {
    /// Whose spool it is.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What became of the samples since it was opened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Records, samples and bytes held. Reads no file.
    pub fn held(&self) -> Depth {
        Depth {
            records: self.end.sequence.saturating_sub(self.acked.tally.sequence),
            samples: self.end.sample.saturating_sub(self.acked.tally.sample),
            bytes: self.bytes,
            oldest_ms: None,
        }
    }

    /// As [`held`](Self::held), and how old it is: may read one record's head. Without an age if that
    /// cannot be read.
    pub fn depth(&mut self) -> Depth {
        let oldest_ms = if self.held().records == 0 { None } else { self.oldest() };
        Depth { oldest_ms, ..self.held() }
    }

    /// The number of the first record that a crash of the machine may take: those with lower numbers
    /// were synced, or are counted as unsynced.
    pub fn durable(&self) -> u64 {
        self.synced.sequence
    }

    /// Sequences of the acknowledged position and of the end.
    #[cfg(test)]
    pub(crate) fn marks(&self) -> (u64, u64) {
        (self.acked.tally.sequence, self.end.sequence)
    }

    /// When the disk will be tried again after a failed write, in monotonic time.
    pub fn retry_at(&self) -> Option<Duration> {
        self.times.retry
    }

    /// Does what is due: syncs, saves the position, removes what is acknowledged. To be called a few
    /// times per second, also while nothing is appended.
    pub fn tick(&mut self, now: Now) {
        if let Sync::Interval(interval) = self.config.sync
            && now.monotonic.saturating_sub(self.times.synced) >= interval
        {
            self.times.synced = now.monotonic;
            // A failure is counted where it happens.
            self.sync_active();
        }
        if now.monotonic.saturating_sub(self.times.appended) >= IDLE {
            self.retire();
        }
        if now.monotonic.saturating_sub(self.times.saved) >= POSITION_INTERVAL {
            self.times.saved = now.monotonic;
            if self.save_position().is_err() {
                self.counts.write_errors += 1;
            }
        }
        self.release();
    }

    /// Sheds all that is held, as told by an operator.
    pub fn clear(&mut self) {
        self.seal();
        if let Some(last) = self.segments.back() {
            let to = self.behind(last.number);
            self.advance(to, Fate::Operator);
            self.release();
        }
    }

    /// Makes what was appended safe from a crash of the machine, now; `false` if that failed for some of it,
    /// which is in the counters.
    pub fn sync(&mut self) -> bool {
        let errors_before = self.counts.sync_errors;
        self.sync_active();
        self.counts.sync_errors == errors_before
    }

    /// Syncs what was appended and saves the position.
    ///
    /// # Errors
    /// The position could not be saved: some acknowledged records will be read again. A failed sync is
    /// in the counters, which are given back.
    pub fn close(mut self) -> (Counts, io::Result<()>) {
        self.seal();
        self.retire();
        let saved = self.save_position();
        self.release();
        (self.counts, saved)
    }
}

impl<D: Disk> Drop for Spool<D> {
    fn drop(&mut self) {
        // Opened again, its bytes are counted anew.
        self.budget.release(self.bytes);
    }
}
