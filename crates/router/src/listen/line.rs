//! Graphite lines over TCP.

use coco_wire::line::{LineError, is_http_request};
use memchr::{memchr, memrchr};

use crate::{
    handover::Started,
    listen::client::{Next, Units},
    pipeline::{Pipeline, Source},
};

/// The answer to an HTTP request on the line port, so that a probe sees its mistake.
const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain\r\nContent-Length: 57\r\nConnection: close\r\n\r\n\
    This is the Graphite line port. The API has another one.\n";

/// What is left of a client's bytes between two reads.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The beginning of a line whose end has not come.
    kept: Vec<u8>,
    /// The present line is over the limit and counted; its rest is passed over.
    skipping: bool,
    /// The first line was seen.
    begun: bool,
    line_bytes_max: usize,
}

impl Lines {
    pub(crate) fn new(line_bytes_max: usize, started: Started) -> Self {
        let Started { bytes: kept, skipping, begun } = started;
        Self { kept, skipping, begun, line_bytes_max }
    }

    /// `bytes` without the rest of a line that is passed over; `None` while it has no end.
    fn skip<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if self.skipping {
            let end = memchr(b'\n', bytes)?;
            self.skipping = false;
            return bytes.get(end + 1..);
        }
        Some(bytes)
    }
}

impl Units for Lines {
    fn kept(&self) -> &[u8] {
        &self.kept
    }

    fn route(&mut self, bytes: &[u8], pipeline: &mut Pipeline, from: &Source<'_>) -> Next {
        let Some(bytes) = self.skip(bytes) else { return Next::Read };
        if !self.begun
            && let Some(end) = memchr(b'\n', bytes)
        {
            self.begun = true;
            let first = bytes.get(..end).unwrap_or_default();
            if is_http_request(first) {
                pipeline.reject_line(LineError::Http, first, from);
                return Next::Close(HTTP_ANSWER);
            }
        }
        let whole = memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        let (lines, rest) = bytes.split_at(whole);
        pipeline.lines(lines, from);
        self.kept.clear();
        // One more for a CR, which the limit does not count.
        if rest.len() > self.line_bytes_max + 1 {
            pipeline.reject_line(LineError::TooLong, rest, from);
            self.skipping = true;
        } else {
            self.kept.extend_from_slice(rest);
        }
        Next::Read
    }

    fn finish(&mut self, pipeline: &mut Pipeline, from: &Source<'_>) -> bool {
        pipeline.lines(&self.kept, from);
        true
    }

    fn started(&mut self) -> Started {
        let (skipping, begun) = (self.skipping, self.begun);
        Started { bytes: std::mem::take(&mut self.kept), skipping, begun }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_length_it_states() {
        let text = std::str::from_utf8(HTTP_ANSWER).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
