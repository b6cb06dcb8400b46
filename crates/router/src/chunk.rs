//! A chunk: many samples for one target in one buffer, the unit that crosses a boundary.
//!
//! A chunk holds whole samples only: lines that each end in LF, or whole datagrams with their ends.
//! It does not know where it goes.

use coco_spool::Position;
use coco_wire::collectd::Packer;
use memchr::{memchr_iter, memrchr};

/// What the bytes of a chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// Graphite lines, each ended by LF.
    #[default]
    Lines,
    /// Whole units (collectd datagrams, pickle frames) whose ends are in `frames`.
    Frames,
}

/// The end of one unit in a chunk and the samples in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Offset behind the unit's last byte.
    pub(crate) end: usize,
    /// Samples in the unit.
    pub(crate) samples: u64,
}

/// Samples for one target, in arrival order.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: Vec<Frame>,
    /// Samples that are not settled yet.
    pub(crate) samples: u64,
    pub(crate) format: Format,
    /// Offset of the first unit that is not settled yet; its worker moves it.
    pub(crate) start: usize,
    /// Where it ends in its target's spool, if it was read from there.
    pub(crate) spooled: Option<Position>,
    /// Bytes that its queue counts for it while it is taken.
    pub(crate) charge: usize,
}

impl Chunk {
    pub(crate) fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Memory that the content takes, in bytes: what the queue's bound counts.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + self.frames.len() * size_of::<Frame>()
    }

    /// Memory that it takes, in bytes, whether filled or not.
    pub(crate) fn footprint(&self) -> usize {
        self.bytes.capacity() + self.frames.capacity() * size_of::<Frame>()
    }

    /// Gives memory back that it does not fill.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.frames.shrink_to_fit();
    }

    /// Empties the chunk and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.samples = 0;
        self.start = 0;
        self.spooled = None;
        self.charge = 0;
    }

    /// Appends one line; `text` has no line end.
    #[inline]
    pub(crate) fn push_line(&mut self, text: &[u8]) {
        self.format = Format::Lines;
        self.bytes.reserve(text.len() + 1);
        self.bytes.extend_from_slice(text);
        self.bytes.push(b'\n');
        self.samples += 1;
    }

    /// Appends one whole unit of `samples` samples.
    pub(crate) fn push_frame(&mut self, unit: &[u8], samples: u64) {
        self.bytes.extend_from_slice(unit);
        self.close_frame(samples);
    }

    /// Declares all bytes since the last frame to be one unit.
    pub(crate) fn close_frame(&mut self, samples: u64) {
        self.format = Format::Frames;
        self.frames.push(Frame { end: self.bytes.len(), samples });
        self.samples += samples;
    }

    /// Appends all of `other`, which must have the same format.
    pub(crate) fn append(&mut self, other: &Self) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.frames
            .extend(other.frames.iter().map(|f| Frame { end: base + f.end, samples: f.samples }));
        self.samples += other.samples;
        self.format = other.format;
    }

    /// Forgets the units that are settled.
    pub(crate) fn trim(&mut self) {
        self.bytes.drain(..self.start.min(self.bytes.len()));
        self.frames.iter_mut().for_each(|frame| frame.end -= self.start);
        self.start = 0;
    }

    /// Settles the first units, `samples` samples together.
    pub(crate) fn settle_first(&mut self, mut samples: u64) {
        let end = match self.format {
            Format::Lines => {
                let lines = self.bytes.get(self.start..).unwrap_or_default();
                let last = usize::try_from(samples).ok().and_then(|count| count.checked_sub(1));
                let end = last.and_then(|last| memchr_iter(b'\n', lines).nth(last));
                end.map_or(self.start, |end| self.start + end + 1)
            }
            Format::Frames => {
                let whole = |frame: &&Frame| {
                    let whole = frame.samples <= samples;
                    samples = samples.saturating_sub(frame.samples);
                    whole
                };
                self.frames.iter().take_while(whole).last().map_or(self.start, |frame| frame.end)
            }
        };
        self.settle(end);
    }

    /// Settles the whole units among the first `written` bytes and returns their samples.
    ///
    /// After a broken write, sending goes on with what is left: a unit that was cut is sent again
    /// whole.
    pub(crate) fn settle(&mut self, written: usize) -> u64 {
        let mut samples = 0;
        match self.format {
            Format::Lines => {
                let bytes = self.bytes.get(self.start..written).unwrap_or_default();
                samples = memchr_iter(b'\n', bytes).fold(0, |count, _| count + 1);
                self.start = memrchr(b'\n', bytes).map_or(self.start, |at| self.start + at + 1);
            }
            Format::Frames => {
                let whole = self.frames.iter().take_while(|frame| frame.end <= written).count();
                for frame in self.frames.drain(..whole) {
                    self.start = frame.end;
                    samples += frame.samples;
                }
            }
        }
        self.samples -= samples;
        samples
    }
}

