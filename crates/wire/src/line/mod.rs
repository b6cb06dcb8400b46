//! Graphite's line protocol: `name value time`, one line at a time.
//!
//! Source of the rules: carbon 1.1.10 (a line is stripped, split at white space and taken if it has
//! exactly three fields, the last two of them Python floats), checked against what a running carbon
//! takes and ignores. Stricter on purpose, since a line is passed on as it came: no control bytes,
//! no NaN or infinity, no digits outside ASCII.
//!
//! Invariant: a [`Line`] that is parsed here is borrowed from the input, and its `text` has no CR, no
//! LF and no other control byte than tab. Not here: gathering whole lines from a stream, and the length
//! limit ([`LineError::TooLong`] is for the caller to give).

mod fields;
mod http;
mod number;
mod scan;
mod tags;

pub(crate) use fields::of_fields;
pub use http::is_http_request;
pub(crate) use number::{NotFloat, float, is_plain, push_decimal};
pub use scan::{Lines, Scanned, Scanner};
pub use tags::tag_key;

/// One valid line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The first field: not empty, UTF-8 (but for [`crate::names::Names::parse`]), tags and all.
    pub name: &'a [u8],
    /// The second field: a finite number as Python's `float()` reads it.
    pub value: &'a [u8],
    /// The third field.
    pub time: Timestamp<'a>,
    /// The client's own bytes, blanks and all, without CR and LF.
    pub text: &'a [u8],
}

/// When a line's value was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamp<'a> {
    /// The time field asks for the arrival time: any number equal to -1, or `N`.
    Now {
        /// Where the field begins in [`Line::text`], in bytes.
        at: usize,
        /// How long the field is, in bytes.
        len: usize,
    },
    /// The field itself: a finite number, in seconds since 1970.
    Given(&'a [u8]),
}

impl Line<'_> {
    /// Appends the line's own text to `out`, without LF; only a time field that asks for the
    /// arrival time is replaced by `now`, in seconds since 1970.
    #[inline]
    pub fn append_to(&self, now: u64, out: &mut Vec<u8>) {
        match self.time {
            Timestamp::Given(_) => out.extend_from_slice(self.text),
            Timestamp::Now { at, len } => {
                out.extend_from_slice(self.text.get(..at).unwrap_or_default());
                push_decimal(now, out);
                out.extend_from_slice(self.text.get(at + len..).unwrap_or_default());
            }
        }
    }
}

impl Line<'_> {
    /// Appends the line under another name, its fields parted by single spaces, without LF; a time
    /// field that asks for the arrival time is replaced by `now`, in seconds since 1970.
    pub fn append_renamed(&self, name: &[u8], now: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(name);
        out.push(b' ');
        out.extend_from_slice(self.value);
        out.push(b' ');
        match self.time {
            Timestamp::Given(time) => out.extend_from_slice(time),
            Timestamp::Now { .. } => push_decimal(now, out),
        }
    }
}

/// Parses one line that comes without its LF; one CR at its end is dropped.
///
/// # Errors
/// [`LineError`] tells why carbon would ignore the line, or why we do.
pub fn parse(line: &[u8]) -> Result<Line<'_>, LineError> {
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    // All bytes are looked at, without a branch for each.
    let control = text.iter().fold(false, |control, byte| {
        control | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7f)
    });
    if control { Err(LineError::ControlByte) } else { fields::parse(text) }
}

/// Why a line is not taken. Caused by the client; the lines around it are not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum LineError {
    /// A blank line.
    Empty,
    /// Fewer than three fields.
    MissingField,
    /// More than three fields.
    ExtraField,
    /// The value is not a number.
    BadValue,
    /// The value is NaN, or infinite, or too large for a double.
    NotFinite,
    /// The time is not a finite number.
    BadTime,
    /// A byte under 0x20 other than tab, or 0x7f.
    ControlByte,
    /// Not UTF-8: a carbon would close the connection over it.
    NotUtf8,
    /// Longer than the caller's limit. Given by the caller, never by this module.
    TooLong,
    /// A line of an HTTP request. Given by the caller, never by this module.
    Http,
}

impl LineError {
    /// Every error, for making counters.
    pub const ALL: [Self; 10] = [
        Self::Empty,
        Self::MissingField,
        Self::ExtraField,
        Self::BadValue,
        Self::NotFinite,
        Self::BadTime,
        Self::ControlByte,
        Self::NotUtf8,
        Self::TooLong,
        Self::Http,
    ];

    /// A short name, fit for a counter's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::MissingField => "missing_field",
            Self::ExtraField => "extra_field",
            Self::BadValue => "bad_value",
            Self::NotFinite => "not_finite",
            Self::BadTime => "bad_time",
            Self::ControlByte => "control_byte",
            Self::NotUtf8 => "not_utf8",
            Self::TooLong => "too_long",
            Self::Http => "http",
        }
    }
}
