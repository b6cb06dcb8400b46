//! What a real daemon accepts of malformed datagrams, so do we, less its reads out of bounds.

use std::collections::HashMap;

use coco_wire::collectd::{DecodeErrorKind, Item, Kind, Notification, ValueList};
use serde_json::{Value as Json, json};

use super::{decode, pack};
use crate::data::{read, read_jsonl, unhex};

/// What the receiving daemon used when no interval was sent, in seconds.
const INTERVAL_DEFAULT: f64 = 3600.0;

#[test]
fn cases_without_keys_are_accepted_as_by_the_daemon() {
    let checked = check("collectd/malformed/cases.jsonl");
    assert!(checked > 60, "{checked}");
}

#[test]
fn fuzz_without_keys_is_accepted_as_by_the_daemon() {
    let checked = check("collectd/malformed/fuzz.jsonl");
    assert!(checked > 150, "{checked}");
}

/// Checks every case of a file; returns how many could be compared in full.
fn check(path: &str) -> usize {
    let types = Types::read();
    let mut compared = 0;
    for case in read_jsonl(path) {
        let id = case["id"].as_str().unwrap();
        let single = case["datagram"].as_str().map(unhex);
        let many = case["datagrams"].as_array().into_iter().flatten();
        let datagrams: Vec<_> =
            many.map(|text| unhex(text.as_str().unwrap())).chain(single).collect();
        let limit = case["server"]["max_packet_size"].as_u64().unwrap().try_into().unwrap();
        let mut found = Vec::new();
        let mut errors = Vec::new();
        for datagram in &datagrams {
            let received = &datagram[..datagram.len().min(limit)];
            let (items, outcome) = decode(received);
            errors.extend(outcome.error.map(|error| error.kind));
            assert!(outcome.error.is_none_or(|error| error.offset < received.len()));
            assert_packs_again(&items);
            found.extend(items.iter().filter_map(|item| types.accepted(item)));
        }
        if case["server"]["security_level"] != "None" || case["server"]["auth_file"] == true {
            continue;
        }
        let accepted = case.get("accepted").unwrap_or(&case["collectd"]["accepted"]);
        let tagged = |tag: &str| case["tags"].as_array().unwrap().iter().any(|found| found == tag);
        let quirk = tagged("number-length-quirk") || tagged("overread");
        if quirk {
            assert!(errors.contains(&DecodeErrorKind::NumberLength), "{id}: {errors:?}");
        }
        compare(id, &found, accepted.as_array().unwrap(), quirk);
        compared += 1;
    }
    compared
}

/// Values and notifications come from different threads of the daemon: compared apart.
fn compare(id: &str, found: &[Json], accepted: &[Json], prefix_only: bool) {
    for kind in ["values", "notification"] {
        let of_kind = |record: &&Json| record["kind"] == kind;
        let found: Vec<_> = found.iter().filter(of_kind).collect();
        let accepted: Vec<_> = accepted.iter().filter(of_kind).collect();
        if !prefix_only {
            assert_eq!(found.len(), accepted.len(), "{id}: {kind}: {found:#?}");
        }
        assert!(found.len() <= accepted.len(), "{id}: {kind}: {found:#?}");
        for (found, accepted) in found.iter().zip(accepted) {
            let keys = found.as_object().unwrap();
            assert!(
                keys.iter().all(|(key, found)| is_same(found, &accepted[key])),
                "{id}: {found} {accepted}"
            );
        }
    }
}

/// Equal, but for the last bit of doubles: the JSON reader rounds some of them.
fn is_same(found: &Json, wanted: &Json) -> bool {
    match (found, wanted) {
        (Json::Array(found), Json::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| is_same(a, b))
        }
        (Json::Number(found), Json::Number(wanted)) if found.is_f64() || wanted.is_f64() => {
            let (found, wanted) = (found.as_f64().unwrap(), wanted.as_f64().unwrap());
            (found - wanted).abs() <= wanted.abs() * f64::EPSILON
        }
        _ => found == wanted,
    }
}

