//! The text forms of pickle protocol 0: escaped strings and decimal numbers.
//!
//! Output is never longer than twice the input.

/// Undoes the escapes of an `S` opcode: a Python 2 string literal with its quotes. `None` if the
/// quotes do not match.
pub(super) fn push_string(literal: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let literal = literal.trim_ascii();
    let (quote, rest) = literal.split_first()?;
    let (end, mut rest) = rest.split_last()?;
    if !matches!(quote, b'\'' | b'"') || quote != end {
        return None;
    }
    while let Some((byte, after)) = rest.split_first() {
        rest = if *byte == b'\\' {
            push_escape(after, out)?
        } else {
            out.push(*byte);
            after
        };
    }
    Some(())
}

/// Undoes one escape of a string literal, the backslash being gone; returns what follows it.
fn push_escape<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (escape, after) = rest.split_first()?;
    let byte = match escape {
        b'\\' | b'\'' | b'"' => *escape,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'v' => 11,
        b'f' => 12,
        b'x' => {
            let (digits, after) = after.split_at_checked(2)?;
            out.push(u8::try_from(radix(digits, 16)?).ok()?);
            return Some(after);
        }
        b'0'..=b'7' => {
            let len = rest.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            let (digits, after) = rest.split_at_checked(len)?;
            // Python keeps the low 8 bits of an octal escape.
            let [.., low] = radix(digits, 8)?.to_be_bytes();
            out.push(low);
            return Some(after);
        }
        _ => {
            // Not an escape: Python keeps the backslash.
            out.push(b'\\');
            *escape
        }
    };
    out.push(byte);
    Some(after)
}

/// Undoes the escapes of a `V` opcode into UTF-8: `\uXXXX`, `\UXXXXXXXX`, all other bytes Latin-1. A
/// lone surrogate comes out as bytes that are not UTF-8. `None` on a bad escape.
pub(super) fn push_unicode(mut rest: &[u8], out: &mut Vec<u8>) -> Option<()> {
    while let Some((byte, after)) = rest.split_first() {
        let len = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                push_char(u32::from(*byte), out)?;
                rest = after;
                continue;
            }
        };
        let (digits, after) = after.get(1..)?.split_at_checked(len)?;
        push_char(radix(digits, 16)?, out)?;
        rest = after;
    }
    Some(())
}

fn push_char(code: u32, out: &mut Vec<u8>) -> Option<()> {
    if (0xd800..0xe000).contains(&code) {
        out.push(0xff);
        return Some(());
    }
    let mut utf8 = [0; 4];
    out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut utf8).as_bytes());
    Some(())
}

/// Digits only: no sign, no blank.
fn radix(digits: &[u8], radix: u32) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(literal: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        push_string(literal.as_bytes(), &mut out).map(|()| out)
    }

    fn unicode(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        push_unicode(text, &mut out).map(|()| out)
    }

    #[test]
    fn strings_lose_quotes_and_escapes() {
        assert_eq!(string("'a.b'").unwrap(), b"a.b");
        assert_eq!(string(r#""it's""#).unwrap(), b"it's");
        assert_eq!(
            string(r"'\\ \' \n\t\r \xe9\x00 \101\7 \q'").unwrap(),
            b"\\ ' \n\t\r \xe9\0 A\x07 \\q"
        );
        for bad in ["", "'", "a", "'a", "'a\"", r"'\'", r"'\x1'", r"'\xzz'"] {
            assert_eq!(string(bad), None, "{bad}");
        }
    }

    #[test]
    fn unicode_comes_out_as_utf8() {
        assert_eq!(unicode(b"a\\u00e9\\U0001f600\xe9\\n").unwrap(), "aé😀é\\n".as_bytes());
        assert_eq!(unicode(b"\\ud800").unwrap(), b"\xff");
        for bad in [b"\\u12".as_slice(), b"\\u+123", b"\\U00110000"] {
            assert_eq!(unicode(bad), None);
        }
    }
}
