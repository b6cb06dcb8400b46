//! The live series of a running Coco: `GET /series`.
//!
//! Invariant: fewer rows than the first line promises is an error, so that no series goes unseen.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, anyhow};

use super::source::{Rows, Source};
use crate::client::{self, ApiUrl};

/// Asks for the series; they are read later, within the same minute.
pub(super) fn ask(url: &ApiUrl) -> anyhow::Result<Source> {
    let what = format!("GET {url}/series");
    let mut reader = BufReader::new(client::get(url, "/series")?);
    let first = first_line(&mut reader).with_context(|| what.clone())?;
    let rows = header(&first).ok_or_else(|| {
        anyhow!(
            "{what}: the answer starts with {first:?} and not with `#series KNOWN of TOTAL`; \
             does a Coco run there?"
        )
    })?;
    Ok(Source { reader: Box::new(reader), what, bytes: None, rows })
}

/// The first line, as far as it is worth showing.
fn first_line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = Vec::new();
    reader.take(FIRST_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// Reads `#series KNOWN of TOTAL`.
fn header(line: &str) -> Option<Rows> {
    let (known, total) = line.strip_prefix("#series ")?.split_once(" of ")?;
    Some(Rows::Series { known: known.parse().ok()?, total: total.parse().ok()? })
}

const FIRST_BYTES_MAX: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_how_many_are_known_by_name() {
        let series = |known, total| Some(Rows::Series { known, total });
        assert_eq!(header("#series 10000 of 123456"), series(10_000, 123_456));
        for bad in ["", "#series", "#series 1", "#series a of b", "<html>"] {
            assert_eq!(header(bad), None, "{bad}");
        }
    }
}
