//! What a key becomes before a ring is asked: a position in the space of its hash.

use super::Owners;
use crate::hash::{fnv1a32, fnv1a64, fold16, md5_64, murmur3};
use crate::{Algorithm, CarbonHash, CharSign};
use std::fmt;
use twox_hash::XxHash3_64;

/// The space of a ring's positions. Rings of one space place a key at one position, whatever their members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The top 19 bits of XXH3-64.
    Xxh3Slots,
    /// CRC-32.
    Crc32,
    /// The first 16 bits of MD5.
    Md5,
    /// FNV-1a of 32 bits, folded to 16.
    Fnv16,
    /// The same with carbon-c-relay's signed characters.
    Fnv16Signed,
    /// MurmurHash3 of 32 bits; the position is the signed hash plus 2^31.
    Murmur3,
    /// FNV-1a of 32 bits, for a modulo.
    Fnv32,
    /// The same with signed characters.
    Fnv32Signed,
    /// FNV-1a of 64 bits, for a jump.
    Fnv64,
    /// The same with signed characters.
    Fnv64Signed,
}

impl Space {
    /// How many positions there are: 2 to this power.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Xxh3Slots => 19,
            Self::Md5 | Self::Fnv16 | Self::Fnv16Signed => 16,
            Self::Crc32 | Self::Murmur3 | Self::Fnv32 | Self::Fnv32Signed => 32,
            Self::Fnv64 | Self::Fnv64Signed => 64,
        }
    }

    /// How many bits a [`Located::hash`] has: 32 or 64.
    #[must_use]
    pub const fn hash_bits(self) -> u32 {
        match self {
            Self::Xxh3Slots | Self::Md5 | Self::Fnv64 | Self::Fnv64Signed => 64,
            Self::Crc32
            | Self::Fnv16
            | Self::Fnv16Signed
            | Self::Murmur3
            | Self::Fnv32
            | Self::Fnv32Signed => 32,
        }
    }

    /// The hash function, as far as a [`Located`] shows its result.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xxh3Slots => "XXH3-64",
            Self::Crc32 => "CRC-32",
            Self::Md5 => "MD5, first 64 bits",
            Self::Fnv16 | Self::Fnv32 => "FNV-1a 32",
            Self::Fnv16Signed | Self::Fnv32Signed => "FNV-1a 32 with signed characters",
            Self::Murmur3 => "MurmurHash3 32",
            Self::Fnv64 => "FNV-1a 64",
            Self::Fnv64Signed => "FNV-1a 64 with signed characters",
        }
    }

    /// The whole hash of a key, or of the label of a point.
    #[inline]
    pub(crate) fn hash(self, bytes: &[u8]) -> u64 {
        match self {
            Self::Xxh3Slots => XxHash3_64::oneshot(bytes),
            Self::Crc32 => crc32fast::hash(bytes).into(),
            Self::Md5 => md5_64(bytes),
            Self::Fnv16 | Self::Fnv32 => fnv1a32(bytes, CharSign::Unsigned).into(),
            Self::Fnv16Signed | Self::Fnv32Signed => fnv1a32(bytes, CharSign::Signed).into(),
            Self::Murmur3 => murmur3(bytes).into(),
            Self::Fnv64 => fnv1a64(bytes, CharSign::Unsigned),
            Self::Fnv64Signed => fnv1a64(bytes, CharSign::Signed),
        }
    }

    /// What of a hash is the position.
    #[inline]
    pub(crate) fn position(self, hash: u64) -> u64 {
        match self {
            Self::Xxh3Slots | Self::Md5 => hash >> (u64::BITS - self.bits()),
            Self::Fnv16 | Self::Fnv16Signed => fold16(hash),
            Self::Murmur3 => hash ^ self.offset(), // of a number of 32 bits: plus 2^31, without the carry
            Self::Crc32 | Self::Fnv32 | Self::Fnv32Signed | Self::Fnv64 | Self::Fnv64Signed => hash,
        }
    }

    /// Both in one.
    #[inline]
    pub(crate) fn position_of(self, bytes: &[u8]) -> u64 {
        self.position(self.hash(bytes))
    }

    /// How much larger a position is than the number that the original has for it.
    pub(crate) const fn offset(self) -> u64 {
        match self {
            Self::Murmur3 => 1 << 31,
            _ => 0,
        }
    }

    /// The number that the original has for a position.
    pub(crate) fn signed(self, position: u64) -> i64 {
        position.wrapping_sub(self.offset()).cast_signed()
    }
}

impl Algorithm {
    /// The space in which it places keys.
    #[must_use]
    pub const fn space(self) -> Space {
        match self {
            Self::Xxh3 => Space::Xxh3Slots,
            Self::Coco => Space::Crc32,
            Self::Carbon { hash, .. } | Self::CarbonFast { hash, .. } => match hash {
                CarbonHash::CarbonCh => Space::Md5,
                CarbonHash::Fnv1aCh => Space::Fnv16,
                CarbonHash::Mmh3Ch => Space::Murmur3,
            },
            Self::CRelayFnv1aCh(CharSign::Signed) => Space::Fnv16Signed,
            Self::CRelayFnv1aCh(CharSign::Unsigned) => Space::Fnv16,
            Self::CRelayJump(CharSign::Signed) => Space::Fnv64Signed,
            Self::CRelayJump(CharSign::Unsigned) | Self::NanotubeJump => Space::Fnv64,
            Self::CRelayAnyOf(CharSign::Signed) => Space::Fnv32Signed,
            Self::CRelayAnyOf(CharSign::Unsigned) => Space::Fnv32,
            Self::CRelayCarbonCh | Self::RelayNgV1 | Self::RelayNgV2 => Space::Md5,
        }
    }
}

/// Where in its space a ring's owners change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// Perhaps at each position; the space is small.
    Each,
    /// Only at these positions, ascending, the first one 0.
    Arcs(Vec<u64>),
    /// The owners of a position depend on its remainder by this number alone.
    Modulo(u64),
    /// Anywhere.
    Jump,
}

/// Where a key falls on a ring.
#[derive(Clone, Copy, Debug)]
pub struct Located<'r> {
    /// The hash and its space.
    pub space: Space,
    /// The whole hash of the key, before anything was cut off or folded; a signed one as its bits;
    /// of MD5, which is longer, the first 64 bits.
    pub hash: u64,
    /// The position in the space.
    pub position: u64,
    /// What the position leads to.
    pub spot: Spot,
    /// The owners, the primary first.
    pub owners: Owners<'r>,
}

impl Located<'_> {
    /// The position as the original has the number, which is how [`Spot::Point`] shows points: that of
    /// `MurmurHash3` is signed, -2^31..2^31, every other one is [`position`](Self::position) itself, which may take all
    /// 64 bits.
    #[must_use]
    pub fn shown_position(&self) -> i128 {
        i128::from(self.position) - i128::from(self.space.offset())
    }
}

/// What a position leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// One of so many slots of a table.
    Slot {
        /// Its number, from 0.
        slot: u64,
        /// How many there are.
        of: u64,
    },
    /// The point of a ring that the position belongs to; on a signed ring it may be negative.
    Point(i64),
    /// One of so many buckets of a jump or a modulo.
    Bucket {
        /// Its number, from 0.
        bucket: u64,
        /// How many there are.
        of: u64,
    },
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot { slot, of } => write!(f, "slot {slot} of {of}"),
            Self::Point(point) => write!(f, "ring point {point}"),
            Self::Bucket { bucket, of } => write!(f, "bucket {bucket} of {of}"),
        }
    }
}
