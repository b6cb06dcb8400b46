//! From value lists and notifications to datagrams.
//!
//! Packs as collectd 5.12 does (checked against the daemon): parts in the order host, time, interval,
//! plugin, plugin instance, type, type instance, values, each only when it differs from what the
//! datagram has said before. Unlike the daemon, a value list that does not fit leaves no trace, so
//! no datagram ever lacks a part that its sender believes sent.
//!
//! Invariant: every datagram is at most `limit` bytes and decodes strictly, to what was pushed.
//! Not here: when to send, signatures and encryption (leave room for them in the limit).

use std::ops::Range;

use super::{
    Identity, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, Notification, ValueList, Values,
    is_known_severity, part,
};

/// A number part, header and all, in bytes.
const NUMBER_PART_BYTES: usize = 12;
/// The header of a string part and its NUL, in bytes.
const STRING_PART_EXTRA: usize = 5;
/// Name parts in the order of [`names`].
const NAME_PARTS: [u16; 5] =
    [part::HOST, part::PLUGIN, part::PLUGIN_INSTANCE, part::TYPE, part::TYPE_INSTANCE];

/// Appends datagrams to a buffer that the caller owns, one after the other.
///
/// Keeps the running state of the open datagram as ranges into that buffer: pass the same buffer
/// to every call, and call [`Packer::begin`] before the first push and after the buffer was changed.
///
/// ```
/// # use coco_wire::collectd::{Decoder, Packer};
/// # fn repack(datagram: &[u8]) -> Vec<Vec<u8>> {
/// let (mut packer, mut out, mut sent) = (Packer::new(1346), Vec::new(), Vec::new());
/// packer.begin(0);
/// for item in Decoder::new(datagram) {
///     let coco_wire::collectd::Item::Values(list) = item else { continue };
///     if packer.push(&mut out, &list).is_err() && !packer.is_empty(&out) {
///         sent.push(std::mem::take(&mut out));
///         packer.begin(0);
///         packer.push(&mut out, &list).expect("fits an empty datagram");
///     }
/// }
/// # sent
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Packer {
    limit: usize,
    base: usize,
    state: State,
}

impl Packer {
    /// A packer of datagrams of at most `limit` bytes; begins at offset 0.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, base: 0, state: State::default() }
    }

    /// Starts a new, empty datagram at byte `at` of the buffer, which must be its present length.
    #[inline]
    pub fn begin(&mut self, at: usize) {
        self.base = at;
        self.state = State::default();
    }

    /// Whether the open datagram holds nothing yet.
    #[inline]
    #[must_use]
    pub fn is_empty(&self, out: &[u8]) -> bool {
        out.len() <= self.base
    }

    /// Appends one value list to the open datagram.
    ///
    /// # Errors
    /// [`DoesNotFit`] leaves buffer and state untouched. On a datagram that is not empty: begin
    /// another and push again. On an empty one: this value list fits none; either it is larger
    /// than the limit or no collectd would take it (a name with a NUL or over 127 bytes; no time,
    /// host, plugin or type). The latter never comes from the decoder.
    pub fn push(&mut self, out: &mut Vec<u8>, list: &ValueList<'_>) -> Result<(), DoesNotFit> {
        let Identity { host, plugin, type_, .. } = list.identity;
        let complete =
            list.time != 0 && !(host.is_empty() || plugin.is_empty() || type_.is_empty());
        if self.state.closed || !complete {
            return Err(DoesNotFit);
        }
        let names = names(&list.identity);
        let mut need = 6 + list.values.len() * 9;
        need += NUMBER_PART_BYTES * usize::from(list.time != self.state.time);
        need += NUMBER_PART_BYTES * usize::from(list.interval != self.state.interval);
        let mut differs = [false; 5];
        for ((name, differs), said) in names.iter().zip(&mut differs).zip(&self.state.names) {
            *differs = out.get(said.clone()) != Some(*name);
            if *differs {
                need += checked_name(name)?.len() + STRING_PART_EXTRA;
            }
        }
        self.reserve(out, need)?;
        self.write_list(out, list, differs)
    }

    /// Appends one notification to the open datagram, which must be empty and is full afterwards:
    /// collectd sends a notification in a datagram of its own.
    ///
    /// # Errors
    /// [`DoesNotFit`] leaves buffer and state untouched: the datagram is not empty, or the
    /// notification is larger than the limit, or no collectd would take it (a name with a NUL or
    /// over 127 bytes; a text that is empty, has a NUL or is over 255 bytes; no time; an unknown
    /// severity).
    pub fn push_notification(
        &mut self,
        out: &mut Vec<u8>,
        notification: &Notification<'_>,
    ) -> Result<(), DoesNotFit> {
        let Notification { identity, time, severity, message } = notification;
        let complete = *time != 0 && is_known_severity(*severity) && !message.is_empty();
        if !self.is_empty(out) || !complete {
            return Err(DoesNotFit);
        }
        let message = checked_text(message, MESSAGE_BYTES_MAX)?;
        let mut need = 2 * NUMBER_PART_BYTES + message.len() + STRING_PART_EXTRA;
        for name in names(identity) {
            if !name.is_empty() {
                need += checked_name(name)?.len() + STRING_PART_EXTRA;
            }
        }
        self.reserve(out, need)?;
        write_number(out, part::TIME_HR, *time);
        write_number(out, part::SEVERITY, *severity);
        for (id, name) in NAME_PARTS.into_iter().zip(names(identity)) {
            if !name.is_empty() {
                write_string(out, id, name)?;
            }
        }
        write_string(out, part::MESSAGE, message)?;
        self.state.closed = true;
        Ok(())
    }

    /// Makes sure that `need` more bytes keep within the limit.
    fn reserve(&self, out: &mut Vec<u8>, need: usize) -> Result<(), DoesNotFit> {
        let used = out.len().saturating_sub(self.base);
        if used + need > self.limit {
            return Err(DoesNotFit);
        }
        out.reserve(need);
        Ok(())
    }

    /// Writes what `push` has measured. Cannot fail after those checks.
    fn write_list(
        &mut self,
        out: &mut Vec<u8>,
        list: &ValueList<'_>,
        differs: [bool; 5],
    ) -> Result<(), DoesNotFit> {
        let names = names(&list.identity);
        let parts = NAME_PARTS.into_iter().zip(names).zip(differs).zip(&mut self.state.names);
        for (((id, name), differs), said) in parts {
            if differs {
                *said = write_string(out, id, name)?;
            }
            if id == part::HOST {
                if self.state.time != list.time {
                    write_number(out, part::TIME_HR, list.time);
                    self.state.time = list.time;
                }
                if self.state.interval != list.interval {
                    write_number(out, part::INTERVAL_HR, list.interval);
                    self.state.interval = list.interval;
                }
            }
        }
        write_values(out, list.values)
    }
}

