//! Chunks as records of a spool, and back.
//!
//! Lines stand in a payload as they are. Whole units (datagrams, pickle frames) stand behind a table:
//! their number, then length and samples of each, all 32 bits little-endian.

use coco_spool::{Batch, NewRecord, Record, Spool, disk::Disk};
use coco_wire::pickle::{self, PickleError};

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

/// Whether payloads of this format are for targets of this protocol. One that is not is no damage: it waits for a
/// target that speaks its protocol.
pub(crate) fn is_for(format: u8, protocol: TargetProtocol) -> bool {
    match format {
        COLLECTD => protocol.carries_collectd(),
        LINES | PICKLES | LINE_DATAGRAMS => protocol.carries_lines(),
        _ => false,
    }
}

/// Whether what is on disk begins with what is for targets of another protocol.
pub(crate) fn is_of_another<D: Disk>(spool: &mut Spool<D>, protocol: TargetProtocol) -> bool {
    let mut batch = Batch::default();
    // What cannot be read now is looked at again when it is to be sent.
    let read = spool.read(0, &mut batch);
    spool.rewind();
    let mut records = batch.records();
    read.is_ok() && records.next().is_some_and(|first| !is_for(first.head.format, protocol))
}

/// The chunk of a record that is for targets of this protocol; `None` if its payload is none of ours, or tells
/// another number of samples than its head.
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
        LINES if protocol.carries_lines() => lines(payload.to_vec()),
        format if format == units_of(protocol) => frames(payload)?,
        // Units of another protocol for the same samples.
        PICKLES | LINE_DATAGRAMS if protocol.carries_lines() => {
            lines(lines_in(format, &frames(payload)?))
        }
        _ => return None,
    };
    (chunk.samples == samples).then_some(chunk)
}

fn lines(bytes: Vec<u8>) -> Chunk {
    let samples = memchr::memchr_iter(b'\n', &bytes).fold(0, |count, _| count + 1);
    Chunk { bytes, samples, format: Format::Lines, ..Chunk::default() }
}

/// The lines that pickle frames, or datagrams of lines, stand for.
fn lines_in(format: u8, units: &Chunk) -> Vec<u8> {
    if format != PICKLES {
        return units.bytes.clone();
    }
    let (mut lines, mut start) = (Vec::new(), 0);
    for frame in &units.frames {
        push_lines_of(units.bytes.get(start..frame.end).unwrap_or_default(), &mut lines);
        start = frame.end;
    }
    lines
}

/// Appends the lines that a pickle frame stands for, as far as it can be read; its length is in front of it.
pub(crate) fn push_lines_of(frame: &[u8], lines: &mut Vec<u8>) {
    // What cannot be read is missing in the number of lines.
    let _read: Result<(), PickleError> =
        pickle::decode(frame.get(4..).unwrap_or_default(), |point| {
            if let Ok(point) = point {
                // What was sent has its time.
                point.append_to(0, lines);
                lines.push(b'\n');
            }
        });
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

#[cfg(test)]
mod tests {
    use coco_wire::pickle::FrameWriter;

    use super::*;

    const TEXT: &[u8] = b"a.b 1 1700000000\nc;d=e 2.5 1700000001\n";

    fn unit(bytes: &[u8]) -> Chunk {
        let mut chunk = Chunk::default();
        chunk.push_frame(bytes, 2);
        chunk
    }

    fn pickled() -> Chunk {
        let mut bytes = Vec::new();
        let mut frame = FrameWriter::begin(&mut bytes);
        for line in TEXT.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            frame.push(line, &mut bytes).unwrap();
        }
        frame.finish(&mut bytes);
        unit(&bytes)
    }

    #[test]
    fn what_waits_for_a_target_of_one_graphite_protocol_is_for_those_of_all() {
        use TargetProtocol::{Collectd, LineTcp, LineUdp, Pickle};
        let all = [(LineTcp, lines(TEXT.to_vec())), (LineUdp, unit(TEXT)), (Pickle, pickled())];
        for (from, chunk) in all {
            let mut payloads = Payloads::default();
            payloads.push(&chunk, from);
            let records = payloads.records(0);
            let [NewRecord { format, samples, payload, .. }] = records[..] else { panic!() };
            assert!(!is_for(format, Collectd));
            assert!(chunk_from(format, 2, payload, Collectd).is_none());
            for to in [LineTcp, LineUdp, Pickle] {
                let read = chunk_from(format, u64::from(samples), payload, to).unwrap();
                assert!(is_for(format, to) && read.samples == 2);
                let is_as_it_was = read.format == chunk.format && read.bytes == chunk.bytes;
                assert!(is_as_it_was || read.bytes == TEXT, "{from:?} to {to:?}");
                assert!(chunk_from(format, 3, payload, to).is_none());
            }
        }
    }

    #[test]
    fn collectds_samples_are_for_no_target_of_lines() {
        use TargetProtocol::{Collectd, Embedded, LineTcp};
        let mut payloads = Payloads::default();
        payloads.push(&unit(b"some datagram"), Collectd);
        let format = payloads.records(0)[0].format;
        let takes = [Collectd, Embedded, LineTcp].map(|protocol| is_for(format, protocol));
        assert_eq!(takes, [true, true, false]);
        assert!(!is_for(u8::MAX, Embedded), "of a version that is not known here");
    }
}
