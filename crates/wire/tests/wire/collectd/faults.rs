//! Each fault by hand: its reason, its place, and what is kept.

use coco_wire::collectd::{DecodeErrorKind, Item, Packer, Refused, Value, Values};

use super::decode;

fn part(id: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 4).unwrap().to_be_bytes();
    [&id.to_be_bytes()[..], &length, payload].concat()
}

fn time() -> Vec<u8> {
    part(8, &(1_u64 << 60).to_be_bytes())
}

/// A good value list.
fn good() -> Vec<u8> {
    [time(), part(0, b"h\0"), part(2, b"p\0"), part(4, b"t\0"), values()].concat()
}

fn values() -> Vec<u8> {
    part(6, &[0, 1, 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f])
}

#[test]
fn an_error_ends_the_datagram_and_names_its_part() {
    use DecodeErrorKind as Kind;
    let number = [0; 8];
    for (bad, kind) in [
        (vec![0, 5, 0, 9, b'x'], Kind::Truncated),
        (vec![0, 0, 0, 3, 0], Kind::PartLength),
        (vec![0; 5], Kind::PartLength),
        (part(5, b""), Kind::StringEmpty),
        (part(5, &[b"x".repeat(128), vec![0]].concat()), Kind::StringTooLong),
        (part(0x100, &[b"x".repeat(256), vec![0]].concat()), Kind::StringTooLong),
        (part(5, b"x"), Kind::StringUnterminated),
        (part(8, &number[..7]), Kind::NumberLength),
        (part(1, &[0; 9]), Kind::NumberLength),
        (part(0x101, b""), Kind::NumberLength),
        (part(6, &[0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]), Kind::ValuesLength),
        (part(6, &[0]), Kind::ValuesLength),
        (part(6, &[0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0]), Kind::ValueKind),
        (part(0x200, &[0; 32]), Kind::SignatureLength),
        (part(0x210, &[0; 60]), Kind::Encrypted),
    ] {
        let datagram = [good(), bad, good()].concat();
        let datagram =
            if kind == Kind::Truncated { &datagram[..good().len() + 5] } else { &datagram };
        let kept = good().len().min(datagram.len());
        let (items, outcome) = decode(datagram);
        let error = outcome.error.unwrap();
        assert_eq!((error.kind, error.offset), (kind, good().len()), "{kind:?}");
        assert_eq!(items, decode(&datagram[..kept]).0);
        assert!(!outcome.strict);
        assert!(error.to_string().starts_with(kind.as_str()));
    }
}

#[test]
fn a_refused_item_ends_nothing() {
    let without = |lost: usize| {
        let parts = [time(), part(0, b"h\0"), part(2, b"p\0"), part(4, b"t\0")];
        let kept = parts.iter().enumerate().filter(|(number, _)| *number != lost);
        kept.flat_map(|(_, part)| part.clone()).collect::<Vec<_>>()
    };
    let notification = |severity: u64, text: &[u8]| {
        [part(0x101, &severity.to_be_bytes()), part(0x100, text)].concat()
    };
    for (bad, refused) in [
        ([without(0), values()], Refused::NoTime),
        ([without(1), values()], Refused::NoHost),
        ([without(2), values()], Refused::NoPlugin),
        ([without(3), values()], Refused::NoType),
        ([without(9), part(6, &[0, 0])], Refused::NoValues),
        ([time(), notification(3, b"x\0")], Refused::UnknownSeverity),
        ([time(), notification(4, b"\0")], Refused::NoMessage),
        ([without(0), notification(4, b"x\0")], Refused::NoTime),
    ] {
        let datagram = [bad.concat(), good()].concat();
        let (items, outcome) = decode(&datagram);
        assert_eq!(items[0], Item::Refused(refused));
        assert!(matches!(items[1..], [Item::Values(_)]), "{refused:?}");
        assert!(outcome.error.is_none() && !outcome.strict);
    }
}

#[test]
fn only_what_every_reader_reads_alike_is_strict() {
    let strict = |datagram: &[u8]| {
        let (_, outcome) = decode(datagram);
        assert_eq!(outcome.error, None);
        outcome.strict
    };
    assert!(strict(&good()));
    assert!(!strict(b""));
    assert!(!strict(&time()));
    assert!(!strict(&[good(), vec![0; 4]].concat()));
    assert!(!strict(&[good(), vec![0]].concat()));
    assert!(!strict(&[good(), part(0x7fff, b"")].concat()));
    assert!(!strict(&[good(), part(5, b"a\0b\0"), values()].concat()));
    assert!(!strict(&[part(0x200, &[0; 33]), good()].concat()));
    for len in 1..20 {
        for at in 0..len {
            let mut text = vec![b'x'; len];
            text[at] = 0;
            let datagram = [good(), part(5, &[text, vec![0]].concat()), values()].concat();
            let (items, outcome) = decode(&datagram);
            let Item::Values(list) = items[1] else { panic!("values") };
            assert_eq!(list.identity.type_instance.len(), at);
            assert!(!outcome.strict);
        }
    }
}

#[test]
fn what_no_collectd_would_take_is_not_packed() {
    let datagram = good();
    let Item::Values(list) = decode(&datagram).0[0] else { panic!("values") };
    let (long, mut out) = ([b'x'; 128], Vec::new());
    let mut packer = Packer::new(10_000);
    let mut bad = [list; 6];
    bad[0].time = 0;
    bad[1].identity.host = b"";
    bad[2].identity.plugin = b"";
    bad[3].identity.type_ = b"";
    bad[4].identity.type_instance = &long;
    bad[5].identity.host = b"a\0b";
    for list in bad {
        assert!(packer.push(&mut out, &list).is_err());
        assert!(packer.is_empty(&out));
    }
    assert!(packer.push(&mut out, &list).is_ok());
    assert_eq!(decode(&out).0, [Item::Values(list)]);
}

#[test]
fn interval_zero_is_said_after_another() {
    let datagram = good();
    let Item::Values(mut list) = decode(&datagram).0[0] else { panic!("values") };
    let (mut packer, mut out) = (Packer::new(1000), Vec::new());
    for interval in [0, 5, 0] {
        list.interval = interval;
        packer.push(&mut out, &list).unwrap();
    }
    let intervals = decode(&out).0.into_iter().map(|item| match item {
        Item::Values(list) => list.interval,
        Item::Notification(_) | Item::Refused(_) => panic!("values"),
    });
    assert_eq!(intervals.collect::<Vec<_>>(), [0, 5, 0]);
    let intervals_said = out.windows(4).filter(|bytes| *bytes == [0, 9, 0, 12]).count();
    assert_eq!(intervals_said, 2);
}

#[test]
fn values_keep_their_kinds() {
    let kinds = [0, 1, 2, 3];
    let raw = [
        u64::MAX.to_be_bytes(),
        (-0.5_f64).to_le_bytes(),
        (-7_i64).to_be_bytes(),
        9_u64.to_be_bytes(),
    ];
    let values = Values::try_new(&kinds, raw.as_flattened()).unwrap();
    let found: Vec<_> = values.iter().map(|(kind, raw)| Value::new(kind, raw)).collect();
    let wanted =
        [Value::Counter(u64::MAX), Value::Gauge(-0.5), Value::Derive(-7), Value::Absolute(9)];
    assert_eq!(found, wanted);
    assert_eq!(found.iter().map(|value| value.to_f64()).sum::<f64>(), 18_446_744_073_709_551_616.0);
    assert!(Values::try_new(&[], &[]).is_err());
    assert!(Values::try_new(&[4], &[0; 8]).is_err());
    assert!(Values::try_new(&[1], &[0; 9]).is_err());
}
