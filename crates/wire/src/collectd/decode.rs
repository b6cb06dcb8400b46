//! From a datagram to value lists and notifications.
//!
//! Does exactly what a collectd 5.12 at SecurityLevel None without AuthFile does (checked against
//! the daemon): keeps what comes before the first error, loses what comes after it. One rule is
//! stricter on purpose: the daemon does not check the length of number parts and may read past its
//! buffer; here a length other than 12 is an error.
//!
//! Invariant: all that is handed out is borrowed from the datagram; consecutive value lists with the
//! same host part share the same slice, so a caller finds runs of one host by comparing pointers.
//! Not here: types.db, the check of signatures, decryption.

use super::outcome::{DecodeError, DecodeErrorKind, Item, Outcome, Refused};
use super::{
    Identity, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, Notification, ValueList, Values,
    is_known_severity, part,
};

/// Id and length of a part, in bytes.
const HEADER_BYTES: usize = 4;
/// A number part, header and all.
const NUMBER_PART_BYTES: usize = 12;
/// Header and count of a values part.
const VALUES_HEADER_BYTES: usize = 6;
/// The daemon reads a values part only if so many bytes are left in the datagram: one value's worth.
const VALUES_PART_BYTES_MIN: usize = 15;
/// Header and hash of a signature part; a user name of one byte or more must follow.
const SIGNATURE_BYTES: usize = 36;

/// Decodes one datagram: an iterator over its items, then an [`Outcome`].
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    datagram_bytes: usize,
    identity: Identity<'a>,
    time: u64,
    interval: u64,
    severity: u64,
    error: Option<DecodeError>,
    /// Nothing seen so far that forbids to pass the datagram on as it is.
    clean: bool,
    any_item: bool,
    signed: bool,
    encrypted: bool,
}

