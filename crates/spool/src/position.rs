//! How far a spool has been acknowledged, and the file that says so.
//!
//! Invariant: the file is replaced as a whole (`position.new`, fsync, rename, fsync of the folder), so a
//! crash leaves the old or the new one. A file that does not decode counts as missing: then everything
//! still there is read again.

use crate::{bytes::Fields, name::Digest};

/// The acknowledged position.
pub(crate) const FILE: &str = "position";
/// The next one while it is written.
pub(crate) const NEW_FILE: &str = "position.new";
/// Bytes of the file.
pub(crate) const POSITION_BYTES: usize = 48;

const MAGIC: [u8; 8] = *b"COCOPOS1";
const VERSION: u16 = 1;

/// Records and samples ever spooled up to some place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Tally {
    pub(crate) sequence: u64,
    pub(crate) sample: u64,
}

/// A place between two records of the log. Later places compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) tally: Tally,
}

/// Where a record ends: to be given back with [`Spool::ack`](crate::Spool::ack).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub(crate) Mark);

impl Mark {
    /// Replaces `out` by the position file of this place.
    pub(crate) fn encode(&self, digest: Digest, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        for field in [self.segment, self.offset, self.tally.sequence, self.tally.sample] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(digest.seed(), out);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// The place that a position file tells; `None` if it is damaged, of another target or version.
    pub(crate) fn decode(bytes: &[u8], digest: Digest) -> Option<Self> {
        if bytes.len() != POSITION_BYTES {
            return None;
        }
        let (body, crc) = bytes.split_at_checked(POSITION_BYTES - 4)?;
        if Fields(crc).u32()? != crc32c::crc32c_append(digest.seed(), body) {
            return None;
        }
        let mut fields = Fields(body);
        if fields.take(8)? != MAGIC || fields.u16()? != VERSION {
            return None;
        }
        let _reserved = fields.u16()?;
        let (segment, offset) = (fields.u64()?, fields.u64()?);
        let tally = Tally { sequence: fields.u64()?, sample: fields.u64()? };
        Some(Self { segment, offset, tally })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    #[test]
    fn a_position_comes_back_only_whole_and_for_its_own_target() {
        let digest = Name::new("tier", "one").unwrap().digest();
        let tally = Tally { sequence: 3, sample: 4 };
        let mark = Mark { segment: 1, offset: 2, tally };
        let mut bytes = Vec::new();
        mark.encode(digest, &mut bytes);
        assert_eq!(Mark::decode(&bytes, digest), Some(mark));
        assert_eq!(Mark::decode(&bytes, Name::new("tier", "two").unwrap().digest()), None);
        assert_eq!(Mark::decode(&bytes[1..], digest), None);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&bytes, digest), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
