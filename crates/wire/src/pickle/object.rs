//! What a frame can be made of, and its numbers.
//!
//! Invariant: an object is a number or a reference; copying one never copies what it stands for.

use super::{Number, PickleErrorKind, decode::number_in_text};
use crate::line::NotFloat;

/// What a frame can be made of. A reference is as good as the thing: nothing is copied.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'a> {
    /// A string or bytes, as it stands in the frame.
    Text(&'a [u8]),
    /// A string that was escaped: a range of the machine's own bytes.
    Unescaped { start: usize, len: usize },
    /// An integer that fits; a boolean is 0 or 1.
    Int(i64),
    /// A float, or an integer that does not fit. May be NaN or infinite.
    Float(f64),
    /// One of the machine's lists.
    List(usize),
    /// A range of the machine's tuple items.
    Tuple { start: usize, len: usize },
    /// None, a dictionary or a set: never part of a datapoint.
    Opaque,
}

/// An integer in little-endian two's complement of any length.
pub(super) fn long<'a>(bytes: &[u8]) -> Object<'a> {
    let Some((top, _)) = bytes.split_last() else {
        return Object::Int(0);
    };
    let negative = *top >= 0x80;
    if bytes.len() <= 8 {
        let mut extended = if negative { [0xff; 8] } else { [0; 8] };
        extended.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        return Object::Int(i64::from_le_bytes(extended));
    }
    let start = if negative { -1.0 } else { 0.0 };
    Object::Float(bytes.iter().rev().fold(start, |sum, byte| sum * 256.0 + f64::from(*byte)))
}

/// A number of protocol 0: `I` (booleans are `00` and `01`), `L` (with or without an L), `F`.
pub(super) fn decimal<'a>(line: &[u8], opcode: u8) -> Result<Object<'a>, PickleErrorKind> {
    let text = line.trim_ascii();
    let text = if opcode == b'L' { text.strip_suffix(b"L").unwrap_or(text) } else { text };
    match number_in_text(text) {
        Ok(Number::Int(number)) => Ok(Object::Int(number)),
        Ok(Number::Float(number)) => Ok(Object::Float(number)),
        Err(NotFloat::NotFinite) => Ok(Object::Float(f64::NAN)),
        Err(NotFloat::Syntax) => Err(PickleErrorKind::BadNumber),
    }
}
