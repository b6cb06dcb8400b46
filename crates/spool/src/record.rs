//! One record on disk: a head of 56 bytes and its payload.
//!
//! Invariant: a head that decodes was written by this crate for this target and this segment, as far as
//! a CRC-32C can tell, so its length leads to the next record even if the payload is damaged. What the
//! payload means is the caller's business. The layout is in the crate's documentation.

use crate::bytes::{Fields, wide};

/// The first bytes of each record. The first and last never occur in UTF-8.
pub(crate) const MARKER: [u8; 4] = [0xF5, b'C', b'R', 0xFA];

/// Bytes of a record before its payload.
pub const RECORD_HEAD_BYTES: usize = 56;

/// Largest payload of one record, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A record to be spooled: one chunk, many samples for one target.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// How many samples the payload holds: 1 to the number of its bytes.
    pub samples: u32,
    /// How the payload is written; the caller's meaning.
    pub format: u8,
    /// The epoch by whose ring the target was chosen.
    pub epoch: u64,
    /// 1 to [`PAYLOAD_BYTES_MAX`] bytes.
    pub payload: &'a [u8],
}

impl NewRecord<'_> {
    /// A sample takes a byte at least: so a number of bytes bounds what can have been lost in them.
    pub(crate) fn is_sound(&self) -> bool {
        let length = self.payload.len();
        length <= PAYLOAD_BYTES_MAX && self.samples > 0 && u64::from(self.samples) <= wide(length)
    }

    /// Bytes that it takes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        wide(RECORD_HEAD_BYTES + self.payload.len())
    }
}

/// What stands before a payload, checksums aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// Number of the record in its spool, without gaps as written.
    pub sequence: u64,
    /// Samples ever spooled before this record.
    pub sample: u64,
    /// When it was spooled, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The epoch by whose ring the target was chosen.
    pub epoch: u64,
    /// Samples in the payload.
    pub samples: u32,
    /// How the payload is written; the caller's meaning.
    pub format: u8,
    pub(crate) length: u32,
    pub(crate) payload_crc: u32,
}

impl RecordHead {
    /// Appends head and payload to `out`. `seed` is that of the segment.
    pub(crate) fn encode(&self, payload: &[u8], seed: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MARKER);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c_append(seed, payload).to_le_bytes());
        for field in [self.sequence, self.sample, self.unix_ms, self.epoch] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.samples.to_le_bytes());
        out.extend_from_slice(&[self.format, 0, 0, 0]);
        let crc = crc32c::crc32c_append(seed, &out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(payload);
    }

    /// The head at the front of `bytes`; `None` if they do not start with a whole, intact one.
    pub(crate) fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        let mut fields = Fields(bytes.get(..RECORD_HEAD_BYTES)?);
        if fields.take(4)? != MARKER {
            return None;
        }
        let crc = fields.u32()?;
        if crc != crc32c::crc32c_append(seed, fields.0) {
            return None;
        }
        let (length, payload_crc) = (fields.u32()?, fields.u32()?);
        let head = Self {
            length,
            payload_crc,
            sequence: fields.u64()?,
            sample: fields.u64()?,
            unix_ms: fields.u64()?,
            epoch: fields.u64()?,
            samples: fields.u32()?,
            format: fields.u8()?,
        };
        (head.payload_bytes() <= PAYLOAD_BYTES_MAX).then_some(head)
    }

    /// Whether `payload` is what was written.
    pub(crate) fn vouches_for(&self, payload: &[u8], seed: u32) -> bool {
        self.payload_crc == crc32c::crc32c_append(seed, payload)
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Bytes of head and payload.
    pub(crate) fn disk_bytes(&self) -> u64 {
        wide(RECORD_HEAD_BYTES) + u64::from(self.length)
    }

    /// The samples of the spool up to the end of this record.
    pub(crate) fn sample_end(&self) -> u64 {
        self.sample.saturating_add(u64::from(self.samples))
    }
}
