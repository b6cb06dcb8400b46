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

use super::is_known_severity;
use super::{Identity, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, Notification, ValueList, Values, part};

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

    /// Reads one part of `length` bytes, header included; an item if the part completes one.
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

    /// The value list that the state and these values make.
    #[inline]
    fn value_list(&self, values: Values<'a>) -> Item<'a> {
        if let Some(refused) = self.names_fault() {
            return Item::Refused(refused);
        }
        let Self { identity, time, interval, .. } = *self;
        Item::Values(ValueList { identity, time, interval, values })
    }

    /// What the state lacks for a value list, in the order of the daemon's own checks.
    #[inline]
    fn names_fault(&self) -> Option<Refused> {
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

    /// The notification that the state and this text make.
    fn notification(&self, message: &'a [u8]) -> Item<'a> {
        if !is_known_severity(self.severity) {
            Item::Refused(Refused::UnknownSeverity)
        } else if self.time == 0 {
            Item::Refused(Refused::NoTime)
        } else if message.is_empty() {
            Item::Refused(Refused::NoMessage)
        } else {
            let Self { identity, time, severity, .. } = *self;
            Item::Notification(Notification { identity, time, severity, message })
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
            let item = match found {
                Found::State => continue,
                Found::Values(values) => self.value_list(values),
                Found::NoValues => Item::Refused(self.names_fault().unwrap_or(Refused::NoValues)),
                Found::Message(message) => self.notification(message),
            };
            self.any_item = true;
            self.clean &= !matches!(item, Item::Refused(_));
            return Some(item);
        }
    }
}

impl std::iter::FusedIterator for Decoder<'_> {}

/// What a part has brought. Small, so that an [`Item`] is built once and in its place.
enum Found<'a> {
    /// It changed the state, or nothing.
    State,
    Values(Values<'a>),
    /// A values part without values.
    NoValues,
    Message(&'a [u8]),
}

/// Whether a byte is 0: eight at a time, the last eight overlapping. Names are short: a call of
/// memchr would cost more than the search.
#[inline]
fn has_nul(text: &[u8]) -> bool {
    let any_zero = |eight: &[u8; 8]| {
        let bytes = u64::from_le_bytes(*eight);
        bytes.wrapping_sub(0x0101_0101_0101_0101) & !bytes & 0x8080_8080_8080_8080 != 0
    };
    match text.last_chunk::<8>() {
        Some(last) => text.as_chunks::<8>().0.iter().any(any_zero) || any_zero(last),
        None => text.contains(&0),
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

/// One thing found in a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A complete value list.
    Values(ValueList<'a>),
    /// A complete notification.
    Notification(Notification<'a>),
    /// Something well-formed that the daemon reads past and drops; the datagram goes on.
    Refused(Refused),
}

/// Why a well-formed value list or notification is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// No time came before it, or time 0.
    NoTime,
    /// No host came before the values.
    NoHost,
    /// No plugin came before the values.
    NoPlugin,
    /// No type came before the values.
    NoType,
    /// A values part with no value.
    NoValues,
    /// The notification's severity is not 1, 2 or 4.
    UnknownSeverity,
    /// The notification's text is empty.
    NoMessage,
}

impl Refused {
    /// Every reason, for making counters.
    pub const ALL: [Self; 7] = [
        Self::NoTime,
        Self::NoHost,
        Self::NoPlugin,
        Self::NoType,
        Self::NoValues,
        Self::UnknownSeverity,
        Self::NoMessage,
    ];

    /// A short name, fit for a counter's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoTime => "no_time",
            Self::NoHost => "no_host",
            Self::NoPlugin => "no_plugin",
            Self::NoType => "no_type",
            Self::NoValues => "no_values",
            Self::UnknownSeverity => "unknown_severity",
            Self::NoMessage => "no_message",
        }
    }
}

/// What a datagram was like as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What ended the datagram before its end, if anything did.
    pub error: Option<DecodeError>,
    /// The datagram may be forwarded as it is: one item or more, none refused, no error, no bytes
    /// left over, no unknown part, no NUL within a string, neither signed nor encrypted.
    pub strict: bool,
    /// A signature part was seen (and not checked).
    pub signed: bool,
    /// An encryption part was seen (and ended the datagram).
    pub encrypted: bool,
}

/// Where and why decoding stopped. Items before `offset` were handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} in the part at byte {offset}", kind.as_str())]
pub struct DecodeError {
    /// Where the bad part begins, in bytes from the start of the datagram.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a part. All are caused by the sender, or by a datagram cut on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecodeErrorKind {
    /// The part is longer than what is left of the datagram.
    Truncated,
    /// The part's length is under 4, less than its own header (zero padding looks so).
    PartLength,
    /// A string part with no byte of text, not even the NUL.
    StringEmpty,
    /// A name over 127 bytes, or a message over 255.
    StringTooLong,
    /// A string part whose last byte is not NUL.
    StringUnterminated,
    /// A number part whose length is not 12.
    NumberLength,
    /// A values part whose length does not go with its number of values.
    ValuesLength,
    /// A kind byte over 3.
    ValueKind,
    /// A signature part with no user name.
    SignatureLength,
    /// An encryption part: it, and all after it, cannot be read without a key.
    Encrypted,
}

impl DecodeErrorKind {
    /// Every kind, for making counters.
    pub const ALL: [Self; 10] = [
        Self::Truncated,
        Self::PartLength,
        Self::StringEmpty,
        Self::StringTooLong,
        Self::StringUnterminated,
        Self::NumberLength,
        Self::ValuesLength,
        Self::ValueKind,
        Self::SignatureLength,
        Self::Encrypted,
    ];

    /// A short name, fit for a counter's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::PartLength => "part_length",
            Self::StringEmpty => "string_empty",
            Self::StringTooLong => "string_too_long",
            Self::StringUnterminated => "string_unterminated",
            Self::NumberLength => "number_length",
            Self::ValuesLength => "values_length",
            Self::ValueKind => "value_kind",
            Self::SignatureLength => "signature_length",
            Self::Encrypted => "encrypted",
        }
    }
}