fn assert_packs_again(items: &[Item<'_>]) {
    let good: Vec<_> =
        items.iter().filter(|item| !matches!(item, Item::Refused(_))).copied().collect();
    let (packed, misfits) = pack(&good, 65_535);
    assert!(misfits.is_empty());
    let again: Vec<_> = packed.iter().flat_map(|datagram| decode(datagram).0).collect();
    assert_eq!(again, good);
}

/// Kinds of the data sources of each type.
struct Types(HashMap<String, Vec<Kind>>);

impl Types {
    fn read() -> Self {
        let kind = |name| (0..4).filter_map(Kind::from_wire).find(|kind| kind.as_str() == name);
        let rows = read("collectd/types.tsv");
        let rows = rows.lines().filter_map(|line| line.split_once('\t'));
        Self(
            rows.map(|(name, kinds)| {
                (name.to_owned(), kinds.split(',').map(|name| kind(name).unwrap()).collect())
            })
            .collect(),
        )
    }

    /// What the daemon hands to its write plugins, if it does.
    fn accepted(&self, item: &Item<'_>) -> Option<Json> {
        match item {
            Item::Values(list) => self.accepted_values(list),
            Item::Notification(notification) => Some(accepted_notification(notification)),
            Item::Refused(_) => None,
        }
    }

    fn accepted_values(&self, list: &ValueList<'_>) -> Option<Json> {
        let kinds = self.0.get(std::str::from_utf8(list.identity.type_).ok()?)?;
        if kinds.len() != list.values.len() {
            return None;
        }
        let values =
            list.values.iter().zip(kinds).map(|((sent, raw), kind)| value(sent, *kind, raw));
        let interval = if list.interval == 0 { INTERVAL_DEFAULT } else { seconds(list.interval) };
        Some(json!({
            "kind": "values",
            "host": name(list.identity.host),
            "plugin": name(list.identity.plugin),
            "plugin_instance": name(list.identity.plugin_instance),
            "type": name(list.identity.type_),
            "type_instance": name(list.identity.type_instance),
            "time": seconds(list.time),
            "interval": interval,
            "values": values.collect::<Vec<_>>(),
        }))
    }
}

fn accepted_notification(notification: &Notification<'_>) -> Json {
    json!({
        "kind": "notification",
        "host": text(notification.identity.host),
        "plugin": text(notification.identity.plugin),
        "plugin_instance": text(notification.identity.plugin_instance),
        "type": text(notification.identity.type_),
        "type_instance": text(notification.identity.type_instance),
        "time": seconds(notification.time),
        "severity": notification.severity & 0xffff_ffff,
        "message": text(notification.message),
    })
}

/// The kind on the wire undoes the byte order; after that the kind in types.db rules.
fn value(sent: Kind, kind: Kind, raw: [u8; 8]) -> Json {
    let bits = match sent {
        Kind::Gauge => u64::from_le_bytes(raw),
        Kind::Counter | Kind::Derive | Kind::Absolute => u64::from_be_bytes(raw),
    };
    match kind {
        Kind::Counter | Kind::Absolute => json!(bits),
        Kind::Derive => json!(bits.cast_signed()),
        Kind::Gauge => match f64::from_bits(bits) {
            gauge if gauge.is_nan() => json!("NaN"),
            f64::INFINITY => json!("Infinity"),
            f64::NEG_INFINITY => json!("-Infinity"),
            gauge => json!(gauge),
        },
    }
}

fn seconds(time: u64) -> f64 {
    time as f64 / 1_073_741_824.0
}

/// A name of a value list, after the daemon's treatment of slashes.
fn name(field: &[u8]) -> Json {
    if field == b"/" {
        return json!("root");
    }
    let field = field.strip_prefix(b"/").unwrap_or(field).to_vec();
    text(&field.iter().map(|byte| if *byte == b'/' { b'_' } else { *byte }).collect::<Vec<_>>())
}

fn text(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            json!({"bytes": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()})
        }
    }
}
