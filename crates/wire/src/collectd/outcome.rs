//! What decoding a datagram gives: items, and an outcome for the whole.
//!
//! Reasons have short names that are fit for counters. Not here: how they are found out.

use super::{Notification, ValueList};

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
// As wide as the other items are aligned: a byte beside the tag of `Item` makes the compiler copy
// whole items by odd addresses, which costs a third of the decoding time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
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
