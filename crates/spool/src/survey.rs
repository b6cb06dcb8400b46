//! What a target's folder holds, found out without reading payloads.
//!
//! Invariant: a segment is ours only if its head or one of its records says so by checksum; anything
//! else with the name of a segment is foreign and left alone. Nothing is changed here.

use std::{io, path::Path};

use crate::{
    bytes::wide,
    disk::{Disk, DiskFile, Kind, read_full},
    name::{Digest, Name},
    position::{self, Mark, POSITION_BYTES, Tally},
    record::{RECORD_HEAD_BYTES, RecordHead},
    scan::{Check, Source, Step, Window},
    segment::{Front, SEGMENT_HEAD_BYTES_MAX, SegmentHead, file_of, number_of},
};

/// A segment file of ours.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) number: u64,
    /// Length of the file in bytes.
    pub(crate) bytes: u64,
    /// Where its first record starts; the front of the file if its head is damaged.
    pub(crate) start: Mark,
    pub(crate) head: Option<SegmentHead>,
    /// No intact head and no record: what a crash leaves of a segment just begun.
    husk: bool,
}

/// A target's folder.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// By number.
    pub(crate) segments: Vec<Found>,
    /// Segments after all others in which nothing is intact: the torn end of the log.
    pub(crate) torn: Vec<Found>,
    pub(crate) position: Option<Mark>,
    /// Segment files of another target or version.
    pub(crate) foreign: u64,
    /// Bytes of them.
    pub(crate) foreign_bytes: u64,
    /// Greatest number of any segment file.
    pub(crate) highest: u64,
}

/// What a scan to the end of the last segment found.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Behind the last intact record.
    pub(crate) end: Mark,
    /// Some of it could not be read, so more may follow.
    pub(crate) unreadable: bool,
    /// The last intact record.
    pub(crate) last: Option<RecordHead>,
    /// Samples of the records behind it whose heads are intact.
    pub(crate) torn_samples: u64,
}

enum Class {
    Ours(Found),
    Foreign(u64),
}

