//! Appending: room first, then one write for many records, then the sync that was asked for.
//!
//! Invariant: a record is taken whole or not at all, and the caller is told how many were. A segment
//! whose sync failed is never written or synced again.

use std::{io, path::Path};

use super::{Active, Fate, RETRY_AFTER, Segment, Spool};
use crate::{
    AtBound, NewRecord, Now, RECORD_HEAD_BYTES, Sync,
    bytes::{len64, wide},
    disk::{Disk, DiskFile, write_full},
    position::{Mark, Tally},
    record::RecordHead,
    segment::{SegmentHead, file_of},
};

/// Records are joined up to this size for one write.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// Not all records of an append are safely in the spool.
#[derive(Debug, thiserror::Error)]
#[error("{taken} records were spooled, then: {cause}")]
pub struct AppendError {
    /// Records that were taken, from the first on. They will be read; the others will not.
    pub taken: usize,
    /// Some of those taken could not be synced: a crash of the machine may take them.
    pub unsynced: bool,
    /// What stopped it.
    pub cause: Cause,
}

/// What stopped an append.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The bound of the spool or of the shared budget is reached, and nothing may be shed for it.
    #[error("the spool has reached its bound")]
    Full,
    /// The disk failed a moment ago; see [`Spool::retry_at`].
    #[error("the disk failed and is left alone for a while")]
    Waiting,
    /// Empty, longer than [`PAYLOAD_BYTES_MAX`](crate::PAYLOAD_BYTES_MAX), without samples, or with more
    /// samples than bytes.
    #[error("a record is empty, too long, or has more samples than bytes")]
    Unsound,
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Disk(#[source] io::Error),
    /// All were taken, only the sync failed.
    #[error("what was written could not be synced")]
    Unsynced,
}

