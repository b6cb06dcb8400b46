//! Placements without points: so many buckets, each with a target, found by modulo or by jump.
//!
//! Invariant: every position has a bucket and every bucket its owners. In which order targets stand for buckets is
//! said by `carbon`, `c_relay` and `nanotube`.

use crate::TargetIdx;
use crate::jump::jump;
use crate::points::Rows;
use crate::ring::{OWNERS_MAX, Owners};

/// A position's bucket is its remainder by the number of buckets.
pub(crate) struct Modulo {
    rows: Rows,
    buckets: u64,
    /// What makes the remainder that of the signed hash, where the position is one plus 2^31.
    shift: u64,
}

impl Modulo {
    /// One bucket for each row; `offset` is what a position has more than the number that is divided.
    pub(crate) fn build(rows: Rows, offset: u64) -> Self {
        let buckets = (rows.owners.len() / rows.replicas) as u64;
        Self { shift: buckets - offset % buckets, rows, buckets }
    }

    #[inline]
    pub(crate) fn bucket(&self, position: u64) -> u64 {
        position.wrapping_add(self.shift) % self.buckets
    }

    #[inline]
    pub(crate) fn owners(&self, position: u64) -> &[TargetIdx] {
        self.rows.of(usize::try_from(self.bucket(position)).unwrap_or_default())
    }

    /// How many buckets there are, and so the period of the owners.
    pub(crate) fn buckets(&self) -> u64 {
        self.buckets
    }
}

/// A position's bucket is found by jump hash.
pub(crate) struct Jump {
    order: Box<[TargetIdx]>,
    replicas: usize,
    buckets: u32,
}

impl Jump {
    /// The n-th target stands for bucket n.
    pub(crate) fn build(order: Vec<TargetIdx>, replicas: usize) -> Self {
        let buckets = u32::try_from(order.len()).unwrap_or(u32::MAX); // at most 4,096
        Self { order: order.into(), replicas, buckets }
    }

    /// The targets by bucket.
    pub(crate) fn order(&self) -> &[TargetIdx] {
        &self.order
    }

    #[inline]
    pub(crate) fn bucket(&self, hash: u64) -> u32 {
        jump(hash, self.buckets)
    }

    #[inline]
    pub(crate) fn owners(&self, hash: u64) -> Owners<'_> {
        match self.replicas {
            1 => Owners::table(std::slice::from_ref(&self.order[self.bucket(hash) as usize])),
            _ => self.draw(hash),
        }
    }

    pub(crate) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// As carbon-c-relay draws replicas: the last bucket's target moves into the bucket just used, the list gets
    /// shorter by one, and the hash is stirred (xorshift64*, Vigna 2016).
    fn draw(&self, mut hash: u64) -> Owners<'_> {
        let mut owners = [self.order[0]; OWNERS_MAX];
        // What was moved where, instead of a copy of the list.
        let mut moved = [(0, self.order[0]); OWNERS_MAX];
        for (replica, buckets) in (0..self.replicas).zip((0..=self.buckets).rev()) {
            let bucket = jump(hash, buckets);
            let target_of = |bucket: u32| {
                let latest = moved[..replica].iter().rev().find(|&&(to, _)| to == bucket);
                latest.map_or(self.order[bucket as usize], |&(_, target)| target)
            };
            owners[replica] = target_of(bucket);
            moved[replica] = (bucket, target_of(buckets.saturating_sub(1)));
            hash ^= hash >> 12;
            hash ^= hash << 25;
            hash ^= hash >> 27;
            hash = hash.wrapping_mul(2_685_821_657_736_338_717);
        }
        Owners::drawn(owners, self.replicas)
    }
}
