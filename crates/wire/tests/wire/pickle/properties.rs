//! Arbitrary frames do no harm; lines come out of frames as they went in.

use coco_wire::pickle::{
    DATAPOINTS_MAX, FRAME_BYTES_MAX, FrameWriter, Number, PushError, encode_frame,
};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{decode, frames};
use crate::data::{read_jsonl, unhex};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_come_out_of_frames(
        lines in prop::collection::vec(
            ("[a-z.;=é]{1,20}", prop_oneof![any::<i64>().prop_map(Number::Int), any::<f64>().prop_filter_map("finite", |f| f.is_finite().then_some(Number::Float(f)))], any::<u32>()),
            0..1100,
        ),
    ) {
        let text = |number: &Number| match number {
            Number::Int(number) => number.to_string(),
            Number::Float(number) => format!("{number:e}"),
        };
        let written: Vec<_> = lines.iter().map(|(name, value, time)| format!("{name} {} {time}", text(value))).collect();
        let (mut out, mut taken) = (b"before".to_vec(), 0);
        while taken < written.len() {
            let encoded = encode_frame(written[taken..].iter().map(String::as_bytes), &mut out);
            prop_assert!(encoded.lines > 0 && encoded.lines == encoded.datapoints);
            taken += encoded.lines;
        }
        let mut found = Vec::new();
        for frame in frames(&out[6..]) {
            let elements = decode(frame).unwrap();
            prop_assert!(elements.len() <= DATAPOINTS_MAX && frame.len() <= FRAME_BYTES_MAX);
            found.extend(elements.into_iter().map(Result::unwrap));
        }
        prop_assert_eq!(found.len(), lines.len());
        for ((name, time, value), (sent_name, sent_value, sent_time)) in found.iter().zip(&lines) {
            prop_assert_eq!(name, sent_name);
            prop_assert_eq!(*time, Some(Number::Int((*sent_time).into())));
            prop_assert_eq!(value.to_f64(), sent_value.to_f64());
            let both_int = matches!((value, sent_value), (Number::Int(_), Number::Int(_)));
            prop_assert!(both_int && value == sent_value || matches!(sent_value, Number::Float(_)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_no_harm(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        let _decoded = decode(&frame);
    }

    #[test]
    fn arbitrary_opcodes_do_no_harm(
        opcodes in prop::collection::vec(prop::sample::select(vec![
            "(", ")", "]", "}", "t", "l", "a", "e", "0", "1", "2", "N", "K\x01", "U\x01a", "I5\n", "F1.5\n", "S'b'\n",
            "q\x00", "q\x01", "h\x00", "h\x01", "p2\n", "g2\n", "u", "s", "d", "X\x01\0\0\0c", "Vd\n", "L7L\n",
        ]), 0..60),
        tuples in prop::collection::vec((any::<Index>(), 0x85..=0x94_u8), 0..8),
    ) {
        let mut frame = opcodes.concat().into_bytes();
        for (at, opcode) in tuples {
            frame.insert(at.index(frame.len() + 1), opcode);
        }
        frame.push(b'.');
        let _decoded = decode(&frame);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each case changes every short recorded frame somewhere.
    #[test]
    fn mutated_frames_do_no_harm(changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..4)) {
        for frame in read_jsonl("graphite/pickle/frames.jsonl") {
            let mut frame = unhex(frame["frame"].as_str().unwrap());
            for (at, byte, how) in &changes {
                if frame.is_empty() || frame.len() > 4000 {
                    continue;
                }
                let at = at.index(frame.len());
                match how {
                    0 => frame[at] = *byte,
                    1 => frame.insert(at, *byte),
                    _ => frame.truncate(at),
                }
            }
            let _decoded = decode(&frame);
        }
    }
}

#[test]
fn frames_keep_to_their_size() {
    let line = format!("{} 1.5 1700000000", "a".repeat(10_000));
    let mut out = Vec::new();
    let encoded = encode_frame(std::iter::repeat_n(line.as_bytes(), 500), &mut out);
    assert_eq!(encoded.lines, encoded.datapoints);
    assert!((100..105).contains(&encoded.lines), "{encoded:?}");
    assert!(out.len() - 4 <= FRAME_BYTES_MAX && out.len() > FRAME_BYTES_MAX - 20_000);
    assert_eq!(decode(frames(&out)[0]).unwrap().len(), encoded.lines);
}

#[test]
fn bad_lines_are_passed_over() {
    let mut out = Vec::new();
    let lines = ["a 1 2", "bad", "b nan 2", "c 3 N"];
    let encoded = encode_frame(lines.iter().map(|line| line.as_bytes()), &mut out);
    assert_eq!((encoded.lines, encoded.datapoints), (4, 2));
    let found: Vec<_> = decode(frames(&out)[0]).unwrap().into_iter().map(Result::unwrap).collect();
    let wanted = [("a", Some(Number::Int(2)), Number::Int(1)), ("c", None, Number::Int(3))];
    assert_eq!(found, wanted.map(|(name, time, value)| (name.to_owned(), time, value)));

    out.clear();
    let encoded = encode_frame(std::iter::once(b"bad".as_slice()), &mut out);
    assert_eq!((encoded.lines, encoded.datapoints, out.len()), (1, 0, 0));

    let mut frame = FrameWriter::begin(&mut out);
    let long = format!("{} 1 2", "a".repeat(20_000));
    assert!(matches!(frame.push(long.as_bytes(), &mut out), Err(PushError::BadLine(_))));
    assert_eq!(frame.finish(&mut out), 0);
}
