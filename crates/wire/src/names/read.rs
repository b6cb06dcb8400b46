//! Lines that other relays take and [`crate::line::parse`] does not: their three fields.
//!
//! Invariant: a line that is taken has no LF, and the fields do not overlap. Not here: what a number
//! is, which is [`crate::line`]'s, and what becomes of the name.

use std::ops::Range;

use crate::line::{Line, of_fields};

/// Three fields with spaces and tabs between them, as carbon-relay-ng and nanotube read a line.
pub(super) fn blank_separated(line: &[u8]) -> Option<Line<'_>> {
    let text = text(line)?;
    of_bytes(text, 0)
}

/// As carbon-relay.py: UTF-8, with anything between the fields that Python's `str.split()` splits at.
pub(super) fn as_python(line: &[u8]) -> Option<Line<'_>> {
    let text = text(line)?;
    let decoded = std::str::from_utf8(text).ok()?;
    let blanks = decoded.char_indices().map(|(at, char)| (at, is_python_space(char)));
    of_fields(text, three_fields(blanks, text.len())?).ok()
}

/// As carbon-c-relay: spaces, tabs and dots are skipped at the start. A CR would end the line.
pub(super) fn as_c_relay(line: &[u8]) -> Option<Line<'_>> {
    let text = text(line)?;
    if memchr::memchr(b'\r', text).is_some() {
        return None;
    }
    of_bytes(text, text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'.')).count())
}

/// The line without its CR; `None` if it is more than one line.
fn text(line: &[u8]) -> Option<&[u8]> {
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    memchr::memchr(b'\n', text).is_none().then_some(text)
}

/// A line with spaces and tabs between its fields, the first of which begins at `from` or later.
fn of_bytes(text: &[u8], from: usize) -> Option<Line<'_>> {
    let blanks = text.iter().map(|byte| matches!(byte, b' ' | b'\t')).enumerate().skip(from);
    of_fields(text, three_fields(blanks, text.len())?).ok()
}

/// The places of exactly three fields, from where each character begins and whether it is a blank.
fn three_fields(
    blanks: impl Iterator<Item = (usize, bool)>,
    end: usize,
) -> Option<[Range<usize>; 3]> {
    let mut fields = [const { 0..0 }; 3];
    let mut free = fields.iter_mut();
    let mut open = None;
    for (at, blank) in blanks.chain([(end, true)]) {
        match (open, blank) {
            (None, false) => open = Some(at),
            (Some(start), true) => {
                *free.next()? = start..at;
                open = None;
            }
            _ => {}
        }
    }
    free.next().is_none().then_some(fields)
}

/// What `str.isspace()` holds for white space: beside Unicode's, the four separators of ASCII.
fn is_python_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use crate::line::Timestamp;
    use crate::names::{Allowed, Names};

    /// The name of the line as each reads it: as bytes, carbon, carbon-c-relay.
    fn names(line: &[u8]) -> [Option<&[u8]>; 3] {
        assert_eq!(Names::Sorted.parse(line), None);
        assert_eq!(Names::AsIs.parse(line), Names::Nanotube.parse(line));
        let carbon = |normalize_tags| Names::Carbon { normalize_tags }.parse(line);
        assert_eq!(carbon(false), carbon(true));
        let parsed =
            [Names::AsIs.parse(line), carbon(false), Names::CRelay(Allowed::default()).parse(line)];
        parsed.map(|parsed| parsed.map(|parsed| parsed.name))
    }

    #[test]
    fn each_relay_has_its_own_blanks() {
        let a = Some(&b"a"[..]);
        for (line, wanted) in [
            ("a 1 2", [a; 3]),
            ("\ta \t1\t 2 \r", [a; 3]),
            ("a\u{1c}1\u{3000}2\u{85}", [None, a, None]),
            ("a\u{a0} 1 2", [Some("a\u{a0}".as_bytes()), a, Some("a\u{a0}".as_bytes())]),
            ("a\0 1 2", [Some(b"a\0"); 3]),
            ("a\r 1 2", [Some(b"a\r"), a, None]),
            (".a 1 2", [Some(b".a"), Some(b".a"), a]),
            (".\t.a 1 2", [None, None, a]),
            ("... 1 2", [Some(b"..."), Some(b"..."), None]),
            ("a 1 2\r\r", [None, a, None]),
            ("a 1", [None; 3]),
            ("a 1 2 3", [None; 3]),
            ("a b 2", [None; 3]),
            ("a nan 2", [None; 3]),
            ("a 1 inf", [None; 3]),
            ("a 1 2\n", [None; 3]),
            ("a\n1 2", [None; 3]),
            ("", [None; 3]),
            (" \r", [None; 3]),
        ] {
            assert_eq!(names(line.as_bytes()), wanted, "{line:?}");
        }
        assert_eq!(names(b"\xff 1 2"), [Some(&b"\xff"[..]), None, Some(b"\xff")]);
    }

    #[test]
    fn python_space_is_what_python_says() {
        // python3 -c 'print([hex(c) for c in range(0x110000) if chr(c).isspace()])', without LF.
        let spaces = "\t\u{b}\u{c}\r\u{1c}\u{1d}\u{1e}\u{1f} \u{85}\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\
                      \u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
        for char in (0..=char::MAX.into()).filter_map(char::from_u32) {
            let wanted = spaces.contains(char) || char == '\n';
            assert_eq!(super::is_python_space(char), wanted, "{char:?}");
        }
    }

    #[test]
    fn a_line_keeps_the_clients_bytes() {
        let line = b". a\x01;b\t1  N \r";
        let parsed = Names::CRelay(Allowed::default()).parse(line).unwrap();
        assert_eq!((parsed.text, parsed.value), (&line[..line.len() - 1], &b"1"[..]));
        assert_eq!(parsed.time, Timestamp::Now { at: 10, len: 1 });
        let mut out = Vec::new();
        parsed.append_to(7, &mut out);
        assert_eq!(out, b". a\x01;b\t1  7 ");
    }
}
