//! Reading: the next records, over segments and damage, without acknowledging them.
//!
//! Invariant: only intact records are given, each once until a rewind. A range passed over becomes a
//! `Skip`, whose samples are counted when the acknowledged position passes it, so that a rewind counts
//! nothing twice.

use std::io;

use super::{Skip, Spool, Why};
use crate::{
    Now,
    disk::Disk,
    position::{Mark, Position, Tally},
    record::RecordHead,
    scan::{Check, READ_TRIES, Source, Step, UNREADABLE_BYTES},
    segment::file_of,
};

/// Records read at once. Kept and filled again, it allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<(RecordHead, usize, Position)>,
}

/// A record read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Number, samples, times, format.
    pub head: RecordHead,
    /// What was appended.
    pub payload: &'a [u8],
    /// To be acknowledged when this record and all before it are done with.
    pub position: Position,
}

impl Batch {
    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.records.iter().map(|(head, start, position)| {
            let end = start + head.payload_bytes();
            let payload = self.bytes.get(*start..end).unwrap_or_default();
            Record { head: *head, payload, position: *position }
        })
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// No record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all payloads.
    pub fn payload_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }
}

impl<D: Disk> Spool<D> {
    /// Replaces what is in `batch` by the next records: payloads of up to `bytes_max` bytes, but one
    /// record at least. None if all that is held has been read.
    ///
    /// # Errors
    /// The disk cannot be read just now. After three failures at one place 4 KiB are taken for damage,
    /// so repeating goes on in the end.
    pub fn read(&mut self, bytes_max: usize, batch: &mut Batch) -> io::Result<()> {
        batch.clear();
        let result = self.fill(bytes_max, batch);
        self.settle();
        // What was read before the error is given first; the error comes again.
        if batch.is_empty() { result } else { Ok(()) }
    }

    fn fill(&mut self, bytes_max: usize, batch: &mut Batch) -> io::Result<()> {
        while let Some(head) = self.look(Check::Payload)? {
            let room = bytes_max.saturating_sub(batch.payload_bytes());
            if !batch.is_empty() && head.payload_bytes() > room {
                break;
            }
            let payload = self.reader.window.payload(self.cursor.offset, &head).unwrap_or_default();
            let start = batch.bytes.len();
            batch.bytes.extend_from_slice(payload);
            self.cursor = after(self.cursor, &head);
            self.unacked.push_back((self.cursor, head.unix_ms));
            batch.records.push((head, start, Position(self.cursor)));
        }
        Ok(())
    }

    /// Goes back to the acknowledged position: what was read since is read again.
    pub fn rewind(&mut self) {
        self.cursor = self.acked;
        self.skips.clear();
        self.unacked.clear();
    }

