//! What a datagram carries: whose it is, and how it is packed.

use coco_ring::Key;
use coco_wire::{
    collectd::{self, Identity, Item, Refused},
    line::tag_key,
};
use memchr::memchr;

use crate::{chunk::OpenChunk, pipeline::identity::HostKey, plan::KeyRule, routes::Tier};

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Kind {
    Values,
    Notification,
}

impl Kind {
    pub(in crate::pipeline) fn of(item: &Item<'_>) -> Self {
        if matches!(item, Item::Notification(_)) { Self::Notification } else { Self::Values }
    }
}

/// Whose sample it is; refused items have no owner.
#[inline]
pub(in crate::pipeline) fn identity<'i, 'a>(
    item: &'i Item<'a>,
) -> Result<&'i Identity<'a>, Refused> {
    match item {
        Item::Values(list) => Ok(&list.identity),
        Item::Notification(notification) => Ok(&notification.identity),
        Item::Refused(refused) => Err(*refused),
    }
}

/// Packs a sample into the open chunk; `false` when it fits into no datagram.
pub(in crate::pipeline) fn pack(item: &Item<'_>, open: &mut OpenChunk) -> bool {
    match item {
        Item::Values(list) => open.pack(list),
        Item::Notification(notification) => open.pack_notification(notification),
        Item::Refused(_) => false,
    }
}

/// The key of a collectd sample under a tier's rule; notifications always go by their host.
#[inline]
pub(in crate::pipeline) fn collectd_key<'a>(
    tier: &Tier,
    host: &HostKey<'a>,
    identity: &Identity<'_>,
    kind: Kind,
    text: &'a mut Vec<u8>,
) -> Key<'a> {
    if tier.key == KeyRule::Host || kind == Kind::Notification {
        // An embedded tier cannot tell from a name who sent it: what looks like tags is sorted.
        if tier.carries_lines() && memchr(b';', host.host).is_some() {
            return Key::new(tag_key(host.host, text));
        }
        return host.key.unwrap_or_else(|| Key::new(b""));
    }
    text.clear();
    collectd::identifier(identity, text);
    if tier.carries_lines() && memchr(b';', text).is_some() {
        let mut scratch = Vec::new();
        *text = tag_key(text, &mut scratch).to_vec();
    }
    Key::new(text)
}
