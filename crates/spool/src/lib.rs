//! The disk half of a target's queue: a segmented, append-only log of records.
//!
//! A *record* is one chunk: many samples for one target. Records are read strictly first in, first out;
//! the read position is apart from the acknowledged one, so what was sent on a connection that broke is
//! read again ([`Spool::rewind`]), and so is what was not acknowledged before a crash: each record is
//! delivered at least once, unless it is shed with a reason.
//!
//! The crate knows files and bytes. It knows no sockets, rings, protocols, clocks, threads or async: the
//! owner of a [`Spool`] calls it on a thread of its own, never on the data path, as any call may wait for
//! the disk.
//!
//! # Promises
//!
//! 1. `spooled + recovered = acked + shed + depth` in samples after every call ([`Counts::residual`]).
//! 2. No record is given with altered bytes, in another order, or to another target.
//! 3. [`Sync::Each`]: what an append answered with `Ok` survives a crash of the machine.
//!    [`Sync::Interval`]: so does all before the last sync. A crash of the process alone takes nothing.
//! 4. Damage costs the records that it meets, never a file. A full or failing disk costs the records
//!    that come meanwhile, never the process.
//! 5. A sync that failed is never asked again and believed: its segment is closed.
//! 6. Bytes on disk stay below the bound of the spool and that of the process, the position file
//!    (48 bytes) aside.
//! 7. Opening reads the head of each segment and one segment whole, however much is held.
//!
//! # Format
//!
//! All integers are little-endian; all checksums are CRC-32C (Castagnoli). *Digest* is the XXH3-128 of
//! tier, a NUL byte, target id. The folder of a target is `ROOT/DIGEST` (32 hex digits, mode 0700). `ROOT`
//! has the file `lock`. Files have mode 0600:
//!
//! **`NUMBER.seg`**, 16 hex digits: a segment. Numbers grow and are never given twice. A process writes only
//! to segments that it began.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `COCOSPL1` |
//! | 8 | 2 | version, 1 |
//! | 10 | 2 | length of this head with its checksum |
//! | 12 | 8 | epoch of the first record |
//! | 20 | 8 | number of the segment |
//! | 28 | 8 | creation, ms since the Unix epoch |
//! | 36 | 8 | records ever spooled before this segment |
//! | 44 | 8 | samples ever spooled before this segment |
//! | 52 | 2 | length of the tier's name, 1 to 1,024 |
//! | 54 | 2 | length of the target's id, 1 to 1,024 |
//! | 56 | | tier, target id |
//! | | 4 | checksum of all before |
//!
//! Magic, version, length and the checksum's place are the same in every version. Records follow without
//! gaps:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | marker `F5 43 52 FA` |
//! | 4 | 4 | checksum of digest (16 bytes), segment number (8), and bytes 8 to 55 |
//! | 8 | 4 | length of the payload, at most 4 MiB |
//! | 12 | 4 | checksum of digest, segment number, and payload |
//! | 16 | 8 | number of the record: those ever spooled before it |
//! | 24 | 8 | samples ever spooled before it |
//! | 32 | 8 | when it was spooled, ms since the Unix epoch |
//! | 40 | 8 | epoch |
//! | 48 | 4 | samples, at most as many as bytes of payload |
//! | 52 | 1 | format of the payload, the caller's meaning |
//! | 53 | 3 | 0 |
//! | 56 | | payload |
//!
//! As heads of segments and records tell what was spooled before them, what a closed segment holds is the
//! difference of two heads, and what a damaged range held is the difference of the numbers around it: no
//! footer or index is needed that could be missing. A damaged segment head costs a search for the first
//! record. Digest and segment number in the checksums keep a record from being taken in a place where it
//! was not written.
//!
//! **`position`**: how far the spool is acknowledged; replaced by way of `position.new`.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `COCOPOS1` |
//! | 8 | 2 | version, 1 |
//! | 10 | 2 | 0 |
//! | 12 | 8 | segment |
//! | 20 | 8 | offset of the first record not acknowledged |
//! | 28 | 8 | records ever spooled before it |
//! | 36 | 8 | samples ever spooled before it |
//! | 44 | 4 | checksum of digest and all before |
//!
//! The segment may not be there yet. Without an intact position all that is there is read again.
//!
//! Any other file is not ours and is left alone; so is a segment file whose intact head names another
//! target, number or version, or in which nothing is intact (`foreign`), but for a torn beginning: one of
//! zeros, or of our magic.

mod budget;
mod bytes;
mod config;
mod counts;
pub mod disk;
mod inspect;
mod name;
mod position;
mod record;
mod root;
mod scan;
mod segment;
mod spool;
mod survey;
#[cfg(test)]
mod tests;
mod time;

pub use budget::Budget;
pub use config::{AtBound, Config, SEGMENT_BYTES, Sync};
pub use counts::{Counts, Depth, Shed};
pub use inspect::{Damage, Dump, DumpedRecord, Listing, Verdict, dump, ls, strangers, verify};
pub use name::{NAME_BYTES_MAX, Name, NameError};
pub use position::Position;
pub use record::{NewRecord, PAYLOAD_BYTES_MAX, RECORD_HEAD_BYTES, RecordHead};
pub use root::{OpenError, Root};
pub use spool::{AppendError, Batch, Cause, Record, Spool};
pub use time::Now;