/// Looks at each segment's head, and at the position.
pub(crate) fn survey<D: Disk>(disk: &D, folder: &Path, digest: Digest) -> io::Result<Survey> {
    let mut numbers: Vec<u64> = disk
        .list(folder)?
        .into_iter()
        .filter(|(_, kind)| *kind == Kind::File)
        .filter_map(|(name, _)| number_of(&name))
        .collect();
    numbers.sort_unstable();
    let mut survey = Survey {
        position: read_position(disk, folder, digest)?,
        highest: numbers.last().copied().unwrap_or(0),
        ..Survey::default()
    };
    for number in numbers {
        match classify(disk, folder, digest, number) {
            Ok(Class::Ours(found)) => survey.segments.push(found),
            Ok(Class::Foreign(bytes)) => {
                survey.foreign += 1;
                survey.foreign_bytes += bytes;
            }
            // A reader beside the running owner meets files that go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    survey.part_husks();
    Ok(survey)
}

impl Survey {
    /// Husks at the end are torn; one in the middle holds nothing, so it starts where the next does.
    fn part_husks(&mut self) {
        while let Some(last) = self.segments.pop_if(|last| last.husk) {
            self.torn.push(last);
        }
        let mut next = Tally::default();
        for found in self.segments.iter_mut().rev() {
            if found.husk {
                found.start.tally = next;
            }
            next = found.start.tally;
        }
    }
}

fn read_position<D: Disk>(disk: &D, folder: &Path, digest: Digest) -> io::Result<Option<Mark>> {
    let path = folder.join(position::FILE);
    if disk.kind(&path)? != Some(Kind::File) {
        return Ok(None);
    }
    let file = disk.open(&path, false)?;
    // One byte more, so that a longer file does not pass.
    let mut bytes = [0; POSITION_BYTES + 1];
    // An error is not taken for damage: segments would be begun behind a position that is there.
    let read = read_full(&file, &mut bytes, 0)?;
    Ok(bytes.get(..read).and_then(|bytes| Mark::decode(bytes, digest)))
}

fn classify<D: Disk>(disk: &D, folder: &Path, digest: Digest, number: u64) -> io::Result<Class> {
    let file = disk.open(&folder.join(file_of(number)), false)?;
    let bytes = file.len()?;
    let mut front = [0; SEGMENT_HEAD_BYTES_MAX];
    let read = read_full(&file, &mut front, 0);
    let readable = read.is_ok();
    let front = front.get(..read.unwrap_or(0)).unwrap_or_default();
    match SegmentHead::decode(front) {
        Front::Head(head) if head.number == number && head.name.digest() == digest => {
            let found = Found { number, bytes, start: head.start(), head: Some(head), husk: false };
            return Ok(Class::Ours(found));
        }
        Front::Head(_) | Front::OtherVersion => return Ok(Class::Foreign(bytes)),
        Front::Damaged => {}
    }
    let source = Source { file: &file, number, seed: digest.segment_seed(number), end: bytes };
    let found = |tally, husk| {
        let start = Mark { segment: number, offset: 0, tally };
        Class::Ours(Found { number, bytes, start, head: None, husk })
    };
    Ok(match first_record(&source) {
        (Some(head), _) => found(Tally { sequence: head.sequence, sample: head.sample }, false),
        (None, all_read) if all_read && readable && is_husk(front) => found(Tally::default(), true),
        (None, _) => Class::Foreign(bytes),
    })
}

/// The first intact record, and whether all before it could be read.
fn first_record<F: DiskFile>(source: &Source<'_, F>) -> (Option<RecordHead>, bool) {
    let (mut window, mut offset, mut readable) = (Window::default(), 0, true);
    loop {
        let (step, failed) = window.step_over(source, offset, Check::Payload);
        readable &= !failed;
        match step {
            Step::Record(head) => return (Some(head), readable),
            Step::BadPayload(head) => offset += head.disk_bytes(),
            Step::Damaged(to) => offset = to,
            Step::End => return (None, readable),
        }
    }
}

/// Whether a file without anything intact is the torn beginning of a segment of ours, not a file of a
/// kind that we do not know.
fn is_husk(front: &[u8]) -> bool {
    let magic = front.get(..8).unwrap_or(front);
    b"COCOSPL1".starts_with(magic)
        || front.iter().all(|&byte| byte == 0)
        || front.len() < RECORD_HEAD_BYTES
}

/// Scans from `from` to the end of its segment, payloads too.
pub(crate) fn tail<D: Disk>(
    disk: &D,
    folder: &Path,
    digest: Digest,
    found: &Found,
    from: Mark,
) -> io::Result<Tail> {
    let file = disk.open(&folder.join(file_of(found.number)), false)?;
    let seed = digest.segment_seed(found.number);
    let source = Source { file: &file, number: found.number, seed, end: found.bytes };
    let mut window = Window::default();
    let mut tail = Tail { end: from, unreadable: false, last: None, torn_samples: 0 };
    let (mut offset, mut cut) = (from.offset, None);
    loop {
        let (step, failed) = window.step_over(&source, offset, Check::Payload);
        tail.unreadable |= failed;
        match step {
            Step::Record(head) => {
                offset += head.disk_bytes();
                let sequence = head.sequence.saturating_add(1);
                let tally = Tally { sequence, sample: head.sample_end() };
                tail.end = Mark { segment: found.number, offset, tally: tally.max(tail.end.tally) };
                tail.last = Some(head);
                (tail.torn_samples, cut) = (0, None);
            }
            Step::BadPayload(head) => {
                tail.torn_samples += u64::from(head.samples);
                offset += head.disk_bytes();
            }
            Step::Damaged(to) => {
                cut.get_or_insert(offset);
                offset = to;
            }
            Step::End => break,
        }
    }
    let cut = cut.and_then(|offset| window.cut_head(&source, offset));
    tail.torn_samples += cut.map_or(0, |head| u64::from(head.samples));
    if tail.unreadable {
        // Numbers of records that show themselves later must not have been given again. A sample takes
        // a byte at least.
        let rest = found.bytes.saturating_sub(from.offset);
        tail.end.offset = found.bytes;
        tail.end.tally.sequence += rest / wide(RECORD_HEAD_BYTES) + 1;
        tail.end.tally.sample += rest;
    }
    Ok(tail)
}

/// A folder that is there and not a link.
pub(crate) fn is_folder<D: Disk>(disk: &D, path: &Path) -> io::Result<bool> {
    Ok(disk.kind(path)? == Some(Kind::Folder))
}

/// The name that a folder's segments tell.
pub(crate) fn name_of(survey: &Survey) -> Option<Name> {
    survey.segments.iter().find_map(|found| found.head.as_ref()).map(|head| head.name.clone())
}
