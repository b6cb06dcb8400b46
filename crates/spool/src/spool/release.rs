//! Acknowledging and shedding: how samples leave the spool, and segments the disk.
//!
//! Invariant: all samples leave by `advance`, which gives each exactly one fate. A segment is unlinked
//! only when all in it has left and the saved position is behind it; only on a full disk, where the
//! position cannot be saved, the unlink comes first: a missing segment tells the same.

use std::io;

use super::{Fate, Spool, Why, append::is_full};
use crate::{
    Sync,
    disk::{Disk, DiskFile, write_full},
    position::{self, Mark, Position},
    segment::file_of,
};

impl<D: Disk> Spool<D> {
    /// Acknowledges all records up to `position`, which a read gave since the last rewind; any other
    /// changes nothing. Returns the samples acknowledged: those shed in the meantime are not.
    pub fn ack(&mut self, position: Position) -> u64 {
        let Position(to) = position;
        if to <= self.acked || to > self.cursor {
            return 0;
        }
        let before = self.counts.acked;
        self.advance(to, Fate::Acked);
        self.settle();
        self.counts.acked - before
    }

    /// Moves the acknowledged position to `to`. What was skipped on the way has its own fate, all else
    /// has the one given.
    pub(super) fn advance(&mut self, to: Mark, fate: Fate) {
        let mut samples = to.tally.sample.saturating_sub(self.acked.tally.sample);
        while let Some(skip) = self.skips.front().filter(|skip| skip.to <= to) {
            let lost = skip.to.tally.sample.saturating_sub(skip.from.tally.sample);
            let records = skip.to.tally.sequence.saturating_sub(skip.from.tally.sequence);
            samples = samples.saturating_sub(lost);
            match skip.why {
                Why::Age => self.counts.shed.age += lost,
                Why::Corrupt => {
                    self.counts.shed.corrupt += lost;
                    self.counts.corrupt_records += records;
                    self.counts.corrupt_bytes += skip.bytes;
                    self.counts.corrupt_ranges += u64::from(records > 0 || skip.bytes > 0);
                }
            }
            self.skips.pop_front();
        }
        let count = match fate {
            Fate::Acked => &mut self.counts.acked,
            Fate::Bytes => &mut self.counts.shed.bytes,
            Fate::DiskFull => &mut self.counts.shed.disk_full,
            Fate::Operator => &mut self.counts.shed.operator,
        };
        *count += samples;
        let done = self.unacked.partition_point(|(end, _)| *end <= to);
        self.unacked.drain(..done);
        self.acked = to;
        self.cursor = self.cursor.max(to);
    }

    /// Takes the acknowledged position over what gives no record, then removes what it has passed.
    pub(super) fn settle(&mut self) {
        loop {
            let skipped = self.skips.front().filter(|skip| skip.from <= self.acked);
            if let Some(to) = skipped.map(|skip| skip.to) {
                // All of it is skipped, so the fate given meets no sample.
                self.advance(to, Fate::Acked);
            } else if self.cursor != self.acked || !self.cross() {
                break;
            }
        }
        self.release();
    }

    /// Sheds the oldest segment, and tells whether that freed any bytes.
    pub(super) fn shed_oldest(&mut self, fate: Fate) -> bool {
        let Some(oldest) = self.segments.front() else { return false };
        if self.segments.len() == 1 && self.active.is_some() {
            if oldest.end == oldest.start.offset {
                return false;
            }
            self.seal();
        }
        let Some(oldest) = self.segments.front().map(|oldest| oldest.number) else { return false };
        let to = self.segments.get(1).map_or(self.behind(oldest), |next| next.start);
        let to = Mark { tally: to.tally.max(self.acked.tally), ..to };
        if to > self.acked {
            self.advance(to, fate);
        }
        let before = self.bytes;
        self.settle();
        self.bytes < before
    }

    /// Removes the active segment, if all that it holds has left.
    pub(super) fn retire(&mut self) {
        if let Some(last) = self.segments.back()
            && self.acked.tally == self.end
            && (self.active.is_none() || last.end > last.start.offset)
        {
            let to = self.behind(last.number);
            // Nothing in it is worth a sync.
            self.active = None;
            self.synced = self.end;
            // No sample is left to have the fate.
            self.advance(to, Fate::Acked);
            self.release();
        }
    }

    /// Unlinks the segments before the acknowledged position. What fails is tried again by the next
    /// call.
    pub(super) fn release(&mut self) {
        // An open file would keep its bytes on the disk.
        self.reader.open.take_if(|(number, _)| *number < self.acked.segment);
        let mut gone = false;
        while let Some(first) = self.segments.front().filter(|s| s.number < self.acked.segment) {
            let (number, bytes) = (first.number, first.bytes);
            let saved = self.save_position();
            if let Err(error) = &saved {
                self.counts.write_errors += 1;
                if !is_full(error) {
                    break;
                }
            }
            match self.unlink_segment(number) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => break,
                Ok(()) | Err(_) => {}
            }
            gone = true;
            self.segments.pop_front();
            self.unreserve(bytes);
            // Without a saved position the order of unlinks tells how far it was.
            if saved.is_err() && self.disk.sync_folder(&self.folder).is_err() {
                break;
            }
        }
        if gone {
            // An unlink that a crash takes back only leaves a file that the next start removes.
            self.disk.sync_folder(&self.folder).ok();
        }
    }

    /// Saves the acknowledged position, if it has moved.
    pub(super) fn save_position(&mut self) -> io::Result<()> {
        if self.saved.unwrap_or_default() == self.acked {
            return Ok(());
        }
        if self.config.sync != Sync::Never
            && self.segments.back().is_some_and(|last| last.number == self.acked.segment)
        {
            self.sync_active();
        }
        self.acked.encode(self.digest, &mut self.scratch);
        let new = self.folder.join(position::NEW_FILE);
        match self.disk.unlink(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = self.disk.create(&new)?;
        write_full(&file, &self.scratch, 0).map_err(|(_, error)| error)?;
        file.sync_data()?;
        self.disk.rename(&new, &self.folder.join(position::FILE))?;
        self.disk.sync_folder(&self.folder)?;
        self.saved = Some(self.acked);
        Ok(())
    }

    pub(super) fn unlink_segment(&self, number: u64) -> io::Result<()> {
        self.disk.unlink(&self.folder.join(file_of(number)))
    }
}
