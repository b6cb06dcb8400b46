//! Why a frame is refused whole.
//!
//! Not here: why one element of a good frame is left out, see [`ElementError`](super::ElementError).

/// Where and why a frame is broken. Nothing of it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} at byte {offset}", kind.as_str())]
pub struct PickleError {
    /// Where the bad opcode stands, in bytes from the start of the frame.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: PickleErrorKind,
}

/// What is wrong with a frame. All are caused by the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PickleErrorKind {
    /// The frame is over [`FRAME_BYTES_MAX`](super::FRAME_BYTES_MAX).
    TooLong,
    /// The frame ends within an opcode, or without STOP.
    Truncated,
    /// An opcode that imports, calls or builds something.
    ForbiddenOpcode,
    /// Not an opcode of protocols 0 to 5.
    UnknownOpcode,
    /// A pickle protocol over 5.
    Protocol,
    /// An opcode finds too little on the stack, or no mark.
    StackUnderflow,
    /// A memo index that was never set, or that no writer would set.
    BadMemo,
    /// A number in text form that is none.
    BadNumber,
    /// A string in text form with bad quotes or escapes.
    BadText,
    /// More than 8 open marks.
    TooDeep,
    /// More than 262,144 objects on the stack, or lists.
    TooManyObjects,
    /// An append to something else than a list; or the frame is neither a list nor a tuple.
    NotAList,
}

impl PickleErrorKind {
    /// Every kind, for making counters.
    pub const ALL: [Self; 12] = [
        Self::TooLong,
        Self::Truncated,
        Self::ForbiddenOpcode,
        Self::UnknownOpcode,
        Self::Protocol,
        Self::StackUnderflow,
        Self::BadMemo,
        Self::BadNumber,
        Self::BadText,
        Self::TooDeep,
        Self::TooManyObjects,
        Self::NotAList,
    ];

    /// A short name, fit for a counter's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::ForbiddenOpcode => "forbidden_opcode",
            Self::UnknownOpcode => "unknown_opcode",
            Self::Protocol => "protocol",
            Self::StackUnderflow => "stack_underflow",
            Self::BadMemo => "bad_memo",
            Self::BadNumber => "bad_number",
            Self::BadText => "bad_text",
            Self::TooDeep => "too_deep",
            Self::TooManyObjects => "too_many_objects",
            Self::NotAList => "not_a_list",
        }
    }
}
