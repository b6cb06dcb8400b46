//! Pickle frames: CPython's own, hostile ones, and ours read back.

mod properties;
mod recorded;

use coco_wire::pickle::{self, Datapoint, ElementError, Number, PickleError};

/// A datapoint that owns its name.
type Owned = (String, Option<Number>, Number);

fn decode(frame: &[u8]) -> Result<Vec<Result<Owned, ElementError>>, PickleError> {
    let mut found = Vec::new();
    pickle::decode(frame, |element: Result<Datapoint<'_>, _>| {
        found.push(element.map(|datapoint| {
            let name = std::str::from_utf8(datapoint.name).unwrap().to_owned();
            // A datapoint is as good as a line.
            let mut line = Vec::new();
            datapoint.append_to(1_700_000_000, &mut line);
            let parsed = coco_wire::line::parse(&line).unwrap();
            assert_eq!(parsed.name, datapoint.name);
            (name, datapoint.time, datapoint.value)
        }));
    })?;
    Ok(found)
}

/// Frames without their lengths.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*length).try_into().unwrap());
        frames.push(frame);
        bytes = rest;
    }
    assert!(bytes.is_empty());
    frames
}
