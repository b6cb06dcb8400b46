//! Lines of printable ASCII and tabs: any number of blanks, any number that Python reads.
//!
//! Invariant: a line that is taken here is one that [`super::fields`] takes.

use super::{Line, LineError, Timestamp, fields, number};

/// Plain numbers up to this many bytes are finite whatever their digits: 1e300 is a double.
const FINITE_BYTES_MAX: usize = 300;

/// Parses printable ASCII and tabs.
#[inline]
pub(super) fn parse_text(text: &[u8]) -> Result<Line<'_>, LineError> {
    match parse_good(text) {
        Some(line) => Ok(line),
        None => fields::parse_unicode(text),
    }
}

/// A good line, or `None` and [`fields`] finds out why.
#[inline]
fn parse_good(text: &[u8]) -> Option<Line<'_>> {
    let name_at = skip_blanks(text, 0);
    let name_bytes = memchr::memchr2(b' ', b'\t', text.get(name_at..)?)?;
    let name = text.get(name_at..name_at + name_bytes)?;
    let value_at = skip_blanks(text, name_at + name_bytes);
    let value = number_field(text.get(value_at..)?)?;
    let time_at = skip_blanks(text, value_at + value.len());
    let (time, time_bytes) = time_field(text.get(time_at..)?, time_at)?;
    if skip_blanks(text, time_at + time_bytes) != text.len() {
        return None;
    }
    Some(Line { name, value, time, text })
}

/// What a whole time field says; `None` if it is no time.
pub(super) fn timestamp(field: &[u8], at: usize) -> Option<Timestamp<'_>> {
    let now = matches!(field, b"-1" | b"N") || number::float(field).ok()? == -1.0;
    Some(if now { Timestamp::Now { at, len: field.len() } } else { Timestamp::Given(field) })
}

/// The field at the start of `rest`, if it is a finite number.
#[inline]
fn number_field(rest: &[u8]) -> Option<&[u8]> {
    if let Some(len) = plain_number(rest) {
        return rest.get(..len);
    }
    let field = blank_free(rest);
    number::float(field).is_ok().then_some(field)
}

/// The length of a number `[-+]?digits[.digits]` that a blank or the end of `rest` follows, if
/// that is what `rest` begins with and it is short enough to be finite.
#[inline]
fn plain_number(rest: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
    let mut digits = digits(rest, sign);
    let mut len = sign + digits;
    if rest.get(len) == Some(&b'.') {
        let fraction = self::digits(rest, len + 1);
        len += 1 + fraction;
        digits += fraction;
    }
    let ends = rest.get(len).is_none_or(|byte| is_blank(*byte));
    (ends && digits > 0 && len <= FINITE_BYTES_MAX).then_some(len)
}

/// How many digits stand at `from`. Eight bytes at a time without a branch for each: the lengths
/// of values cannot be predicted.
#[inline]
fn digits(text: &[u8], from: usize) -> usize {
    let mut rest = text.get(from..).unwrap_or_default();
    let mut count = 0;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let others = non_digits(*eight);
        if others != 0 {
            return count + (others.trailing_zeros() / 8) as usize;
        }
        count += 8;
        rest = after;
    }
    count + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// A bit is set in the first byte that is not a digit, and none before it; 0 if all are digits.
#[inline]
fn non_digits(eight: [u8; 8]) -> u64 {
    // Digits become 0 to 9; adding 0x76 sets the high bit of what is more. A carry out of a byte
    // only spoils bytes after it.
    let bytes = u64::from_le_bytes(eight) ^ 0x3030_3030_3030_3030;
    (bytes.wrapping_add(0x7676_7676_7676_7676) | bytes) & 0x8080_8080_8080_8080
}

/// What the field at the start of `rest` says, and its length.
#[inline]
fn time_field(rest: &[u8], at: usize) -> Option<(Timestamp<'_>, usize)> {
    if rest.first().is_some_and(u8::is_ascii_digit)
        && let Some(len) = plain_number(rest)
    {
        return Some((Timestamp::Given(rest.get(..len)?), len));
    }
    let field = blank_free(rest);
    timestamp(field, at).map(|time| (time, field.len()))
}

#[inline]
fn blank_free(rest: &[u8]) -> &[u8] {
    let len = rest.iter().take_while(|byte| !is_blank(**byte)).count();
    rest.get(..len).unwrap_or_default()
}

#[inline]
fn skip_blanks(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| is_blank(**byte)).count()
}

#[inline]
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
