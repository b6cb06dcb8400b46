//! The head of a segment file: whose it is, and what was spooled before it.
//!
//! Invariant: every version keeps magic, version, length and, at the end, the checksum; so a damaged
//! head can be told from one of another version. As each head tells how much was spooled before it, two
//! heads tell what lies between them, and a closed segment is never read to be counted.

use crate::{
    bytes::Fields,
    name::{NAME_BYTES_MAX, Name},
    position::{Mark, Tally},
};

const MAGIC: [u8; 8] = *b"COCOSPL1";
const VERSION: u16 = 1;
/// Bytes of a head without the two names: 56 before them, the checksum after.
const FIXED_BYTES: usize = 60;
/// Longest head, in bytes.
pub(crate) const SEGMENT_HEAD_BYTES_MAX: usize = FIXED_BYTES + 2 * NAME_BYTES_MAX;

/// The head of a segment of this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) name: Name,
    /// The epoch of its first record.
    pub(crate) epoch: u64,
    pub(crate) number: u64,
    pub(crate) created_ms: u64,
    /// What had been spooled before it.
    pub(crate) before: Tally,
}

/// What stands at the front of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Head(SegmentHead),
    /// An intact head of another version.
    OtherVersion,
    /// No intact head.
    Damaged,
}

impl SegmentHead {
    /// Bytes of the head of a segment of `name`.
    pub(crate) fn bytes(name: &Name) -> usize {
        FIXED_BYTES + name.tier().len() + name.target().len()
    }

    /// Where its first record starts.
    pub(crate) fn start(&self) -> Mark {
        let offset = crate::bytes::wide(Self::bytes(&self.name));
        Mark { segment: self.number, offset, tally: self.before }
    }

    /// Replaces `out` by the encoded head.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        // The names have a bound that fits in 16 bits.
        let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_le_bytes();
        let (tier, target) = (self.name.tier(), self.name.target());
        out.clear();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&length(Self::bytes(&self.name)));
        let Tally { sequence, sample } = self.before;
        for field in [self.epoch, self.number, self.created_ms, sequence, sample] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&length(tier.len()));
        out.extend_from_slice(&length(target.len()));
        out.extend_from_slice(tier.as_bytes());
        out.extend_from_slice(target.as_bytes());
        let crc = crc32c::crc32c(out);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads the front of a file, of which up to [`SEGMENT_HEAD_BYTES_MAX`] bytes are given.
    pub(crate) fn decode(bytes: &[u8]) -> Front {
        Self::intact(bytes).and_then(Self::fields).unwrap_or(Front::Damaged)
    }

    /// The head without its checksum, if that is right.
    fn intact(bytes: &[u8]) -> Option<&[u8]> {
        let mut fields = Fields(bytes);
        if fields.take(8)? != MAGIC {
            return None;
        }
        let _version = fields.u16()?;
        let length = usize::from(fields.u16()?);
        let (head, mut crc) = bytes.get(..length)?.split_at_checked(length.checked_sub(4)?)?;
        let crc = Fields(std::mem::take(&mut crc)).u32()?;
        (crc == crc32c::crc32c(head)).then_some(head)
    }

    fn fields(head: &[u8]) -> Option<Front> {
        let mut fields = Fields(head.get(8..)?);
        if fields.u16()? != VERSION {
            return Some(Front::OtherVersion);
        }
        let _length = fields.u16()?;
        let (epoch, number, created_ms) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let before = Tally { sequence: fields.u64()?, sample: fields.u64()? };
        let (tier, target) = (usize::from(fields.u16()?), usize::from(fields.u16()?));
        let tier = std::str::from_utf8(fields.take(tier)?).ok()?;
        let target = std::str::from_utf8(fields.take(target)?).ok()?;
        let name = Name::new(tier, target).ok()?;
        Some(Front::Head(Self { name, epoch, number, created_ms, before }))
    }
}

/// The number that a file's name tells: 16 hex digits and `.seg`.
pub(crate) fn number_of(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(".seg")?;
    let ours =
        digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// The name of the file of segment `number`.
pub(crate) fn file_of(number: u64) -> String {
    format!("{number:016x}.seg")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> SegmentHead {
        SegmentHead {
            name: Name::new("tier", "target").unwrap(),
            epoch: 7,
            number: 3,
            created_ms: 5,
            before: Tally { sequence: 10, sample: 100 },
        }
    }

    #[test]
    fn a_head_comes_back_as_it_went_and_no_flipped_bit_passes() {
        let mut bytes = Vec::new();
        head().encode(&mut bytes);
        assert_eq!(bytes.len(), SegmentHead::bytes(&head().name));
        assert_eq!(SegmentHead::decode(&bytes), Front::Head(head()));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHead::decode(&bytes), Front::Damaged, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert_eq!(SegmentHead::decode(&bytes[..length]), Front::Damaged, "{length} bytes");
        }
    }

    #[test]
    fn an_intact_head_of_another_version_is_known_as_such() {
        let mut bytes = Vec::new();
        head().encode(&mut bytes);
        bytes[8] = 2;
        let end = bytes.len() - 4;
        let crc = crc32c::crc32c(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&crc);
        assert_eq!(SegmentHead::decode(&bytes), Front::OtherVersion);
    }

    #[test]
    fn file_names_are_taken_only_as_we_write_them() {
        assert_eq!(number_of(&file_of(0xAB)), Some(0xAB));
        for file in ["position", "ab.seg", "00000000000000AB.seg", "+0000000000000ab.seg"] {
            assert_eq!(number_of(file), None, "{file}");
        }
    }
}
