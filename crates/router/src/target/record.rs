//! Chunks as records of a spool, and back.
//!
//! Lines stand in a payload as they are. Whole units (datagrams, pickle frames) stand behind a table:
//! their number, then length and samples of each, all 32 bits little-endian.

use coco_spool::{NewRecord, Record};

use crate::{
    chunk::{Chunk, Format},
    plan::TargetProtocol,
};

/// Lines, for any target that takes them.
const LINES: u8 = 0;
/// collectd datagrams.
const COLLECTD: u8 = 1;
/// Pickle frames.
const PICKLES: u8 = 2;
/// Datagrams of lines.
const LINE_DATAGRAMS: u8 = 3;

/// What whole units for such a target are.
fn units_of(protocol: TargetProtocol) -> u8 {
    match protocol {
        TargetProtocol::Collectd | TargetProtocol::Embedded => COLLECTD,
        TargetProtocol::Pickle => PICKLES,
        TargetProtocol::LineTcp | TargetProtocol::LineUdp => LINE_DATAGRAMS,
    }
}

/// A longer chunk becomes several records, unless it is one unit.
const PAYLOAD_BYTES: usize = 1 << 20;

/// Payloads of records, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Payloads {
    bytes: Vec<u8>,
    /// Format, samples, and where the payload ends in `bytes`.
    records: Vec<(u8, u32, usize)>,
}

impl Payloads {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Adds what is not settled of a chunk for a target of this protocol.
    pub(crate) fn push(&mut self, chunk: &Chunk, protocol: TargetProtocol) {
        match chunk.format {
            Format::Lines => self.push_lines(chunk.bytes.get(chunk.start..).unwrap_or_default()),
            Format::Frames => self.push_frames(chunk, units_of(protocol)),
        }
    }

    fn push_lines(&mut self, mut lines: &[u8]) {
        while !lines.is_empty() {
            // Up to the last line end within the size, or to the first one beyond it.
            let within = lines.get(..PAYLOAD_BYTES).and_then(|part| memchr::memrchr(b'\n', part));
            let end = match within {
                Some(end) => end + 1,
                None if lines.len() <= PAYLOAD_BYTES => lines.len(),
                None => memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1),
            };
            let (part, rest) = lines.split_at(end);
            self.bytes.extend_from_slice(part);
            self.close(LINES, memchr::memchr_iter(b'\n', part).count());
            lines = rest;
        }
    }

    fn push_frames(&mut self, chunk: &Chunk, format: u8) {
        let (mut frames, mut start) = (chunk.frames.as_slice(), chunk.start);
        while let Some(first) = frames.first() {
            let limit = start + PAYLOAD_BYTES;
            let count = frames.partition_point(|frame| frame.end <= limit.max(first.end));
            let (part, rest) = frames.split_at(count);
            let end = part.last().map_or(start, |frame| frame.end);
            self.bytes.extend_from_slice(&le32(count));
            let (mut at, mut samples) = (start, 0);
            for frame in part {
                self.bytes.extend_from_slice(&le32(frame.end - at));
                let of_frame = usize::try_from(frame.samples).unwrap_or(usize::MAX);
                self.bytes.extend_from_slice(&le32(of_frame));
                samples += of_frame;
                at = frame.end;
            }
            self.bytes.extend_from_slice(chunk.bytes.get(start..end).unwrap_or_default());
            self.close(format, samples);
            (frames, start) = (rest, end);
        }
    }

    fn close(&mut self, format: u8, samples: usize) {
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        self.records.push((format, samples, self.bytes.len()));
    }

    /// The records, to be appended.
    pub(crate) fn records(&self, epoch: u64) -> Vec<NewRecord<'_>> {
        let mut start = 0;
        let record = |&(format, samples, end): &(u8, u32, usize)| {
            let payload = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            NewRecord { samples, format, epoch, payload }
        };
        self.records.iter().map(record).collect()
    }
}

/// A number that is far below 2^32: chunks have a few MiB.
fn le32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

/// The chunk of a record; `None` if its payload is none of ours, or nothing for a target of this protocol, or
/// tells another number of samples than its head.
pub(crate) fn chunk_of(record: &Record<'_>, protocol: TargetProtocol) -> Option<Chunk> {
    let samples = u64::from(record.head.samples);
    let chunk = chunk_from(record.head.format, samples, record.payload, protocol)?;
    Some(Chunk { spooled: Some(record.position), ..chunk })
}

/// The same of a payload that was on no disk.
pub(crate) fn chunk_from(
    format: u8,
    samples: u64,
    payload: &[u8],
    protocol: TargetProtocol,
) -> Option<Chunk> {
    let chunk = match format {
        LINES if protocol.carries_lines() => lines(payload),
        format if format == units_of(protocol) => frames(payload)?,
        _ => return None,
    };
    (chunk.samples == samples).then_some(chunk)
}

fn lines(payload: &[u8]) -> Chunk {
    let samples = memchr::memchr_iter(b'\n', payload).fold(0, |count, _| count + 1);
    Chunk { bytes: payload.to_vec(), samples, format: Format::Lines, ..Chunk::default() }
}

fn frames(payload: &[u8]) -> Option<Chunk> {
    let number = |bytes: [u8; 4]| u32::from_le_bytes(bytes) as usize;
    let (count, rest) = payload.split_first_chunk::<4>()?;
    let (table, mut units) = rest.split_at_checked(number(*count).checked_mul(8)?)?;
    let mut chunk = Chunk::default();
    for entry in table.as_chunks::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *entry;
        let (unit, rest) = units.split_at_checked(number([a, b, c, d]))?;
        chunk.push_frame(unit, u64::from(u32::from_le_bytes([e, f, g, h])));
        units = rest;
    }
    units.is_empty().then_some(chunk)
}
