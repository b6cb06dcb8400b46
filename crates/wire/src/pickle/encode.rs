//! From Graphite lines to frames, as carbon's own relay sends them: pickle protocol 2.
//!
//! Invariant: a frame has 1 to [`DATAPOINTS_MAX`] datapoints and at most [`FRAME_BYTES_MAX`] bytes
//! after its length. Not here: which lines go together, and when.

use super::{DATAPOINTS_MAX, FRAME_BYTES_MAX, NAME_BYTES_MAX, Number, decode::number_in_text};
use crate::line::{self, LineError, Timestamp};
use crate::names::Names;

/// The 4-byte length, then PROTO 2, EMPTY_LIST, MARK.
const FRAME_START: &[u8] = b"\0\0\0\0\x80\x02](";
/// APPENDS, STOP.
const FRAME_END: &[u8] = b"e.";
/// The length itself, in bytes.
const LENGTH_BYTES: usize = 4;

/// Writes one frame, length and all, at the end of a buffer that the caller owns.
#[derive(Debug)]
pub struct FrameWriter {
    start: usize,
    datapoints: usize,
}

impl FrameWriter {
    /// Begins a frame at the end of `out`. Pass the same buffer to every later call.
    #[must_use]
    pub fn begin(out: &mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(FRAME_START);
        Self { start, datapoints: 0 }
    }

    /// Adds the datapoint of one line (without LF). A time of "now" is written as -1.
    ///
    /// # Errors
    /// [`PushError`]; the frame is as before.
    pub fn push(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), PushError> {
        // The name was decided about before: it ends at a plain blank, and may hold others.
        let line = Names::AsIs
            .parse(line)
            .map_or_else(|| line::parse(line), Ok)
            .map_err(PushError::BadLine)?;
        if std::str::from_utf8(line.name).is_err() {
            return Err(PushError::BadLine(LineError::NotUtf8));
        }
        if line.name.len() > NAME_BYTES_MAX {
            return Err(PushError::BadLine(LineError::TooLong));
        }
        // The longest a datapoint can be: name, two LONG1 or BINFLOAT, two TUPLE2.
        let need = 5 + line.name.len() + 2 * 11 + 2 + FRAME_END.len();
        let frame_bytes = out.len().saturating_sub(self.start + LENGTH_BYTES);
        if self.datapoints >= DATAPOINTS_MAX || frame_bytes + need > FRAME_BYTES_MAX {
            return Err(PushError::Full);
        }
        let name_bytes = u32::try_from(line.name.len()).map_err(|_| PushError::Full)?;
        out.push(b'X');
        out.extend_from_slice(&name_bytes.to_le_bytes());
        out.extend_from_slice(line.name);
        match line.time {
            Timestamp::Now { .. } => push_number(Number::Int(-1), out),
            Timestamp::Given(time) => push_text(time, out),
        }
        push_text(line.value, out);
        out.extend_from_slice(b"\x86\x86");
        self.datapoints += 1;
        Ok(())
    }

    /// Ends the frame; returns how many datapoints are in it. With none, nothing is left of it.
    pub fn finish(self, out: &mut Vec<u8>) -> usize {
        if self.datapoints == 0 {
            out.truncate(self.start);
            return 0;
        }
        out.extend_from_slice(FRAME_END);
        let frame_bytes = out.len().saturating_sub(self.start + LENGTH_BYTES);
        let length = u32::try_from(frame_bytes).unwrap_or(u32::MAX).to_be_bytes();
        for (to, from) in out.iter_mut().skip(self.start).zip(length) {
            *to = from;
        }
        self.datapoints
    }
}

/// Writes one frame, length and all, of as many lines as go in; appends nothing if none is good.
/// To write the rest, call again with the lines from `lines` on.
pub fn encode_frame<'a>(lines: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> Encoded {
    let mut frame = FrameWriter::begin(out);
    let mut taken = 0;
    for line in lines {
        if frame.push(line, out) == Err(PushError::Full) {
            break;
        }
        taken += 1;
    }
    Encoded { lines: taken, datapoints: frame.finish(out) }
}

/// What [`encode_frame`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// Lines done with, from the first one on: those in the frame and the bad ones passed over.
    pub lines: usize,
    /// Datapoints in the frame: lines less the bad ones.
    pub datapoints: usize,
}

/// Why a line was not added to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It belongs into the next frame.
    #[error("frame is full")]
    Full,
    /// It belongs into no frame.
    #[error("bad line: {0}")]
    BadLine(LineError),
}

/// Writes a number field of a valid line.
fn push_text(text: &[u8], out: &mut Vec<u8>) {
    push_number(number_in_text(text).unwrap_or(Number::Int(0)), out);
}

fn push_number(number: Number, out: &mut Vec<u8>) {
    match number {
        Number::Int(number) => match i32::try_from(number) {
            Ok(short) => {
                out.push(b'J');
                out.extend_from_slice(&short.to_le_bytes());
            }
            Err(_) => {
                out.extend_from_slice(b"\x8a\x08");
                out.extend_from_slice(&number.to_le_bytes());
            }
        },
        Number::Float(number) => {
            out.push(b'G');
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}
