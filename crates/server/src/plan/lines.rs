//! Lines of any bytes, one at a time.
//!
//! Invariant: a line is never held twice, and a longer one than [`LINE_BYTES_MAX`] is an error, so memory
//! has a bound whatever is read.

use std::io::{self, BufRead, Read};

/// Longer than any name that Coco takes: a collectd datagram and a Graphite line are shorter.
pub(super) const LINE_BYTES_MAX: usize = 1 << 16;

/// A reader by lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads on from line `first`, counted from 1.
    pub(super) fn new(reader: R, first: u64) -> Self {
        Self { reader, line: Vec::new(), number: first.saturating_sub(1) }
    }

    /// The next line without its line feed, which the last one may lack, and without one CR before that: files
    /// from Windows have it, names do not.
    ///
    /// # Errors
    /// When reading fails, or the line is too long.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let bound = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2); // CR, LF
        self.reader.by_ref().take(bound).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        for end in [b'\n', b'\r'] {
            self.line.pop_if(|last| *last == end);
        }
        if self.line.len() > LINE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "longer than {LINE_BYTES_MAX} bytes; give one name a line"
            )));
        }
        Ok(Some(&self.line))
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Lines::new(bytes, 1);
        let mut all = Vec::new();
        while let Some(line) = lines.next()? {
            all.push(line.to_vec());
        }
        Ok(all)
    }

    #[test]
    fn lines_are_split_at_line_feeds_only_and_lose_one_cr() {
        assert_eq!(all(b"").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(all(b"a\n\n\xff\0").unwrap(), [&b"a"[..], b"", b"\xff\0"]);
        assert_eq!(all(b"a\n").unwrap(), [b"a"]);
        let crlf = b"a\r\nb\rc\r\r\n\r\nd\r";
        assert_eq!(all(crlf).unwrap(), [&b"a"[..], b"b\rc\r", b"", b"d"]);
    }

    #[test]
    fn a_line_has_a_bound() {
        let longest = [b'x'; LINE_BYTES_MAX];
        assert_eq!(all(&longest).unwrap(), [longest]);
        for end in [&b"\n"[..], b"\r\n"] {
            assert_eq!(all(&[&longest[..], end].concat()).unwrap(), [longest]);
            let error = all(&[&longest[..], b"x", end].concat()).unwrap_err().to_string();
            assert!(error.contains("longer than 65536 bytes"), "{error}");
        }
        assert!(all(&[b'x'; LINE_BYTES_MAX + 1]).is_err());
    }
}
