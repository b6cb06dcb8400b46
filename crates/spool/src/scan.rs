//! Walks the records of one segment, over damage too.
//!
//! Invariant: a step always goes forward, and its cost is linear in the bytes it passes: an intact head
//! tells where the next record starts, so only bytes without one are searched for a marker. It decides
//! nothing about what is lost; callers do, by the numbers in the heads.

use std::io;

use memchr::memmem;

use crate::{
    bytes::{narrow, wide},
    disk::{DiskFile, read_full},
    record::{MARKER, RECORD_HEAD_BYTES, RecordHead},
};

/// Bytes read at once.
const READ_AHEAD_BYTES: usize = 256 * 1024;
/// A read that failed this often is taken for damage.
pub(crate) const READ_TRIES: u32 = 3;
/// How much is then skipped: what disks fail by.
pub(crate) const UNREADABLE_BYTES: u64 = 4096;

/// A segment to walk.
#[derive(Debug)]
pub(crate) struct Source<'a, F> {
    pub(crate) file: &'a F,
    pub(crate) number: u64,
    pub(crate) seed: u32,
    /// Where its records end, in bytes.
    pub(crate) end: u64,
}

/// How much of a record is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Head,
    Payload,
}

/// What lies at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record, intact as far as was checked.
    Record(RecordHead),
    /// An intact head before a damaged payload.
    BadPayload(RecordHead),
    /// No record up to here.
    Damaged(u64),
    /// The end of the segment.
    End,
}

/// The bytes read last, kept for the next step.
#[derive(Debug, Default)]
pub(crate) struct Window {
    number: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// What lies at `offset`.
    pub(crate) fn step<F: DiskFile>(
        &mut self,
        source: &Source<'_, F>,
        offset: u64,
        check: Check,
    ) -> io::Result<Step> {
        if offset >= source.end {
            return Ok(Step::End);
        }
        let Some(head) = self.head(source, offset)? else {
            return self.next_head(source, offset + 1).map(Step::Damaged);
        };
        if check == Check::Head {
            return Ok(Step::Record(head));
        }
        self.fetch(source, offset, narrow(head.disk_bytes()))?;
        let intact = self
            .payload(offset, &head)
            .is_some_and(|payload| head.vouches_for(payload, source.seed));
        Ok(if intact { Step::Record(head) } else { Step::BadPayload(head) })
    }

    /// As [`step`](Self::step), but what cannot be read is damage. The flag tells that it was so.
    pub(crate) fn step_over<F: DiskFile>(
        &mut self,
        source: &Source<'_, F>,
        offset: u64,
        check: Check,
    ) -> (Step, bool) {
        for _ in 0..READ_TRIES {
            if let Ok(step) = self.step(source, offset, check) {
                return (step, false);
            }
        }
        (Step::Damaged(source.end.min(offset.saturating_add(UNREADABLE_BYTES))), true)
    }

    /// The intact head at `offset` of a record whose end may be missing.
    pub(crate) fn cut_head<F: DiskFile>(
        &mut self,
        source: &Source<'_, F>,
        offset: u64,
    ) -> Option<RecordHead> {
        RecordHead::decode(self.fetch(source, offset, RECORD_HEAD_BYTES).ok()?, source.seed)
    }

    /// The payload of the record at `offset`, after a step that checked it.
    pub(crate) fn payload(&self, offset: u64, head: &RecordHead) -> Option<&[u8]> {
        let start = narrow(offset.checked_sub(self.start)?) + RECORD_HEAD_BYTES;
        self.bytes.get(start..start + head.payload_bytes())
    }

    /// Forgets what was read.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The intact head at `offset` of a record that ends within the segment.
    fn head<F: DiskFile>(
        &mut self,
        source: &Source<'_, F>,
        offset: u64,
    ) -> io::Result<Option<RecordHead>> {
        let bytes = self.fetch(source, offset, RECORD_HEAD_BYTES)?;
        let head = RecordHead::decode(bytes, source.seed);
        Ok(head.filter(|head| offset.saturating_add(head.disk_bytes()) <= source.end))
    }

    /// Where the next intact head starts, from `offset` on; the end of the segment if there is none.
    fn next_head<F: DiskFile>(
        &mut self,
        source: &Source<'_, F>,
        mut offset: u64,
    ) -> io::Result<u64> {
        loop {
            let bytes = self.fetch(source, offset, RECORD_HEAD_BYTES)?;
            if bytes.len() < RECORD_HEAD_BYTES {
                return Ok(source.end);
            }
            let length = bytes.len();
            match memmem::find(bytes, &MARKER) {
                Some(0) if self.head(source, offset)?.is_some() => return Ok(offset),
                Some(0) => offset += 1,
                Some(ahead) => offset += wide(ahead),
                // A marker may begin in the last bytes.
                None => offset += wide(length - (MARKER.len() - 1)),
            }
        }
    }

    /// The bytes from `offset` on: `need` of them at least, unless segment or file end before.
    fn fetch<F: DiskFile>(
        &mut self,
        source: &Source<'_, F>,
        offset: u64,
        need: usize,
    ) -> io::Result<&[u8]> {
        let left = narrow(source.end.saturating_sub(offset));
        let held = (self.number == source.number)
            .then(|| offset.checked_sub(self.start))
            .flatten()
            .and_then(|skip| self.bytes.get(narrow(skip)..))
            .is_some_and(|bytes| bytes.len() >= need.min(left));
        if !held {
            self.number = source.number;
            self.start = offset;
            self.bytes.resize(need.max(READ_AHEAD_BYTES).min(left), 0);
            let read = read_full(source.file, &mut self.bytes, offset);
            self.bytes.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let skip = narrow(offset.saturating_sub(self.start));
        let end = self.bytes.len().min(skip.saturating_add(left));
        Ok(self.bytes.get(skip..end).unwrap_or_default())
    }
}