impl<D: Disk> Spool<D> {
    /// Appends records, in order. With [`Sync::Each`] they are safe from a crash when it returns `Ok`.
    ///
    /// # Errors
    /// [`AppendError`] tells how many were taken. After a failure of the disk the next append that tries
    /// it is seconds later, so that a full disk costs nothing.
    pub fn append(&mut self, now: Now, records: &[NewRecord<'_>]) -> Result<(), AppendError> {
        let errors_before = self.counts.sync_errors;
        let (taken, cause) = self.append_all(now, records);
        if taken > 0 {
            self.times.appended = now.monotonic;
        }
        if self.config.sync == Sync::Each {
            self.sync_active();
        }
        let unsynced = self.counts.sync_errors != errors_before;
        let refused = records.get(taken..).unwrap_or_default();
        self.counts.refused += refused.iter().map(|record| u64::from(record.samples)).sum::<u64>();
        match cause.or(unsynced.then_some(Cause::Unsynced)) {
            None => Ok(()),
            Some(cause) => Err(AppendError { taken, unsynced, cause }),
        }
    }

    fn append_all(&mut self, now: Now, records: &[NewRecord<'_>]) -> (usize, Option<Cause>) {
        if self.times.retry.is_some_and(|at| now.monotonic < at) {
            return (0, Some(Cause::Waiting));
        }
        self.times.retry = None;
        let (mut taken, mut may_shed) = (0, self.config.at_bound == AtBound::ShedOldest);
        while let Some(rest) = records.get(taken..).filter(|rest| !rest.is_empty()) {
            let error = match self.append_some(now, rest) {
                Ok(more) => {
                    taken += more;
                    continue;
                }
                Err((more, cause)) => {
                    taken += more;
                    cause
                }
            };
            let Cause::Disk(error) = error else { return (taken, Some(error)) };
            self.counts.write_errors += 1;
            // Once: what it frees may be taken by others, and they must not have the whole spool.
            if may_shed && is_full(&error) && self.shed_oldest(Fate::DiskFull) {
                may_shed = false;
                continue;
            }
            self.times.retry = Some(now.monotonic + RETRY_AFTER);
            return (taken, Some(Cause::Disk(error)));
        }
        (taken, None)
    }

    /// Appends as many records as fit into one write.
    fn append_some(
        &mut self,
        now: Now,
        records: &[NewRecord<'_>],
    ) -> Result<usize, (usize, Cause)> {
        let Some(first) = records.first().filter(|first| first.is_sound()) else {
            return Err((0, Cause::Unsound));
        };
        self.make_room(now, first).map_err(|cause| (0, cause))?;
        let Some((number, end)) = self.segments.back().map(|last| (last.number, last.end)) else {
            return Ok(0);
        };
        self.scratch.clear();
        self.ends.clear();
        let seed = self.digest.segment_seed(number);
        let mut tally = self.end;
        for record in records {
            let bytes = record.disk_bytes();
            let length = len64(&self.scratch) + bytes;
            let fits = record.is_sound()
                && length <= wide(WRITE_BYTES_MAX)
                && end + length <= self.config.segment_bytes();
            // Room for the first is made already.
            if !(self.ends.is_empty() || fits && self.reserve(bytes)) {
                break;
            }
            head(record, tally, now).encode(record.payload, seed, &mut self.scratch);
            self.ends.push((self.scratch.len(), record.samples));
            tally.sequence += 1;
            tally.sample += u64::from(record.samples);
        }
        self.write()
    }

    /// Writes `scratch`, for which room is reserved, to the active segment.
    fn write(&mut self) -> Result<usize, (usize, Cause)> {
        let (Some(active), Some(last)) = (&mut self.active, self.segments.back_mut()) else {
            return Ok(0);
        };
        let result = write_full(&active.file, &self.scratch, last.end);
        let written = result.as_ref().map_or_else(|(written, _)| *written, |()| self.scratch.len());
        let whole = self.ends.partition_point(|(end, _)| *end <= written);
        let kept = whole.checked_sub(1).and_then(|index| self.ends.get(index));
        let kept = kept.map_or(0, |(end, _)| *end);
        let samples: u64 =
            self.ends.iter().take(whole).map(|(_, samples)| u64::from(*samples)).sum();
        active.dirty |= kept > 0;
        last.end += wide(kept);
        last.bytes += wide(kept);
        self.end.sequence += wide(whole);
        self.end.sample += samples;
        self.counts.spooled += samples;
        let Err((_, error)) = result else { return Ok(whole) };

        let mut unused = wide(self.scratch.len() - kept);
        if active.file.truncate(last.end).is_err() {
            // The torn record stays on disk, behind all that this segment will ever give.
            let torn = wide(written - kept);
            last.bytes += torn;
            unused -= torn;
            self.seal();
        }
        self.unreserve(unused);
        Err((whole, Cause::Disk(error)))
    }

    /// Makes sure that there is an active segment with room for the record, which is reserved.
    fn make_room(&mut self, now: Now, record: &NewRecord<'_>) -> Result<(), Cause> {
        let bytes = record.disk_bytes();
        let head = wide(SegmentHead::bytes(&self.name));
        if bytes + head > self.config.bytes_max.min(self.budget.limit()) {
            return Err(Cause::Full);
        }
        loop {
            if let (Some(_), Some(last)) = (&self.active, self.segments.back())
                && last.end > last.start.offset
                && last.end + bytes > self.config.segment_bytes()
            {
                self.seal();
            }
            let head = if self.active.is_some() { 0 } else { head };
            if self.reserve(bytes + head) {
                if self.active.is_none() {
                    let begun = self.begin(now, record.epoch);
                    return begun
                        .inspect_err(|_| self.unreserve(bytes + head))
                        .map_err(Cause::Disk);
                }
                return Ok(());
            }
            if self.config.at_bound == AtBound::Refuse || !self.shed_oldest(Fate::Bytes) {
                return Err(Cause::Full);
            }
        }
    }

    /// Begins a segment, for whose head room is reserved.
    fn begin(&mut self, now: Now, epoch: u64) -> io::Result<()> {
        let number = self.next_number;
        self.next_number += 1;
        let name = self.name.clone();
        let head = SegmentHead { name, epoch, number, created_ms: now.unix_ms, before: self.end };
        head.encode(&mut self.scratch);
        let path = self.folder.join(file_of(number));
        let file = self.create(&path)?;
        let begun = write_full(&file, &self.scratch, 0)
            .map_err(|(_, error)| error)
            .and_then(|()| self.disk.sync_folder(&self.folder));
        if let Err(error) = begun {
            // One that stays is empty, and removed at the next start.
            self.disk.unlink(&path).ok();
            return Err(error);
        }
        let (start, bytes) = (head.start(), len64(&self.scratch));
        self.segments.push_back(Segment { number, start, end: bytes, bytes });
        self.active = Some(Active { file, dirty: false });
        Ok(())
    }

    /// Creates a file in the folder, which is made again if somebody has taken it away.
    fn create(&self, path: &Path) -> io::Result<D::File> {
        match self.disk.create(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.create_folder(&self.folder)?;
                if let Some(root) = self.folder.parent() {
                    self.disk.sync_folder(root)?;
                }
                self.disk.create(path)
            }
            created => created,
        }
    }

    /// Closes the active segment.
    pub(super) fn seal(&mut self) {
        if self.config.sync != Sync::Never {
            // A failure is counted there.
            self.sync_active();
        }
        self.active = None;
    }

    /// Syncs the active segment. One whose sync failed is closed: what the system says of it afterwards
    /// cannot be believed.
    pub(super) fn sync_active(&mut self) {
        let Some(active) = self.active.as_mut().filter(|active| active.dirty) else { return };
        active.dirty = false;
        if active.file.sync_data().is_err() {
            self.active = None;
            self.counts.sync_errors += 1;
            self.counts.unsynced += self.end.sample.saturating_sub(self.synced.sample);
        }
        self.synced = self.end;
    }

    /// Takes room for `bytes`, if both bounds allow.
    fn reserve(&mut self, bytes: u64) -> bool {
        let fits = self.bytes + bytes <= self.config.bytes_max && self.budget.reserve(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// Gives room back.
    pub(super) fn unreserve(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.budget.release(bytes);
    }

    /// Where a segment would start after segment `number`, with all that was ever spooled before it.
    pub(super) fn behind(&self, number: u64) -> Mark {
        Mark { segment: number.saturating_add(1), offset: 0, tally: self.end }
    }
}

fn head(record: &NewRecord<'_>, tally: Tally, now: Now) -> RecordHead {
    RecordHead {
        sequence: tally.sequence,
        sample: tally.sample,
        unix_ms: now.unix_ms,
        epoch: record.epoch,
        samples: record.samples,
        format: record.format,
        length: u32::try_from(record.disk_bytes() - wide(RECORD_HEAD_BYTES)).unwrap_or(u32::MAX),
        payload_crc: 0,
    }
}

/// The disk, or our share of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