/// The chunk of one target that a shard is filling, and the packer of its last datagram.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    pub(crate) chunk: Chunk,
    packer: Packer,
    /// Samples in the datagram that the packer is filling; 0 when none is open.
    packing: u64,
}

impl OpenChunk {
    pub(crate) fn new(datagram_bytes_max: usize) -> Self {
        Self { chunk: Chunk::default(), packer: Packer::new(datagram_bytes_max), packing: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples() == 0
    }

    /// Samples in it, those of the datagram that is being packed among them.
    pub(crate) fn samples(&self) -> u64 {
        self.chunk.samples + self.packing
    }

    /// Appends a datagram as it came.
    pub(crate) fn push_datagram(&mut self, datagram: &[u8], samples: u64) {
        self.finish();
        self.chunk.push_frame(datagram, samples);
    }

    /// Packs one value list behind the others, in a new datagram when it no longer fits.
    ///
    /// `false` when it does not fit even alone; nothing was added then.
    pub(crate) fn pack(&mut self, list: &coco_wire::collectd::ValueList<'_>) -> bool {
        if self.packing > 0 && self.packer.push(&mut self.chunk.bytes, list).is_ok() {
            self.packing += 1;
            return true;
        }
        self.finish();
        self.packer.begin(self.chunk.bytes.len());
        let fits = self.packer.push(&mut self.chunk.bytes, list).is_ok();
        self.packing = u64::from(fits);
        fits
    }

    /// Packs one notification into a datagram of its own; `false` when it does not fit.
    pub(crate) fn pack_notification(
        &mut self,
        notification: &coco_wire::collectd::Notification<'_>,
    ) -> bool {
        self.finish();
        self.packer.begin(self.chunk.bytes.len());
        let fits = self.packer.push_notification(&mut self.chunk.bytes, notification).is_ok();
        if fits {
            self.chunk.close_frame(1);
        }
        fits
    }

    /// Closes the datagram that is being packed.
    pub(crate) fn finish(&mut self) {
        if self.packing > 0 {
            self.chunk.close_frame(self.packing);
            self.packing = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settles at each offset in turn; gives (first unsettled byte, samples settled then).
    fn settled(mut chunk: Chunk, offsets: &[usize]) -> Vec<(usize, u64)> {
        let all = chunk.samples;
        let steps: Vec<_> = offsets
            .iter()
            .map(|&at| {
                let samples = chunk.settle(at);
                (chunk.start, samples)
            })
            .collect();
        assert_eq!(chunk.samples + steps.iter().map(|(_, samples)| samples).sum::<u64>(), all);
        steps
    }

    #[test]
    fn a_cut_write_goes_on_at_the_last_whole_line() {
        let mut chunk = Chunk::default();
        for line in ["a 1 1", "bb 2 2", "ccc 3 3"] {
            chunk.push_line(line.as_bytes());
        }
        assert_eq!(settled(chunk, &[3, 6, 20, 21]), [(0, 0), (6, 1), (13, 1), (21, 1)]);
    }

    #[test]
    fn a_cut_write_goes_on_at_the_last_whole_frame() {
        let mut chunk = Chunk::default();
        chunk.push_frame(b"12345", 3);
        chunk.push_frame(b"678", 2);
        assert_eq!(settled(chunk, &[4, 7, 8]), [(0, 0), (5, 3), (8, 2)]);
    }
}
