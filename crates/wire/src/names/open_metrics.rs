//! Names as OpenMetrics spells them: `name{tag="value",tag="value"}`.
//!
//! Source of the rules: the expression in carbon 1.1.10's `TaggedSeries.parse_openmetrics`. Not here:
//! which tags and values are good, and their order.

/// Whether carbon reads `name` by these rules.
#[inline]
pub(super) fn is_open_metrics(name: &[u8]) -> bool {
    name.ends_with(b"\"}") && memchr::memchr(b'{', name).is_some()
}

/// Appends `name` spelled `name;tag=value;tag=value` to `out`, and returns the length of what stands
/// before the tags. `None` if carbon would find a fault, and then `out` may have a part.
pub(super) fn respell(name: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let text = name.strip_suffix(b"}")?;
    let brace = memchr::memchr(b'{', text)?;
    let (metric, mut tags) = (text.get(..brace)?, text.get(brace + 1..)?);
    // Carbon takes a `;` neither in a tag nor in a value.
    if memchr::memchr2(b'{', b';', tags).is_some() {
        return None;
    }
    out.extend_from_slice(metric);
    while !tags.is_empty() {
        tags = respell_tag(tags, out)?;
    }
    Some(metric.len())
}

/// Appends the first tag of `tags`, and returns what follows it and its comma.
fn respell_tag<'a>(tags: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let equals = memchr::memchr(b'=', tags)?;
    out.push(b';');
    out.extend_from_slice(tags.get(..=equals)?);
    let mut value = tags.get(equals + 1..)?.strip_prefix(b"\"")?.iter();
    loop {
        match value.next()? {
            b'"' => break,
            b'\\' => out.push(*value.next().filter(|byte| matches!(byte, b'"' | b'\\'))?),
            byte => out.push(*byte),
        }
    }
    let rest = value.as_slice();
    if rest.is_empty() {
        return Some(rest);
    }
    // Carbon's expression has `(:?,|$)`, and so takes a colon before a comma.
    rest.strip_prefix(b":").unwrap_or(rest).strip_prefix(b",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn respells_what_carbon_reads() {
        for (name, wanted) in [
            (r#"a{b="c"}"#, Some("a;b=c")),
            (r#"a{z="c",b="d"}"#, Some("a;z=c;b=d")),
            (r#"a{b="c":,d="e"}"#, Some("a;b=c;d=e")),
            (r#"a{b="c",,d="e"}"#, Some("a;b=c;,d=e")),
            (r#"a{b="\"\\}"}"#, Some(r#"a;b="\}"#)),
            (r#"a;x{b="c"}"#, Some("a;x;b=c")),
            (r#"a{b="="}"#, Some("a;b==")),
            (r#"a{b="c":}"#, None),
            (r#"a{b="c"d="e"}"#, None),
            (r#"a{b="\c"}"#, None),
            (r#"a{b="c\"}"#, None),
            (r#"a{b=c"}"#, None),
            (r#"a{b"}"#, None),
            (r#"a{"}"#, None),
            (r#"a{b="{"}"#, None),
            (r#"a{b=";"}"#, None),
        ] {
            let mut out = Vec::new();
            assert!(name == r#"a{b="c":}"# || is_open_metrics(name.as_bytes()), "{name}");
            let metric = respell(name.as_bytes(), &mut out);
            assert_eq!(metric.map(|_| std::str::from_utf8(&out).unwrap()), wanted, "{name}");
            assert_eq!(metric.is_some_and(|len| out[..len].starts_with(b"a")), wanted.is_some());
        }
    }
}
