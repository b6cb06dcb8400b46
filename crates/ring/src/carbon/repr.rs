//! A text as Python's `repr` prints it.
//!
//! Invariant: exact for ASCII and for every character of Unicode 14, which is that of Python 3.11. A code point that is
//! no character there is printed as it is, though Python escapes it: which ones these are changes with its version.

/// The text in quotes, with what cannot be printed escaped.
pub(super) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ if c == quote || c == '\\' => out.extend(['\\', c]),
            _ if is_printable(c) => out.push(c),
            _ => out += &escape(c),
        }
    }
    out.push(quote);
    out
}

fn escape(c: char) -> String {
    let code = u32::from(c);
    match code {
        ..0x100 => format!("\\x{code:02x}"),
        0x100..0x1_0000 => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

/// Neither a control or format character, nor a space or separator other than U+0020, nor for private use.
fn is_printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace() || is_format(c) || is_private(c))
}

/// The general category Cf of Unicode 14.
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{13438}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}'
    )
}

/// The general category Co.
fn is_private(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{ffffd}' | '\u{100000}'..='\u{10fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as Python 3.11 prints it.
    #[test]
    fn texts_are_quoted_and_escaped_as_python_does() {
        for (text, want) in [
            ("", "''"),
            ("10.0.0.1", "'10.0.0.1'"),
            ("o'brien", "\"o'brien\""),
            ("tab\"q", "'tab\"q'"),
            ("a'b\"c", "'a\\'b\"c'"),
            ("a\\b", "'a\\\\b'"),
            ("\t\n\r\0\u{1f}\u{7f}", "'\\t\\n\\r\\x00\\x1f\\x7f'"),
            ("caf\u{e9} \u{65e5}\u{1f600}\u{e0100}", "'caf\u{e9} \u{65e5}\u{1f600}\u{e0100}'"),
            ("\u{85}\u{a0}\u{ad}", "'\\x85\\xa0\\xad'"),
            ("\u{600}\u{2028}\u{3000}\u{feff}", "'\\u0600\\u2028\\u3000\\ufeff'"),
            ("\u{e000}\u{e0001}\u{10fffd}", "'\\ue000\\U000e0001\\U0010fffd'"),
        ] {
            assert_eq!(repr(text), want);
        }
    }
}
