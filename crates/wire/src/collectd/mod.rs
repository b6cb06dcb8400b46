//! collectd's binary protocol: value lists and notifications in UDP datagrams.
//!
//! Source of the format: the network plugin of collectd 5.12; the receive rules were checked
//! against the running daemon, datagram by datagram. The part ids are those of every 5.x release.
//!
//! A datagram is a row of parts (`u16` id, `u16` length with the 4 header bytes, payload), all
//! integers big-endian, gauges little-endian. Name and time parts fill in a running state; a values
//! part makes one value list of that state. Nothing is carried from one datagram to the next.
//!
//! Invariant: raw 8-byte values, kinds, 64-bit times and name bytes go through unchanged.
//! Not here: types.db, the check of signatures, decryption.

mod decode;
mod encode;
mod name;
mod outcome;
mod values;

pub use decode::Decoder;
pub use encode::{DoesNotFit, Packer};
pub use name::{filter_path, identifier};
pub use outcome::{DecodeError, DecodeErrorKind, Item, Outcome, Refused};
pub use values::{BadValues, Kind, Value, Values};

/// Longest host, plugin, type or instance in bytes, without its NUL (collectd since 5.6).
pub const NAME_BYTES_MAX: usize = 127;

/// Longest text of a notification in bytes, without its NUL.
pub const MESSAGE_BYTES_MAX: usize = 255;

/// The size of datagram in bytes that every collectd since 5.0 takes (`MaxPacketSize` by default).
pub const DATAGRAM_BYTES_DEFAULT: usize = 1452;

/// The units of a raw time or interval in one second: both count in 2⁻³⁰ s.
pub const TIME_UNITS_PER_SECOND: u64 = 1 << 30;

/// The five names of a sample, as on the wire: any bytes but NUL, at most [`NAME_BYTES_MAX`] each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Identity<'a> {
    /// The host that measured. Never empty in a decoded value list; may be in a notification.
    pub host: &'a [u8],
    /// The plugin that measured. Never empty in a decoded value list.
    pub plugin: &'a [u8],
    /// Which of several like things, such as a disk; often empty.
    pub plugin_instance: &'a [u8],
    /// The name of a data set in types.db. Never empty in a decoded value list.
    pub type_: &'a [u8],
    /// Which of several values of one type; often empty.
    pub type_instance: &'a [u8],
}

/// One value list: what a values part and the state before it say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueList<'a> {
    /// Whose values these are.
    pub identity: Identity<'a>,
    /// When they were read, in 2⁻³⁰ s since 1970. Not 0 if decoded.
    pub time: u64,
    /// Time between two readings, in 2⁻³⁰ s; 0 = not sent, the receiver uses its own.
    pub interval: u64,
    /// The values with their kinds; at least one.
    pub values: Values<'a>,
}

/// One notification: a text about a host, or about something on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification<'a> {
    /// What it is about. Every name may be empty, the host too.
    pub identity: Identity<'a>,
    /// When it was made, in 2⁻³⁰ s since 1970. Not 0 if decoded.
    pub time: u64,
    /// As on the wire; the low 32 bits count: 1 failure, 2 warning, 4 okay.
    pub severity: u64,
    /// The text: any bytes but NUL, 1 to [`MESSAGE_BYTES_MAX`].
    pub message: &'a [u8],
}

/// Part ids (collectd 5.12, `network.h`).
mod part {
    pub(super) const HOST: u16 = 0x0000;
    pub(super) const TIME: u16 = 0x0001;
    pub(super) const PLUGIN: u16 = 0x0002;
    pub(super) const PLUGIN_INSTANCE: u16 = 0x0003;
    pub(super) const TYPE: u16 = 0x0004;
    pub(super) const TYPE_INSTANCE: u16 = 0x0005;
    pub(super) const VALUES: u16 = 0x0006;
    pub(super) const INTERVAL: u16 = 0x0007;
    pub(super) const TIME_HR: u16 = 0x0008;
    pub(super) const INTERVAL_HR: u16 = 0x0009;
    pub(super) const MESSAGE: u16 = 0x0100;
    pub(super) const SEVERITY: u16 = 0x0101;
    pub(super) const SIGNATURE: u16 = 0x0200;
    pub(super) const ENCRYPTION: u16 = 0x0210;
}

/// Whether collectd 5.12 knows this severity: it looks at the low 32 bits only.
fn is_known_severity(severity: u64) -> bool {
    matches!(severity & 0xffff_ffff, 1 | 2 | 4)
}
