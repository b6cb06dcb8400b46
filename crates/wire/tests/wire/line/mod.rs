//! Graphite lines: carbon's answers, and a slow reference.

mod carbon;
mod properties;

use coco_wire::line::{Line, LineError, Timestamp};

/// A parser by other means: Python's rules spelled with the standard library.
fn reference(line: &[u8]) -> Result<Line<'_>, LineError> {
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    if text.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(LineError::ControlByte);
    }
    let decoded = std::str::from_utf8(text).map_err(|_| LineError::NotUtf8)?;
    let fields: Vec<_> = decoded.split_whitespace().collect();
    let [name, value, time] = match fields.as_slice() {
        [] => return Err(LineError::Empty),
        [name, value, time] => [*name, *value, *time],
        fields if fields.len() < 3 => return Err(LineError::MissingField),
        _ => return Err(LineError::ExtraField),
    };
    let number = python_float(value).ok_or(LineError::BadValue)?;
    if !number.is_finite() {
        return Err(LineError::NotFinite);
    }
    let seconds = if time == "N" { Some(-1.0) } else { python_float(time) };
    let seconds = seconds.filter(|seconds| seconds.is_finite()).ok_or(LineError::BadTime)?;
    let at = time.as_ptr().addr() - decoded.as_ptr().addr();
    let time = if seconds == -1.0 {
        Timestamp::Now { at, len: time.len() }
    } else {
        Timestamp::Given(time.as_bytes())
    };
    Ok(Line { name: name.as_bytes(), value: value.as_bytes(), time, text })
}

/// Rust's syntax of floats is Python's, but for the underscores.
fn python_float(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let digit_at = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let bad_underscore =
        |at: usize| bytes[at] == b'_' && !(at > 0 && digit_at(at - 1) && digit_at(at + 1));
    if (0..bytes.len()).any(bad_underscore) {
        return None;
    }
    text.replace('_', "").parse().ok()
}
