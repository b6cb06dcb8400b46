//! Durations and sizes as people write them: "1m30s", "64MiB".
//!
//! Durations follow Go's `time.ParseDuration`, because files of Coco 1.x are written for it. Both
//! demand a unit, so that nobody has to guess what a bare number means. Ranges are checked
//! elsewhere.

use std::time::Duration;

use thiserror::Error;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum DurationError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// A minus sign.
    #[error("it is negative")]
    Negative,
    /// A unit without digits before it, or something that is no digit at all.
    #[error("no number before {0:?}")]
    NoNumber(String),
    /// Digits without a unit after them.
    #[error("{0} has no unit ({DURATION_UNITS})")]
    NoUnit(String),
    /// A unit that Go does not know either.
    #[error("{0:?} is not a unit ({DURATION_UNITS})")]
    UnknownUnit(String),
    /// More nanoseconds than Go's `Duration` holds.
    #[error("it is longer than 292 years")]
    TooLong,
}

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum SizeError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Does not begin with digits.
    #[error("no whole number before {0:?}")]
    NoNumber(String),
    /// "1.5GiB": bytes come whole.
    #[error("it has a fraction; use a smaller unit")]
    Fraction,
    /// Digits without a unit after them.
    #[error("{0} has no unit ({SIZE_UNITS_TEXT})")]
    NoUnit(String),
    /// A unit that is none of ours.
    #[error("{0:?} is not a unit ({SIZE_UNITS_TEXT})")]
    UnknownUnit(String),
    /// More bytes than 64 bits count.
    #[error("it is too large")]
    TooLarge,
}

/// Reads a duration such as "300ms", "1m30s" or "1.5h".
pub(crate) fn duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = match text.strip_prefix('-') {
        Some(_) => return Err(DurationError::Negative),
        None => text.strip_prefix('+').unwrap_or(text),
    };
    match rest {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(Duration::ZERO),
        _ => {}
    }
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let (part, after) = duration_part(rest)?;
        nanos = nanos.checked_add(part).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    if nanos > GO_NANOS_MAX {
        return Err(DurationError::TooLong);
    }
    Ok(Duration::from_nanos(nanos))
}

/// One "number unit" of a duration in nanoseconds, and what follows it.
fn duration_part(text: &str) -> Result<(u64, &str), DurationError> {
    let (whole, after) = split_digits(text);
    let (fraction, after) = match after.strip_prefix('.') {
        Some(after) => split_digits(after),
        None => ("", after),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::NoNumber(text.to_owned()));
    }
    let number = &text[..text.len() - after.len()];
    let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let (unit, after) = after.split_at(end);
    let unit_nanos = match unit {
        "" => return Err(DurationError::NoUnit(number.to_owned())),
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(DurationError::UnknownUnit(unit.to_owned())),
    };
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| DurationError::TooLong)?,
    };
    let nanos = whole
        .checked_mul(unit_nanos)
        .and_then(|nanos| nanos.checked_add(fraction_nanos(fraction, unit_nanos)))
        .ok_or(DurationError::TooLong)?;
    Ok((nanos, after))
}

/// The digits after the point as nanoseconds, rounded down; always less than one unit.
fn fraction_nanos(digits: &str, unit_nanos: u64) -> u64 {
    // No unit has more than 13 digits of nanoseconds: what follows 18 places changes nothing.
    let digits = &digits[..digits.len().min(18)];
    let value = digits.bytes().fold(0_u128, |sum, byte| sum * 10 + u128::from(byte - b'0'));
    let scale = digits.bytes().fold(1_u128, |scale, _| scale * 10);
    u64::try_from(value * u128::from(unit_nanos) / scale).unwrap_or(0)
}

/// Reads a size such as "64MiB" or "1500B" as bytes.
pub(super) fn size(text: &str) -> Result<u64, SizeError> {
    if text.is_empty() {
        return Err(SizeError::Empty);
    }
    let (digits, unit) = split_digits(text);
    if digits.is_empty() {
        return Err(SizeError::NoNumber(text.to_owned()));
    }
    if unit.starts_with('.') {
        return Err(SizeError::Fraction);
    }
    if unit.is_empty() {
        return Err(SizeError::NoUnit(digits.to_owned()));
    }
    let (_, factor) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| SizeError::UnknownUnit(unit.to_owned()))?;
    let count: u64 = digits.parse().map_err(|_| SizeError::TooLarge)?;
    count.checked_mul(*factor).ok_or(SizeError::TooLarge)
}

