//! Graphite's pickle protocol: frames of `[(name, (time, value)), …]`.
//!
//! Source of the format: carbon 1.1.10's pickle receiver and CPython's `pickletools`, protocols 0 to
//! 5; checked against frames written by CPython. On the wire each frame has a 4-byte big-endian
//! length before it; [`decode()`] takes a frame without that length, [`FrameWriter`] writes it.
//!
//! Invariant: nothing is ever imported, called or built; a frame that tries is refused whole. Work
//! is linear in the frame, memory is at most some 100 bytes for each of its bytes.
//! Not here: reading frames from a stream, a clock.

mod broken;
mod decode;
mod encode;
mod machine;
mod object;
mod text;

pub use broken::{PickleError, PickleErrorKind};
pub use decode::{ElementError, decode};
pub use encode::{Encoded, FrameWriter, PushError, encode_frame};

/// Largest frame in bytes, without its length: what carbon takes (1 MiB).
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Most datapoints in one frame that we write; carbon's own relay writes 500 at a time.
pub const DATAPOINTS_MAX: usize = 500;

/// Longest name in bytes, as for a line (carbon's line receiver takes 16,384 bytes).
pub const NAME_BYTES_MAX: usize = 16_384;

/// One element of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Datapoint<'a> {
    /// Not empty, UTF-8, no white space, no control bytes, at most [`NAME_BYTES_MAX`] bytes.
    pub name: &'a [u8],
    /// Seconds since 1970; `None` = -1, the arrival time.
    pub time: Option<Number>,
    /// What was measured.
    pub value: Number,
}

impl Datapoint<'_> {
    /// Appends `name value time` to `out`, without LF: a Graphite line that [`crate::line::parse`]
    /// takes. `now`, in seconds since 1970, stands in where the time is the arrival time.
    pub fn append_to(&self, now: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name);
        out.push(b' ');
        self.value.append_to(out);
        out.push(b' ');
        match self.time {
            None => crate::line::push_decimal(now, out),
            Some(time) => {
                time.append_to(out);
                // Whole seconds stay whole: not every receiver reads a fraction.
                if out.ends_with(b".0") {
                    out.truncate(out.len() - 2);
                }
            }
        }
    }
}

/// A finite number, kept as the kind it was sent as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer that fits 64 bits.
    Int(i64),
    /// Anything else; never NaN or infinite.
    Float(f64),
}

impl Number {
    /// The nearest double.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// Appends an integer in decimal, a float in the shortest form that reads back the same.
    fn append_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) => {
                if number < 0 {
                    out.push(b'-');
                }
                crate::line::push_decimal(number.unsigned_abs(), out);
            }
            Self::Float(number) => {
                out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
            }
        }
    }
}
