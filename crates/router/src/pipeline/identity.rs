//! Hashes of a collectd sample's host and series; what stays the same from one sample to the next is
//! not hashed again.

use coco_ring::Key;
use coco_wire::collectd::Identity;
use twox_hash::XxHash3_64;

/// The host of the present sample and its key; hashed only when the host changes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostKey<'a> {
    pub(super) host: &'a [u8],
    pub(super) key: Option<Key<'a>>,
}

impl<'a> HostKey<'a> {
    /// `true` when the host is another one than before.
    #[inline]
    pub(super) fn set(&mut self, host: &'a [u8]) -> bool {
        // The decoder gives the same slice while the host part stays in force.
        if self.key.is_some() && std::ptr::eq(self.host, host) {
            return false;
        }
        *self = Self { host, key: Some(Key::new(host)) };
        true
    }
}

/// Hashes a series' identity; fields that stay the same from one sample to the next are not hashed
/// again.
#[derive(Debug, Default)]
pub(super) struct SeriesHash {
    fields: [FieldHash; 5],
}

#[derive(Debug, Default, Clone, Copy)]
struct FieldHash {
    /// Address and length of the field, to tell whether it is the one of the sample before. Never
    /// followed.
    place: (usize, usize),
    hash: u64,
}

impl SeriesHash {
    #[inline]
    pub(super) fn of(&mut self, identity: &Identity<'_>) -> u64 {
        let Identity { host, plugin, plugin_instance, type_, type_instance } = identity;
        let fields = [host, plugin, plugin_instance, type_, type_instance];
        let mut hash = 0_u64;
        for (known, field) in self.fields.iter_mut().zip(fields) {
            let place = (field.as_ptr().addr(), field.len());
            if known.place != place {
                *known = FieldHash { place, hash: XxHash3_64::oneshot(field) };
            }
            hash = (hash.rotate_left(23) ^ known.hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        hash ^ (hash >> 29)
    }

    /// A new datagram may stand at the same address with other bytes.
    pub(super) fn forget(&mut self) {
        self.fields = Default::default();
    }
}
