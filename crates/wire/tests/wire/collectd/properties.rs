//! Arbitrary datagrams do no harm; what is packed comes out again.

use coco_wire::collectd::{Identity, Item, MESSAGE_BYTES_MAX, Notification, ValueList, Values};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{decode, pack};
use crate::data::read_hex;

/// An item that owns its bytes.
#[derive(Debug, Clone)]
struct Owned {
    names: [Vec<u8>; 5],
    time: u64,
    interval: u64,
    kinds: Vec<u8>,
    raw: Vec<u8>,
    /// A notification, if there is one: severity and text.
    message: Option<(u64, Vec<u8>)>,
}

impl Owned {
    fn item(&self) -> Item<'_> {
        let [host, plugin, plugin_instance, type_, type_instance] = &self.names;
        let identity = Identity { host, plugin, plugin_instance, type_, type_instance };
        let Self { time, interval, .. } = *self;
        match &self.message {
            Some((severity, message)) => {
                Item::Notification(Notification { identity, time, severity: *severity, message })
            }
            None => {
                let values = Values::try_new(&self.kinds, &self.raw).unwrap();
                Item::Values(ValueList { identity, time, interval, values })
            }
        }
    }
}

/// Names that often repeat, so that compression has something to do.
fn name(bytes_min: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec![b"a".to_vec(), b"b".to_vec(), b"ab".to_vec()]),
        1 => prop::collection::vec(1..=255_u8, bytes_min..=127),
        1 => Just(vec![b'x'; bytes_min]),
    ]
}

fn owned() -> impl Strategy<Value = Owned> {
    let number = || prop_oneof![3 => 1..4_u64, 1 => 1..=u64::MAX];
    let interval = prop_oneof![1 => Just(0), 3 => number()];
    let values = prop::collection::vec((0..4_u8, any::<[u8; 8]>()), 1..40);
    let severity = prop::sample::select(vec![1, 2, 4, (1 << 32) + 2]);
    let text = prop::collection::vec(1..=255_u8, 1..=MESSAGE_BYTES_MAX);
    let message = prop_oneof![4 => Just(None), 1 => (severity, text).prop_map(Some)];
    let names = (name(1), name(1), name(0), name(1), name(0));
    (names, number(), interval, values, message).prop_map(
        |(
            (host, plugin, plugin_instance, type_, type_instance),
            time,
            interval,
            values,
            message,
        )| {
            let (kinds, raw): (Vec<_>, Vec<_>) = values.into_iter().unzip();
            Owned {
                names: [host, plugin, plugin_instance, type_, type_instance],
                time,
                interval,
                kinds,
                raw: raw.concat(),
                message,
            }
        },
    )
}

/// The size in bytes of a datagram with this item alone.
fn size_alone(item: &Item<'_>) -> usize {
    let (identity, rest) = match item {
        Item::Values(list) => {
            let interval = if list.interval == 0 { 0 } else { 12 };
            (list.identity, 12 + interval + 6 + list.values.len() * 9)
        }
        Item::Notification(notification) => {
            (notification.identity, 24 + 5 + notification.message.len())
        }
        Item::Refused(_) => unreachable!(),
    };
    let Identity { host, plugin, plugin_instance, type_, type_instance } = identity;
    let names = [host, plugin, plugin_instance, type_, type_instance];
    let sized = names.iter().filter(|name| !name.is_empty()).map(|name| name.len() + 5);
    sized.sum::<usize>() + rest
}

fn captured() -> Vec<Vec<u8>> {
    let names = ["plain_default", "sign", "notifications_plain", "value_types", "encrypt"];
    names.iter().flat_map(|name| read_hex(&format!("collectd/captures/{name}.hex"))).collect()
}

/// Decodes, and checks what holds of any datagram.
fn check_any(datagram: &[u8]) {
    let (items, outcome) = decode(datagram);
    let refused = items.iter().filter(|item| matches!(item, Item::Refused(_))).count();
    let good: Vec<_> =
        items.iter().filter(|item| !matches!(item, Item::Refused(_))).copied().collect();
    if let Some(error) = outcome.error {
        assert!(!outcome.strict);
        // What came before the error does not depend on what comes after it.
        let (mut before, _) = decode(&datagram[..error.offset]);
        before.retain(|item| !matches!(item, Item::Refused(_)));
        assert_eq!(before, good);
    }
    assert!(!outcome.strict || (refused == 0 && !outcome.signed && !outcome.encrypted));
    let (packed, misfits) = pack(&good, 65_535);
    assert!(misfits.is_empty());
    assert_eq!(packed.iter().flat_map(|one| decode(one).0).collect::<Vec<_>>(), good);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packed_items_come_out_again(owned in prop::collection::vec(owned(), 0..40), limit in 40..3000_usize) {
        let items: Vec<_> = owned.iter().map(Owned::item).collect();
        let (packed, misfits) = pack(&items, limit);
        let mut found = Vec::new();
        for datagram in &packed {
            let (items, outcome) = decode(datagram);
            prop_assert!(outcome.strict && outcome.error.is_none());
            prop_assert!(datagram.len() <= limit);
            found.extend(items);
        }
        let (fitting, too_large): (Vec<_>, Vec<_>) =
            items.iter().partition(|item| size_alone(item) <= limit);
        prop_assert_eq!(found, fitting);
        prop_assert_eq!(misfits, too_large);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(datagram in prop::collection::vec(any::<u8>(), 0..300)) {
        check_any(&datagram);
    }

    #[test]
    fn arbitrary_parts_do_no_harm(
        parts in prop::collection::vec(
            (prop::sample::select(vec![0_u8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), 0..3_u8,
             prop::collection::vec(0..5_u8, 0..20), -1..2_i32),
            0..20,
        ),
    ) {
        let mut datagram = Vec::new();
        for (low, high, payload, lie) in parts {
            let length = i32::try_from(payload.len()).unwrap() + 4 + if low % 3 == 0 { lie } else { 0 };
            datagram.extend([if low < 2 { high } else { 0 }, low]);
            datagram.extend(u16::try_from(length).unwrap().to_be_bytes());
            datagram.extend(payload);
        }
        check_any(&datagram);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each case changes every captured datagram somewhere.
    #[test]
    fn mutated_captures_do_no_harm(
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        for mut datagram in captured() {
            for (at, byte, how) in &changes {
                if datagram.is_empty() {
                    break;
                }
                let at = at.index(datagram.len());
                match how {
                    0 => datagram[at] = *byte,
                    1 => datagram[at] ^= 1 << (byte % 8),
                    2 => datagram.insert(at, *byte),
                    _ => datagram.truncate(at),
                }
            }
            check_any(&datagram);
        }
    }
}
