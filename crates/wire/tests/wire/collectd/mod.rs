//! collectd: recorded datagrams, malformed datagrams, arbitrary ones.

mod captures;
mod faults;
mod malformed;
mod properties;

use coco_wire::collectd::{Decoder, Item, Outcome, Packer};

/// The recorded scenarios, and whether a daemon (not collectd-tg) packed them without protection.
const CAPTURES: [(&str, bool); 20] = [
    ("collectd_tg", false),
    ("encrypt", false),
    ("encrypt_other_user", false),
    ("forward_multihost", true),
    ("long_names", true),
    ("maxpacket_1024", true),
    ("maxpacket_1024_sign", false),
    ("maxpacket_65535", true),
    ("maxpacket_9000", true),
    ("maxpacket_9000_encrypt", false),
    ("mixed_security", false),
    ("multihost_unixsock", true),
    ("notifications_encrypt", false),
    ("notifications_plain", true),
    ("notifications_sign", false),
    ("plain_default", true),
    ("plain_noflush", true),
    ("sign", false),
    ("sign_longpassword", false),
    ("value_types", true),
];

fn decode(datagram: &[u8]) -> (Vec<Item<'_>>, Outcome) {
    let mut decoder = Decoder::new(datagram);
    let items = decoder.by_ref().collect();
    (items, decoder.outcome())
}

/// Packs items into datagrams of at most `limit` bytes; returns the datagrams, and the items that
/// fit none.
fn pack<'a>(items: &[Item<'a>], limit: usize) -> (Vec<Vec<u8>>, Vec<Item<'a>>) {
    let (mut packer, mut out, mut starts) = (Packer::new(limit), Vec::new(), Vec::new());
    let mut misfits = Vec::new();
    for item in items {
        if push(&mut packer, &mut out, item) {
            continue;
        }
        if !packer.is_empty(&out) {
            starts.push(out.len());
            packer.begin(out.len());
            if push(&mut packer, &mut out, item) {
                continue;
            }
        }
        assert!(packer.is_empty(&out));
        misfits.push(*item);
    }
    starts.push(out.len());
    let mut from = 0;
    let datagrams = starts.into_iter().map(|to| out[std::mem::replace(&mut from, to)..to].to_vec());
    (datagrams.filter(|datagram| !datagram.is_empty()).collect(), misfits)
}

/// Pushes one item; checks that a failure leaves the buffer as it was.
fn push(packer: &mut Packer, out: &mut Vec<u8>, item: &Item<'_>) -> bool {
    let before = out.clone();
    let pushed = match item {
        Item::Values(list) => packer.push(out, list),
        Item::Notification(notification) => packer.push_notification(out, notification),
        Item::Refused(_) => panic!("refused items are not packed"),
    };
    assert!(pushed.is_ok() || *out == before);
    pushed.is_ok()
}
