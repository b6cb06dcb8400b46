//! Positions and keys that stand for all, where there are too many to walk.
//!
//! Invariant: the same ones on every machine and in every version, so an estimate can be repeated.

/// How many copies are looked at, and the fewest keys: the standard error of a share is at most 0.2 %, and 0.05 % where
/// each key has one owner.
const COPIES: u64 = 1 << 20;
const KEYS_MIN: u64 = 1 << 16;

/// How many keys are drawn for rings whose keys have at most so many owners.
pub(super) fn count(replicas: usize) -> u64 {
    let replicas = u64::try_from(replicas.max(1)).unwrap_or(u64::MAX);
    (COPIES / replicas).max(KEYS_MIN)
}

/// 2^64 divided by the golden ratio, odd: its multiples, taken modulo 2^64, fill the range evenly.
const WEYL: u64 = 0x9E37_79B9_7F4A_7C15;

/// So many positions in a space of `bits` bits, evenly spread.
pub(super) fn positions(count: u64, bits: u32) -> impl Iterator<Item = u64> {
    (0..count).map(move |index| index.wrapping_mul(WEYL) >> (u64::BITS - bits))
}

/// The bytes of key number `index`: 16 hexadecimal digits, another text for every number. All of its digits differ
/// from one number to the next, so that hashes which mix badly are spread as well.
pub(super) fn key(index: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = mixed(index);
    [(); 16].map(|()| {
        let digit = usize::try_from(rest & 15).unwrap_or_default();
        rest >>= 4;
        DIGITS[digit] // below 16
    })
}

/// The output function of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), which
/// is one-to-one.
fn mixed(index: u64) -> u64 {
    let z = index.wrapping_mul(WEYL);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