/// The value list or notification cannot go into the open datagram. See [`Packer::push`] for what
/// to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not fit into the datagram")]
pub struct DoesNotFit;

/// What the open datagram has said so far; the default is what a receiver starts with.
#[derive(Debug, Clone, Default)]
struct State {
    /// Where in the buffer each name stands, in the order of [`NAME_PARTS`].
    names: [Range<usize>; 5],
    time: u64,
    interval: u64,
    /// A notification is in it: nothing else may be.
    closed: bool,
}

fn names<'a>(identity: &Identity<'a>) -> [&'a [u8]; 5] {
    let Identity { host, plugin, plugin_instance, type_, type_instance } = *identity;
    [host, plugin, plugin_instance, type_, type_instance]
}

fn checked_name(name: &[u8]) -> Result<&[u8], DoesNotFit> {
    checked_text(name, NAME_BYTES_MAX)
}

fn checked_text(text: &[u8], bytes_max: usize) -> Result<&[u8], DoesNotFit> {
    if text.len() > bytes_max || memchr::memchr(0, text).is_some() {
        return Err(DoesNotFit);
    }
    Ok(text)
}

fn part_length(length: usize) -> Result<[u8; 2], DoesNotFit> {
    u16::try_from(length).map(u16::to_be_bytes).map_err(|_| DoesNotFit)
}

fn write_number(out: &mut Vec<u8>, id: u16, number: u64) {
    let mut part = [0; NUMBER_PART_BYTES];
    part[..2].copy_from_slice(&id.to_be_bytes());
    part[3] = 12;
    part[4..].copy_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&part);
}

/// Writes a string part and tells where its text stands.
fn write_string(out: &mut Vec<u8>, id: u16, text: &[u8]) -> Result<Range<usize>, DoesNotFit> {
    let length = part_length(text.len() + STRING_PART_EXTRA)?;
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&length);
    let start = out.len();
    out.extend_from_slice(text);
    let end = out.len();
    out.push(0);
    Ok(start..end)
}

fn write_values(out: &mut Vec<u8>, values: Values<'_>) -> Result<(), DoesNotFit> {
    let count = u16::try_from(values.len()).map_err(|_| DoesNotFit)?;
    let length = part_length(6 + values.len() * 9)?;
    out.extend_from_slice(&part::VALUES.to_be_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(values.kinds());
    out.extend_from_slice(values.raw());
    Ok(())
}
