//! Lines `time,value`: Unix seconds and a number, which may be missing. The first line may be a heading.

use anyhow::{Context, bail};
use coco_checks::rates::Reading;

use super::Raw;

/// The one series of a table.
pub(super) fn series(bytes: &[u8], are_rates: bool) -> anyhow::Result<Vec<Raw>> {
    let text = str::from_utf8(bytes).context("it is not UTF-8 text")?;
    let mut readings = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match reading(line) {
            Some(reading) => readings.push(reading),
            None if at == 0 => {}
            None => bail!("line {} is not `time,value`", at + 1),
        }
    }
    Ok(vec![Raw { name: "value".to_owned(), readings, are_rates }])
}

fn reading(line: &str) -> Option<Reading> {
    let (time, value) = line.split_once(',')?;
    let time = time.trim().parse::<f64>().ok().filter(|time| time.is_finite())?;
    let value = match value.trim() {
        "" => None,
        number => Some(number.parse().ok()?),
    };
    Some(Reading { time, value, incarnation: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_and_holes_are_taken() {
        let found = series(b"time,value\n10,1\n\n20,\n30.5, 2.5\r\n", true).unwrap();
        let readings: Vec<_> = found[0].readings.iter().map(|r| (r.time, r.value)).collect();
        assert_eq!(readings, [(10.0, Some(1.0)), (20.0, None), (30.5, Some(2.5))]);
        assert!(found[0].are_rates);
        for bad in [&b"1,2\nx,3\n"[..], b"1,2\n3\n", b"1,2\ninf,3\n", b"\xff"] {
            assert!(series(bad, false).is_err(), "{bad:?}");
        }
    }
}
