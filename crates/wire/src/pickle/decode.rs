//! From a frame to datapoints.
//!
//! As carbon does, a frame that is broken is refused whole, and an element that is not a datapoint
//! is left out of a good frame. The walk has a fixed depth, so shared and even cyclic objects
//! cost no more than their references do; names are bounded in sum.

use super::machine::Machine;
use super::object::Object;
use super::{Datapoint, NAME_BYTES_MAX, Number, PickleError};
use crate::line::{NotFloat, float};

/// Most bytes of names handed out of one frame: many times a frame's size, since a name may be
/// written once and shared, yet little enough that no frame can blow up.
const NAMES_BYTES_MAX: usize = 16 << 20;

/// Longest number in text form, in bytes.
const NUMBER_BYTES_MAX: usize = 512;

/// Decodes one frame, without its 4-byte length: `each` is called for every element in order, with a
/// datapoint or with the reason why the element is none.
///
/// # Errors
/// [`PickleError`] if the frame itself is broken; then `each` has not been called.
pub fn decode(
    frame: &[u8],
    mut each: impl FnMut(Result<Datapoint<'_>, ElementError>),
) -> Result<(), PickleError> {
    let mut machine = Machine::new(frame);
    let elements = machine.run()?;
    let mut names_bytes = 0;
    for element in machine.items(elements).unwrap_or_default() {
        each(datapoint(&machine, *element, &mut names_bytes));
    }
    Ok(())
}

/// Why an element of a good frame is not a datapoint. Its neighbours are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum ElementError {
    /// Not of the form `(name, (time, value))`.
    BadShape,
    /// The name is empty, or has white space or control bytes in it.
    BadName,
    /// The name is not UTF-8.
    NotUtf8,
    /// The name is too long, or the names of the frame are in sum.
    NameTooLong,
    /// The value is not a number.
    BadValue,
    /// The value is NaN, infinite or too large for a double.
    NotFinite,
    /// The time is not a finite number.
    BadTime,
}

impl ElementError {
    /// Every error, for making counters.
    pub const ALL: [Self; 7] = [
        Self::BadShape,
        Self::BadName,
        Self::NotUtf8,
        Self::NameTooLong,
        Self::BadValue,
        Self::NotFinite,
        Self::BadTime,
    ];

    /// A short name, fit for a counter's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadShape => "bad_shape",
            Self::BadName => "bad_name",
            Self::NotUtf8 => "not_utf8",
            Self::NameTooLong => "name_too_long",
            Self::BadValue => "bad_value",
            Self::NotFinite => "not_finite",
            Self::BadTime => "bad_time",
        }
    }
}

fn datapoint<'m>(
    machine: &'m Machine<'_>,
    element: Object<'m>,
    names_bytes: &mut usize,
) -> Result<Datapoint<'m>, ElementError> {
    let pair = |object| match machine.items(object) {
        Some([first, second]) => Ok((*first, *second)),
        _ => Err(ElementError::BadShape),
    };
    let (name, inner) = pair(element)?;
    let (time, value) = pair(inner)?;
    let name = machine.text(name).ok_or(ElementError::BadShape)?;
    *names_bytes = names_bytes.saturating_add(name.len());
    if name.len() > NAME_BYTES_MAX || *names_bytes > NAMES_BYTES_MAX {
        return Err(ElementError::NameTooLong);
    }
    check_name(name)?;
    let value = number(machine, value).map_err(|error| match error {
        NotFloat::Syntax => ElementError::BadValue,
        NotFloat::NotFinite => ElementError::NotFinite,
    })?;
    let time = number(machine, time).map_err(|_| ElementError::BadTime)?;
    let time = (time.to_f64() != -1.0).then_some(time);
    Ok(Datapoint { name, time, value })
}

/// A name that can stand in a Graphite line as it is.
fn check_name(name: &[u8]) -> Result<(), ElementError> {
    let decoded = std::str::from_utf8(name).map_err(|_| ElementError::NotUtf8)?;
    let bad = |char: char| char.is_whitespace() || char.is_ascii_control();
    if decoded.is_empty() || decoded.contains(bad) {
        return Err(ElementError::BadName);
    }
    Ok(())
}

/// What Python's `float()` makes of an object; integers stay integers.
fn number(machine: &Machine<'_>, object: Object<'_>) -> Result<Number, NotFloat> {
    match object {
        Object::Int(number) => Ok(Number::Int(number)),
        Object::Float(number) if number.is_finite() => Ok(Number::Float(number)),
        Object::Float(_) => Err(NotFloat::NotFinite),
        Object::Text(_) | Object::Unescaped { .. } => {
            let text = machine.text(object).unwrap_or_default();
            if text.len() > NUMBER_BYTES_MAX {
                return Err(NotFloat::Syntax);
            }
            number_in_text(text.trim_ascii())
        }
        Object::List(_) | Object::Tuple { .. } | Object::Opaque => Err(NotFloat::Syntax),
    }
}

/// The number in `text`: an integer if it is one and fits.
pub(super) fn number_in_text(text: &[u8]) -> Result<Number, NotFloat> {
    let integer = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    match integer {
        Some(integer) => Ok(Number::Int(integer)),
        None => float(text).map(Number::Float),
    }
}
