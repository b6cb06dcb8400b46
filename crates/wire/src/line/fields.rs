//! Any line, field by field, and the fault of a bad one.
//!
//! Fields are split at Unicode white space, as Python's `str.split()` does.

use std::ops::Range;

use super::{Line, LineError, NotFloat, Timestamp, float, is_plain};

/// Parses a line that has no control bytes but tab.
pub(super) fn parse(text: &[u8]) -> Result<Line<'_>, LineError> {
    let decoded = std::str::from_utf8(text).map_err(|_| LineError::NotUtf8)?;
    let mut fields = Fields { text: decoded, ascii: text.is_ascii(), at: 0 };
    let name = fields.next().ok_or(LineError::Empty)?;
    let value = fields.next().ok_or(LineError::MissingField)?;
    let time = fields.next().ok_or(LineError::MissingField)?;
    if fields.next().is_some() {
        return Err(LineError::ExtraField);
    }
    of_fields(text, [name, value, time])
}

/// Reads `text`, whose name, value and time stand at these places.
pub(crate) fn of_fields(text: &[u8], fields: [Range<usize>; 3]) -> Result<Line<'_>, LineError> {
    let time_at = fields[2].start;
    let [name, value, time] = fields.map(|field| text.get(field).unwrap_or_default());
    if !is_plain(value) {
        match float(value) {
            Ok(_) => {}
            Err(NotFloat::Syntax) => return Err(LineError::BadValue),
            Err(NotFloat::NotFinite) => return Err(LineError::NotFinite),
        }
    }
    let time = timestamp(time, time_at).ok_or(LineError::BadTime)?;
    Ok(Line { name, value, time, text })
}

/// What a whole time field says; `None` if it is no time.
fn timestamp(field: &[u8], at: usize) -> Option<Timestamp<'_>> {
    if field.first().is_some_and(u8::is_ascii_digit) && is_plain(field) {
        return Some(Timestamp::Given(field));
    }
    let now = matches!(field, b"-1" | b"N") || float(field).ok()? == -1.0;
    Some(if now { Timestamp::Now { at, len: field.len() } } else { Timestamp::Given(field) })
}

/// Where the fields of a text stand, in bytes.
struct Fields<'a> {
    text: &'a str,
    /// Then only spaces and tabs part fields, as other blanks of ASCII are control bytes.
    ascii: bool,
    at: usize,
}

impl Iterator for Fields<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.ascii {
            let rest = self.text.as_bytes().get(self.at..)?;
            let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
            let field = rest.get(start..)?;
            let end = memchr::memchr2(b' ', b'\t', field).unwrap_or(field.len());
            let field = self.at + start..self.at + start + end;
            self.at = field.end;
            return Some(field);
        }
        let rest = self.text.get(self.at..)?;
        let start = self.at + rest.find(|char: char| !char.is_whitespace())?;
        let field = self.text.get(start..)?;
        let end = start + field.find(char::is_whitespace).unwrap_or(field.len());
        self.at = end;
        Some(start..end)
    }
}
