//! Numbers as Python's `float()` reads them, and decimal output.
//!
//! Grammar (Python 3 language reference, `float`): sign, digits with single underscores between
//! digits, `.5` and `5.`, exponent; `nan`, `inf` and `infinity` in any case. Not here: digits outside
//! ASCII, white space around the number.

/// Longest number with underscores in it, in bytes: it is copied, to be read without them.
const UNDERSCORED_BYTES_MAX: usize = 512;

/// Why a text is not a finite number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotFloat {
    /// Not a number at all.
    Syntax,
    /// NaN, infinity, or a number that overflows to infinity.
    NotFinite,
}

/// The finite number that `text` spells.
pub(crate) fn float(text: &[u8]) -> Result<f64, NotFloat> {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if [b"nan".as_slice(), b"inf", b"infinity"]
        .iter()
        .any(|word| unsigned.eq_ignore_ascii_case(word))
    {
        return Err(NotFloat::NotFinite);
    }
    if !is_number(unsigned) {
        return Err(NotFloat::Syntax);
    }
    let mut copy = [0; UNDERSCORED_BYTES_MAX];
    let digits =
        if unsigned.contains(&b'_') { without_underscores(text, &mut copy)? } else { text };
    let number: f64 = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(NotFloat::Syntax)?;
    if number.is_finite() { Ok(number) } else { Err(NotFloat::NotFinite) }
}

/// Whether `text` is a number of digits, with a sign or a point perhaps, that is finite whatever its digits: 1e300
/// is a double. Most numbers are, and need not be read to be known as good.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    const BYTES_MAX: usize = 300;
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let count = |is: fn(&u8) -> bool| unsigned.iter().filter(|byte| is(byte)).count();
    let (digits, points) = (count(u8::is_ascii_digit), count(|byte| *byte == b'.'));
    digits > 0 && points <= 1 && digits + points == unsigned.len() && text.len() <= BYTES_MAX
}

/// Appends `number` in decimal.
pub(crate) fn push_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[digits.len() - used..]);
}

/// Whether `text`, which has no sign, is a number by Python's grammar.
fn is_number(text: &[u8]) -> bool {
    let (whole, rest) = digit_part(text);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => digit_part(rest),
        None => (0, rest),
    };
    if whole + fraction == 0 {
        return false;
    }
    let Some(rest) = rest.strip_prefix(b"e").or(rest.strip_prefix(b"E")) else {
        return rest.is_empty();
    };
    let rest = rest.strip_prefix(b"-").or(rest.strip_prefix(b"+")).unwrap_or(rest);
    let (exponent, rest) = digit_part(rest);
    exponent > 0 && rest.is_empty()
}

/// Splits off digits with single underscores between them: their length, and what follows.
fn digit_part(text: &[u8]) -> (usize, &[u8]) {
    let mut len = 0;
    while let Some(byte) = text.get(len) {
        let between = *byte == b'_' && len > 0 && text.get(len + 1).is_some_and(u8::is_ascii_digit);
        if byte.is_ascii_digit() {
            len += 1;
        } else if between {
            len += 2;
        } else {
            break;
        }
    }
    (len, text.get(len..).unwrap_or_default())
}

fn without_underscores<'c>(text: &[u8], copy: &'c mut [u8]) -> Result<&'c [u8], NotFloat> {
    if text.len() > copy.len() {
        return Err(NotFloat::Syntax);
    }
    let mut len = 0;
    for (to, from) in copy.iter_mut().zip(text.iter().filter(|byte| **byte != b'_')) {
        *to = *from;
        len += 1;
    }
    Ok(copy.get(..len).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_python_reads() {
        for (text, number) in [
            ("1", 1.0),
            ("-1", -1.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_000.5", 1000.5),
            ("1_0.0_1e1_0", 10.01e10),
            ("1E3", 1e3),
            ("5.e-1", 0.5),
            ("007", 7.0),
            ("1e-400", 0.0),
        ] {
            assert_eq!(float(text.as_bytes()), Ok(number), "{text}");
        }
        let bad = "|+|-|.|e5|1e|1e+|_1|1_|1__0|1_.5|1._5|1e_5|0x10|1 |--1|1f|in|nan(1)|1,5|\u{661}";
        for text in bad.split('|') {
            assert_eq!(float(text.as_bytes()), Err(NotFloat::Syntax), "{text}");
        }
        for text in ["nan", "-NaN", "inf", "+Inf", "Infinity", "-INFINITY", "1e400", "-1_0e4_00"] {
            assert_eq!(float(text.as_bytes()), Err(NotFloat::NotFinite), "{text}");
        }
        let long = [b'1', b'_'].repeat(300);
        assert_eq!(float(&[&long[..], b"1"].concat()), Err(NotFloat::Syntax));
    }

    #[test]
    fn what_is_plain_is_a_number() {
        for text in ["1", "-1.5", "+.5", "5.", "007"] {
            assert!(is_plain(text.as_bytes()) && float(text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["", ".", "-", "1.2.3", "1e5", "1_0", "--1", "1 "] {
            assert!(!is_plain(text.as_bytes()), "{text}");
        }
        assert!(!is_plain(&[b'1'; 400]));
    }

    #[test]
    fn writes_decimals() {
        for number in [0, 7, 10, 1_700_000_000, u64::MAX] {
            let mut out = b"x".to_vec();
            push_decimal(number, &mut out);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }
}
