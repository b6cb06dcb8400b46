//! Jump hash: the bucket of a hash among so many.
//!
//! Invariant: bit for bit what the relays that use it compute, rounding included: the quotient is taken first, both
//! steps in IEEE double. Which target stands for a bucket is not known here.

/// The bucket of a hash, 0..`buckets`; 0 if there are none.
///
/// Lamping and Veach, A Fast, Minimal Memory, Consistent Hash Algorithm, 2014.
#[expect(clippy::cast_precision_loss, reason = "a bucket and 31 bits are exact in a double")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole part is wanted; it lies between 0 and 2^43"
)]
pub(crate) fn jump(mut hash: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0, 0);
    while next < u64::from(buckets) {
        bucket = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let step = f64::from(1_u32 << 31) / ((hash >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * step) as u64;
    }
    u32::try_from(bucket).unwrap_or_default() // it is less than `buckets`
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::lines;

    #[test]
    fn every_recorded_bucket_is_met() {
        let recorded = include_str!("../testdata/jump64.tsv");
        let mut compared = 0;
        for line in lines(recorded).skip(1) {
            let row: Vec<u64> = line.split('\t').map(|number| number.parse().unwrap()).collect();
            let buckets = u32::try_from(row[1]).unwrap();
            assert_eq!(u64::from(jump(row[0], buckets)), row[2], "{line}");
            compared += 1;
        }
        assert_eq!(compared, 237);
    }

    #[test]
    fn without_buckets_it_ends() {
        assert_eq!(jump(u64::MAX, 0), 0);
    }
}
