//! The hashes of other relays, where no crate has them as these relays have them.
//!
//! Invariant: every function is total over all byte strings, and frozen by `testdata/hashes.tsv`. How a hash becomes a
//! position is said in `ring/space.rs`. MurmurHash3 is our own: of the published crates one reads through raw pointers,
//! one through `io::Read` byte by byte, one has the 128-bit variant alone.

use crate::CharSign;
use md5::{Digest, Md5};

/// The first 64 bits of MD5, big-endian: the first 16 hexadecimal digits of what `md5sum` prints.
pub(crate) fn md5_64(bytes: &[u8]) -> u64 {
    let digest: [u8; 16] = Md5::digest(bytes).into();
    digest.iter().take(8).fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// FNV-1a of 32 bits (RFC 9923); where `char` is signed, a byte from 0x80 is widened with its sign.
pub(crate) fn fnv1a32(bytes: &[u8], sign: CharSign) -> u32 {
    let fold = |widened: fn(u8) -> u32| {
        bytes
            .iter()
            .fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ widened(byte)).wrapping_mul(0x0100_0193))
    };
    match sign {
        CharSign::Signed => fold(|byte| i32::from(byte.cast_signed()).cast_unsigned()),
        CharSign::Unsigned => fold(u32::from),
    }
}

/// FNV-1a of 64 bits, with the same choice.
pub(crate) fn fnv1a64(bytes: &[u8], sign: CharSign) -> u64 {
    let fold = |widened: fn(u8) -> u64| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ widened(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    match sign {
        CharSign::Signed => fold(|byte| i64::from(byte.cast_signed()).cast_unsigned()),
        CharSign::Unsigned => fold(u64::from),
    }
}

/// The two halves of a 32-bit hash, one laid over the other: 0..=65,535.
pub(crate) fn fold16(hash: u64) -> u64 {
    hash >> 16 ^ hash & 0xffff
}

/// MurmurHash3 x86 of 32 bits with seed 0 (Austin Appleby, `MurmurHash3_x86_32`, public domain).
pub(crate) fn murmur3(bytes: &[u8]) -> u32 {
    let scrambled = |block: [u8; 4]| {
        let block = u32::from_le_bytes(block).wrapping_mul(0xcc9e_2d51);
        block.rotate_left(15).wrapping_mul(0x1b87_3593)
    };
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0_u32, |hash, &block| {
        (hash ^ scrambled(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    hash ^= scrambled(last); // nothing, if there is no tail
    hash ^= u32::try_from(bytes.len()).unwrap_or(u32::MAX); // no key is that long
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{lines, unescape};

    const HASHES: &str = include_str!("../testdata/hashes.tsv");
    const KEYS: [(&str, &str); 3] = [
        ("text", include_str!("../testdata/keys-text.txt")),
        ("raw", include_str!("../testdata/keys-raw.txt")),
        ("hosts", include_str!("../testdata/keys-hosts.txt")),
    ];

    /// In the order of the columns; `-` stands for a key that the original cannot take.
    fn hashes(key: &[u8]) -> [String; 9] {
        let (signed, unsigned) = (CharSign::Signed, CharSign::Unsigned);
        [
            crc32fast::hash(key).to_string(),
            (md5_64(key) >> 48).to_string(),
            fnv1a32(key, unsigned).to_string(),
            fold16(fnv1a32(key, unsigned).into()).to_string(),
            murmur3(key).cast_signed().to_string(),
            fnv1a64(key, unsigned).to_string(),
            fnv1a32(key, signed).to_string(),
            fold16(fnv1a32(key, signed).into()).to_string(),
            fnv1a64(key, signed).to_string(),
        ]
    }

    #[test]
    fn every_recorded_hash_is_met() {
        let mut recorded = lines(HASHES).skip(1);
        let mut compared = 0;
        for (corpus, keys) in KEYS {
            for (at, key) in lines(keys).enumerate() {
                let row: Vec<&str> = recorded.next().unwrap().split('\t').collect();
                assert_eq!(row[..2], [corpus, &*(at + 1).to_string()]);
                for (column, hash) in hashes(&unescape(key)).iter().enumerate() {
                    if row[column + 2] != "-" {
                        assert_eq!(row[column + 2], hash, "{corpus} {key:?} column {column}");
                        compared += 1;
                    }
                }
            }
        }
        assert_eq!((recorded.next(), compared), (None, 5_981));
    }

    /// Of every length of a tail: the answers of the reference implementation.
    #[test]
    fn murmur3_hashes_tails_of_every_length() {
        let want = [(&b""[..], 0), (b"a", 0x3c25_69b2), (b"abc", 0xb3dd_93fa)];
        for (bytes, want) in want {
            assert_eq!(murmur3(bytes), want, "{bytes:?}");
        }
        assert_eq!(murmur3(b"The quick brown fox jumps over the lazy dog"), 0x2e4f_f723);
    }
}