impl<'a> Decoder<'a> {
    /// Starts on a whole datagram, with the empty state that every datagram starts with.
    #[inline]
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self {
            rest: datagram,
            datagram_bytes: datagram.len(),
            identity: Identity::default(),
            time: 0,
            interval: 0,
            severity: 0,
            error: None,
            clean: true,
            any_item: false,
            signed: false,
            encrypted: false,
        }
    }

    /// What the datagram was like as a whole. Final once the iterator has returned `None`.
    #[inline]
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            error: self.error,
            strict: self.clean && self.any_item,
            signed: self.signed,
            encrypted: self.encrypted,
        }
    }

    /// Reads one part, header included, into the state, or finds what makes an item.
    #[inline]
    fn part(&mut self, id: u16, part: &'a [u8]) -> Result<Found<'a>, DecodeErrorKind> {
        match id {
            part::HOST => self.identity.host = self.name(part)?,
            part::PLUGIN => self.identity.plugin = self.name(part)?,
            part::PLUGIN_INSTANCE => self.identity.plugin_instance = self.name(part)?,
            part::TYPE => self.identity.type_ = self.name(part)?,
            part::TYPE_INSTANCE => self.identity.type_instance = self.name(part)?,
            part::TIME_HR => self.time = number(part)?,
            part::INTERVAL_HR => self.interval = number(part)?,
            // Whole seconds, shifted out of range without complaint as in the daemon.
            part::TIME => self.time = number(part)? << 30,
            part::INTERVAL => self.interval = number(part)? << 30,
            part::SEVERITY => self.severity = number(part)?,
            part::VALUES => return self.values(part),
            part::MESSAGE => {
                return self.string(part, MESSAGE_BYTES_MAX).map(Found::Message);
            }
            part::SIGNATURE => self.signature(part)?,
            part::ENCRYPTION => {
                self.encrypted = true;
                return Err(DecodeErrorKind::Encrypted);
            }
            _ => self.clean = false,
        }
        Ok(Found::State)
    }

    #[inline]
    fn name(&mut self, part: &'a [u8]) -> Result<&'a [u8], DecodeErrorKind> {
        self.string(part, NAME_BYTES_MAX)
    }

    /// The text of a string part: up to its first NUL, which need not be the last.
    #[inline]
    fn string(&mut self, part: &'a [u8], bytes_max: usize) -> Result<&'a [u8], DecodeErrorKind> {
        let payload = part.get(HEADER_BYTES..).unwrap_or_default();
        let Some((last, text)) = payload.split_last() else {
            return Err(DecodeErrorKind::StringEmpty);
        };
        if text.len() > bytes_max {
            return Err(DecodeErrorKind::StringTooLong);
        }
        if *last != 0 {
            return Err(DecodeErrorKind::StringUnterminated);
        }
        Ok(self.up_to_nul(text))
    }

    #[inline]
    fn up_to_nul(&mut self, text: &'a [u8]) -> &'a [u8] {
        if !has_nul(text) {
            return text;
        }
        self.clean = false;
        text.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    #[inline]
    fn values(&self, part: &'a [u8]) -> Result<Found<'a>, DecodeErrorKind> {
        let Some((header, body)) = part.split_first_chunk::<VALUES_HEADER_BYTES>() else {
            return Err(DecodeErrorKind::ValuesLength);
        };
        let count = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if self.rest.len() < VALUES_PART_BYTES_MIN || body.len() != count * 9 {
            return Err(DecodeErrorKind::ValuesLength);
        }
        let (kinds, raw) = body.split_at_checked(count).unwrap_or_default();
        match Values::try_new(kinds, raw) {
            Ok(values) => Ok(Found::Values(values)),
            Err(_) if count == 0 => Ok(Found::NoValues),
            Err(_) => Err(DecodeErrorKind::ValueKind),
        }
    }

    /// What the state lacks for a value list, in the order of the daemon's own checks.
    #[inline]
    fn lacks(&self) -> Option<Refused> {
        if self.time == 0 {
            Some(Refused::NoTime)
        } else if self.identity.host.is_empty() {
            Some(Refused::NoHost)
        } else if self.identity.plugin.is_empty() {
            Some(Refused::NoPlugin)
        } else if self.identity.type_.is_empty() {
            Some(Refused::NoType)
        } else {
            None
        }
    }

    /// Anything but a good value list. Kept out of the way: the compiler would otherwise build
    /// every item in a common place and copy it from there, at a third of the time.
    #[cold]
    #[inline(never)]
    fn rare_item(&mut self, found: Found<'a>) -> Option<Item<'a>> {
        let result = match found {
            Found::State => return None,
            Found::Values(_) | Found::NoValues => Err(self.lacks().unwrap_or(Refused::NoValues)),
            Found::Message(message) => self.notification(message),
        };
        self.any_item = true;
        self.clean &= result.is_ok();
        Some(result.map_or_else(Item::Refused, Item::Notification))
    }

    /// The notification that the state and this text make, by the daemon's own checks.
    fn notification(&self, message: &'a [u8]) -> Result<Notification<'a>, Refused> {
        if !is_known_severity(self.severity) {
            Err(Refused::UnknownSeverity)
        } else if self.time == 0 {
            Err(Refused::NoTime)
        } else if message.is_empty() {
            Err(Refused::NoMessage)
        } else {
            let Self { identity, time, severity, .. } = *self;
            Ok(Notification { identity, time, severity, message })
        }
    }

    /// Passes over a signature: without keys nothing can be checked, and the daemon then goes on
    /// with the state as it is.
    fn signature(&mut self, part: &'a [u8]) -> Result<(), DecodeErrorKind> {
        self.signed = true;
        self.clean = false;
        if part.len() <= SIGNATURE_BYTES {
            return Err(DecodeErrorKind::SignatureLength);
        }
        Ok(())
    }

    /// Ends the datagram at the part that `rest` begins with.
    #[cold]
    fn stop(&mut self, kind: DecodeErrorKind) {
        let offset = self.datagram_bytes - self.rest.len();
        self.error = Some(DecodeError { offset, kind });
        self.clean = false;
        self.rest = &[];
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let Some((&[id0, id1, length0, length1], [_, ..])) =
                self.rest.split_first_chunk::<HEADER_BYTES>()
            else {
                // Four bytes or fewer are no part: the daemon ignores them, and so do we.
                self.clean &= self.rest.is_empty();
                self.rest = &[];
                return None;
            };
            let length = usize::from(u16::from_be_bytes([length0, length1]));
            if length < HEADER_BYTES {
                self.stop(DecodeErrorKind::PartLength);
                return None;
            }
            let Some((part, after)) = self.rest.split_at_checked(length) else {
                self.stop(DecodeErrorKind::Truncated);
                return None;
            };
            let found = match self.part(u16::from_be_bytes([id0, id1]), part) {
                Ok(found) => found,
                Err(kind) => {
                    self.stop(kind);
                    return None;
                }
            };
            self.rest = after;
            match found {
                Found::State => {}
                Found::Values(values) if self.lacks().is_none() => {
                    self.any_item = true;
                    let Self { identity, time, interval, .. } = *self;
                    return Some(Item::Values(ValueList { identity, time, interval, values }));
                }
                Found::Values(_) | Found::NoValues | Found::Message(_) => {
                    return self.rare_item(found);
                }
            }
        }
    }
}

impl std::iter::FusedIterator for Decoder<'_> {}

/// What a part has brought. Small, so that an [`Item`] is built once and in its place.
#[derive(Clone, Copy)]
enum Found<'a> {
    /// It changed the state, or nothing.
    State,
    Values(Values<'a>),
    /// A values part without values.
    NoValues,
    Message(&'a [u8]),
}

/// Whether a byte is 0: eight or four at a time, the last ones overlapping. Names are short: a call
/// of memchr would cost more than the search.
#[inline]
fn has_nul(text: &[u8]) -> bool {
    let any_zero = |bytes: u64| {
        bytes.wrapping_sub(0x0101_0101_0101_0101) & !bytes & 0x8080_8080_8080_8080 != 0
    };
    if let Some(last) = text.last_chunk::<8>() {
        let (eights, _) = text.as_chunks::<8>();
        return eights.iter().chain([last]).any(|eight| any_zero(u64::from_le_bytes(*eight)));
    }
    match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some([a, b, c, d]), Some([e, f, g, h])) => {
            any_zero(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
        }
        _ => text.contains(&0),
    }
}

/// The 8 bytes of a number part.
#[inline]
fn number(part: &[u8]) -> Result<u64, DecodeErrorKind> {
    match <&[u8; NUMBER_PART_BYTES]>::try_from(part) {
        Ok([_, _, _, _, number @ ..]) => Ok(u64::from_be_bytes(*number)),
        Err(_) => Err(DecodeErrorKind::NumberLength),
    }
}