/// Bytes in the largest binary unit that divides them, as `size` reads them back.
pub(super) fn show_size(bytes: u64) -> String {
    SIZE_UNITS
        .iter()
        .find(|(_, factor)| factor.is_power_of_two() && bytes != 0 && bytes.is_multiple_of(*factor))
        .map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

/// A text of digits and the rest after them.
fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Go keeps a duration as nanoseconds in an `int64`.
const GO_NANOS_MAX: u64 = i64::MAX.unsigned_abs();

const DURATION_UNITS: &str = "ns, us, ms, s, m or h";

/// Units of size, the largest first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const SIZE_UNITS_TEXT: &str = "B, KiB, MiB, GiB, TiB, PiB, KB, MB or GB";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("1ns", 1),
            ("300ms", 300_000_000),
            ("10s", 10_000_000_000),
            ("+5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h15m30.918273645s", 4_530_918_273_645),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("12us", 12_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("39h9m14.425s", 140_954_425_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("0.100000000000000000000h", 360_000_000_000),
            ("0.9ns", 0),
            ("9223372036854775807ns", i64::MAX.unsigned_abs()),
            ("9223372036.854775807s", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told_why() {
        for (text, why) in [
            ("", "it is empty"),
            ("+", "it is empty"),
            ("-", "it is negative"),
            ("-5s", "it is negative"),
            ("3", "3 has no unit (ns, us, ms, s, m or h)"),
            ("1s.5", ".5 has no unit (ns, us, ms, s, m or h)"),
            ("s", "no number before \"s\""),
            (".s", "no number before \".s\""),
            (" 1s", "no number before \" 1s\""),
            ("1s ", "\"s \" is not a unit (ns, us, ms, s, m or h)"),
            ("1 s", "\" s\" is not a unit (ns, us, ms, s, m or h)"),
            ("1d", "\"d\" is not a unit (ns, us, ms, s, m or h)"),
            ("1S", "\"S\" is not a unit (ns, us, ms, s, m or h)"),
            ("9223372036854775808ns", "it is longer than 292 years"),
            ("3000000h", "it is longer than 292 years"),
            ("2562047h48m", "it is longer than 292 years"),
            ("99999999999999999999s", "it is longer than 292 years"),
        ] {
            assert_eq!(
                duration(text).map_err(|why| why.to_string()),
                Err(why.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_have_whole_numbers_and_units() {
        for (text, bytes) in [
            ("0B", 0),
            ("1B", 1),
            ("1500B", 1500),
            ("4KiB", 4096),
            ("4KB", 4000),
            ("64MiB", 67_108_864),
            ("64MB", 64_000_000),
            ("2GiB", 2_147_483_648),
            ("2GB", 2_000_000_000),
            ("18446744073709551615B", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_told_why() {
        for (text, error) in [
            ("", SizeError::Empty),
            ("MiB", SizeError::NoNumber("MiB".to_owned())),
            ("-1B", SizeError::NoNumber("-1B".to_owned())),
            ("1", SizeError::NoUnit("1".to_owned())),
            ("1M", SizeError::UnknownUnit("M".to_owned())),
            ("1mb", SizeError::UnknownUnit("mb".to_owned())),
            ("1 MiB", SizeError::UnknownUnit(" MiB".to_owned())),
            ("1.5GiB", SizeError::Fraction),
            ("18446744073709551616B", SizeError::TooLarge),
            ("17179869184GiB", SizeError::TooLarge),
        ] {
            assert_eq!(size(text), Err(error), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_as_they_are_read() {
        for text in ["0B", "1B", "1500B", "4KiB", "100MiB", "64GiB", "1025KiB"] {
            assert_eq!(size(text).map(show_size).as_deref(), Ok(text));
        }
    }
}
