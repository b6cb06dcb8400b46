//! What a real daemon sent decodes to what a real daemon decoded.

use coco_wire::collectd::{DecodeErrorKind, Identity, Item};
use serde_json::{Value as Json, json};

use super::{CAPTURES, decode, pack};
use crate::data::{read_hex, read_jsonl};

/// An item in the words of the recordings, without the keys that come from types.db.
fn record(datagram: usize, item: &Item<'_>) -> Json {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let names = |Identity { host, plugin, plugin_instance, type_, type_instance }: Identity<'_>| {
        json!([text(host), text(plugin), text(plugin_instance), text(type_), text(type_instance)])
    };
    match item {
        Item::Values(list) => {
            let (kinds, raw): (Vec<_>, Vec<_>) = list
                .values
                .iter()
                .map(|(kind, raw)| (kind.as_str(), format!("{:016x}", u64::from_be_bytes(raw))))
                .unzip();
            let names = names(list.identity);
            json!([datagram, "values", names, list.time, list.interval, kinds, raw])
        }
        Item::Notification(notification) => json!([
            datagram,
            "notification",
            names(notification.identity),
            notification.time,
            notification.severity,
            text(notification.message),
        ]),
        Item::Refused(refused) => panic!("refused: {refused:?}"),
    }
}

/// A recorded object in the same form.
fn recorded(object: &Json) -> Json {
    let names = ["host", "plugin", "plugin_instance", "type", "type_instance"];
    let names = names.map(|key| object[key].clone());
    let [d, kind, time] = ["d", "kind", "time_hr"].map(|key| &object[key]);
    if kind == "values" {
        json!([d, kind, names, time, object["interval_hr"], object["dstypes"], object["raw"]])
    } else {
        json!([d, kind, names, time, object["severity"], object["message"]])
    }
}

#[test]
fn captures_decode_to_what_the_daemon_decoded() {
    let (mut compared, mut encrypted) = (0, 0);
    for (name, plain) in CAPTURES {
        let datagrams = read_hex(&format!("collectd/captures/{name}.hex"));
        let records = read_jsonl(&format!("collectd/captures/{name}.jsonl"));
        for (number, datagram) in datagrams.iter().enumerate() {
            let of_datagram = records.iter().filter(|record| record["d"] == number);
            let (items, outcome) = decode(datagram);
            let (first, signed) = (datagram[0], datagram[1] == 0 && datagram[0] == 2);
            assert_eq!((outcome.signed, outcome.encrypted), (signed, datagram[..2] == [2, 0x10]));
            assert_eq!(outcome.strict, first != 2, "{name} {number}");
            if outcome.encrypted {
                let error = outcome.error.unwrap();
                assert_eq!((error.offset, error.kind), (0, DecodeErrorKind::Encrypted));
                assert!(items.is_empty() && !plain);
                encrypted += 1;
                continue;
            }
            assert_eq!(outcome.error, None);
            let wanted: Vec<_> = of_datagram.map(recorded).collect();
            let found: Vec<_> = items.iter().map(|item| record(number, item)).collect();
            assert_eq!(found, wanted, "{name} {number}");
            compared += found.len();
        }
    }
    println!("{compared} records, {encrypted} encrypted datagrams");
    assert!(compared > 5000 && encrypted > 40);
}

#[test]
fn the_daemons_own_datagrams_are_packed_byte_for_byte() {
    for (name, plain) in CAPTURES {
        for (number, datagram) in
            read_hex(&format!("collectd/captures/{name}.hex")).iter().enumerate()
        {
            let (items, _) = decode(datagram);
            let (packed, misfits) = pack(&items, 65_535);
            assert!(misfits.is_empty());
            if plain {
                assert_eq!(packed, std::slice::from_ref(datagram), "{name} {number}");
            }
            let items_again: Vec<_> =
                packed.iter().flat_map(|datagram| decode(datagram).0).collect();
            assert_eq!(items_again, items);
        }
    }
}

#[test]
fn values_of_one_host_share_its_slice() {
    let datagrams = read_hex("collectd/captures/forward_multihost.hex");
    let mut runs = 0;
    for datagram in &datagrams {
        let mut last: Option<&[u8]> = None;
        for item in decode(datagram).0 {
            let Item::Values(list) = item else { panic!("only values here") };
            let host = list.identity.host;
            let same_run = last.is_some_and(|last| std::ptr::eq(last, host));
            assert_eq!(same_run, last == Some(host));
            runs += usize::from(!same_run);
            last = Some(host);
        }
    }
    assert!(runs > datagrams.len());
}