    /// Sheds the records not yet read that are older than the age allowed. Those read and not
    /// acknowledged are on their way and stay; those behind them count as shed once they are done with.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn expire(&mut self, now: Now) -> io::Result<()> {
        let Some(max_age) = self.config.max_age else { return Ok(()) };
        let max_age = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        let result = self.pass_older(now.unix_ms.saturating_sub(max_age));
        self.settle();
        result
    }

    fn pass_older(&mut self, unix_ms: u64) -> io::Result<()> {
        while let Some(head) = self.look(Check::Head)? {
            if head.unix_ms >= unix_ms {
                break;
            }
            self.skip_to(after(self.cursor, &head), Why::Age, 0);
        }
        Ok(())
    }

    /// When the first record held was spooled.
    pub(super) fn oldest(&mut self) -> Option<u64> {
        if let Some((_, unix_ms)) = self.unacked.front() {
            return Some(*unix_ms);
        }
        if let Some((at, unix_ms)) = self.oldest
            && at == self.acked
        {
            return Some(unix_ms);
        }
        // A failure shows when the record is read.
        let unix_ms = self.look(Check::Head).ok().flatten()?.unix_ms;
        self.settle();
        self.oldest = Some((self.acked, unix_ms));
        Some(unix_ms)
    }

    /// Moves the cursor over borders and damage to the next record and gives its head.
    fn look(&mut self, check: Check) -> io::Result<Option<RecordHead>> {
        loop {
            if self.cross() {
                continue;
            }
            let found = self.segments.iter().position(|s| s.number == self.cursor.segment);
            let Some(index) = found else { return Ok(None) };
            let ceiling = self.segments.get(index + 1).map_or(self.end, |next| next.start.tally);
            let Some(end) = self.segments.get(index).map(|segment| segment.end) else {
                return Ok(None);
            };
            if self.cursor.offset >= end {
                return Ok(None);
            }
            match self.step(end, check) {
                Ok(step) => {
                    self.reader.failures = 0;
                    if let Some(head) = self.pass(step, end, ceiling) {
                        return Ok(Some(head));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Somebody has taken the file away, with all that is in it and would still go there.
                    self.counts.read_errors += 1;
                    self.active.take_if(|_| index + 1 == self.segments.len());
                    self.skip_bytes(end);
                }
                Err(error) => {
                    self.counts.read_errors += 1;
                    self.reader.failures += 1;
                    if self.reader.failures < READ_TRIES {
                        return Err(error);
                    }
                    self.reader.failures = 0;
                    self.skip_bytes(end.min(self.cursor.offset.saturating_add(UNREADABLE_BYTES)));
                }
            }
        }
    }

    /// Passes over what is no record to be given, and gives the head of one that is.
    fn pass(&mut self, step: Step, end: u64, ceiling: Tally) -> Option<RecordHead> {
        match step {
            Step::Record(head) => {
                let tally = Tally { sequence: head.sequence, sample: head.sample };
                let here = self.cursor.tally;
                let known = head.sequence >= here.sequence && head.sample >= here.sample;
                if !known || head.sequence >= ceiling.sequence || head.sample_end() > ceiling.sample
                {
                    // Its numbers were given to another record: this one was never counted.
                    self.skip_bytes(self.cursor.offset.saturating_add(head.disk_bytes()));
                    return None;
                }
                if tally != here {
                    // The numbers tell what was lost before it.
                    self.skip_to(Mark { tally, ..self.cursor }, Why::Corrupt, 0);
                }
                Some(head)
            }
            Step::BadPayload(head) => {
                self.skip_bytes(self.cursor.offset.saturating_add(head.disk_bytes()));
                None
            }
            Step::Damaged(to) => {
                self.skip_bytes(to);
                None
            }
            Step::End => {
                self.skip_bytes(end);
                None
            }
        }
    }

    fn step(&mut self, end: u64, check: Check) -> io::Result<Step> {
        let number = self.cursor.segment;
        if self.reader.open.as_ref().is_none_or(|(open, _)| *open != number) {
            // Its window may be of a reader that failed.
            self.reader.window.clear();
            let file = self.disk.open(&self.folder.join(file_of(number)), false)?;
            self.reader.open = Some((number, file));
        }
        let Some((_, file)) = &self.reader.open else { return Ok(Step::End) };
        let source = Source { file, number, seed: self.digest.segment_seed(number), end };
        self.reader.window.step(&source, self.cursor.offset, check)
    }

    /// Leaves the end of a segment for the next one. Records missing at the end are lost.
    pub(super) fn cross(&mut self) -> bool {
        let next = self.segments.iter().find(|segment| segment.number >= self.cursor.segment);
        let to = match next {
            // In front of it: all before is gone, or had left before it was begun.
            Some(here) if self.cursor < here.start => Some(here.start),
            Some(here) if self.cursor.offset < here.end => return false,
            Some(_) => {
                let next = self.segments.iter().find(|s| s.number > self.cursor.segment);
                next.map(|next| next.start)
            }
            None => None,
        };
        let to = to.unwrap_or(Mark { tally: self.end, ..self.cursor });
        let to = Mark { tally: to.tally.max(self.cursor.tally), ..to };
        let moves = to != self.cursor;
        if moves {
            self.skip_to(to, Why::Corrupt, 0);
        }
        moves
    }

    /// Passes over damaged bytes of the segment; what was lost in them the next head tells.
    fn skip_bytes(&mut self, offset: u64) {
        let bytes = offset.saturating_sub(self.cursor.offset);
        self.skip_to(Mark { offset, ..self.cursor }, Why::Corrupt, bytes);
    }

    fn skip_to(&mut self, to: Mark, why: Why, bytes: u64) {
        let from = std::mem::replace(&mut self.cursor, to);
        // Up to the next segment and no further: one may be shed without the other.
        let joins = |last: &&mut Skip| {
            last.to == from && last.why == why && last.from.segment == from.segment
        };
        match self.skips.back_mut().filter(joins) {
            Some(last) => {
                last.to = to;
                last.bytes += bytes;
            }
            None => self.skips.push_back(Skip { from, to, bytes, why }),
        }
    }
}

/// The place behind a record.
fn after(at: Mark, head: &RecordHead) -> Mark {
    let tally = Tally { sequence: head.sequence.saturating_add(1), sample: head.sample_end() };
    Mark { offset: at.offset.saturating_add(head.disk_bytes()), tally, ..at }
}
