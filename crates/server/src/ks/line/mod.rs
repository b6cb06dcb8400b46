//! The one line for Nagios: text, a bar, performance data.
//!
//! Invariant: one line of at most 4 KiB with its end, whatever names stand in it.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt::Write as _};

use coco_checks::{Grade, verdict::Comparison};

use super::{
    args::{Ks, Origin},
    findings::{Finding, Findings},
};
use crate::verify::shown;

/// Longest line in bytes, without its end: Consul cuts there.
const BYTES_MAX: usize = 4095;

/// Longest text before the bar.
const TEXT_BYTES_MAX: usize = 1500;

/// Longest name in a text or label, in characters.
const NAME_CHARS_MAX: usize = 256;

/// Others of the same grade that are named.
const NAMED_MAX: usize = 3;

/// The line, without its end.
pub(super) fn line(args: &Ks, findings: &Findings) -> String {
    let mut line = cut(&escape(&format!("{}: {}", findings.grade(), text(args, findings))));
    let performance = performance(findings);
    let mut room = BYTES_MAX.saturating_sub(line.len() + " |".len());
    for (at, datum) in performance.iter().enumerate() {
        room = match room.checked_sub(datum.len() + 1) {
            Some(room) => room,
            None => break,
        };
        line.push_str(if at == 0 { " | " } else { " " });
        line.push_str(datum);
    }
    line
}

/// The line of a check that could not even begin.
pub(super) fn unknown(why: &str) -> String {
    cut(&escape(&format!("{}: {why}", Grade::Unknown)))
}

/// What is said before the bar.
fn text(args: &Ks, findings: &Findings) -> String {
    let grade = findings.grade();
    let general = findings.general.iter().filter(|(of, _)| *of == grade);
    let general: Vec<&str> = general.map(|(_, why)| why.as_str()).collect();
    let alike: Vec<&Finding> = findings.series.iter().filter(|f| f.grade == grade).collect();
    let mut text = match (&general[..], &alike[..]) {
        ([], []) => "nothing was judged".to_owned(),
        ([], [only]) => only.text.clone(),
        ([], [first, ..]) if grade == Grade::Ok => format!(
            "all {} of {}; nearest to a change: {}",
            alike.len(),
            args.what.as_str(),
            first.text
        ),
        ([], [first, others @ ..]) => format!("{}; {}", first.text, more(others)),
        ([..], _) => general.join("; "),
    };
    if let Some(restarted) = &findings.restarted
        && !text.contains(restarted.as_str())
        && !findings.series.is_empty()
    {
        let _written: std::fmt::Result = write!(text, "; {restarted}");
    }
    // A file may be of any time.
    if let (Origin::File, Some([from, to])) = (args.options.origin(), findings.judged) {
        let _written: std::fmt::Result = write!(text, "; from {} to {}", shown(from), shown(to));
    }
    text
}

fn more(others: &[&Finding]) -> String {
    let names: Vec<_> = others.iter().take(NAMED_MAX).map(|f| shorten(&f.name)).collect();
    let dots = if others.len() > NAMED_MAX { ", …" } else { "" };
    format!("{} more: {}{dots}", others.len(), names.join(", "))
}

/// `label=value` of everything, the most important first.
fn performance(findings: &Findings) -> Vec<String> {
    let mut data = Vec::new();
    let worst = findings.series.first();
    if let Some((worst, c)) = worst.and_then(|worst| Some((worst, worst.comparison()?))) {
        data.extend(of_comparison(c));
        data.push(format!("resets={}", worst.judged.resets.len()));
    }
    if findings.series.len() > 1 {
        let count = |grade| findings.series.iter().filter(|f| f.grade == grade).count();
        data.push(format!("series={}", findings.series.len()));
        data.push(format!("critical={}", count(Grade::Critical)));
        data.push(format!("warning={}", count(Grade::Warning)));
        data.push(format!("unknown={}", count(Grade::Unknown)));
        for finding in &findings.series {
            let after = finding.comparison().map(|c| figure(c.after));
            data.extend(after.map(|after| format!("{}={after}", label(&finding.name))));
        }
    }
    data
}

/// Without thresholds: no distance alone is an alarm.
fn of_comparison(c: &Comparison) -> [String; 6] {
    [
        format!("D={:.2};;;0;1", c.d),
        // Of digits and a point only, as values have to be.
        format!("p={:.6}", c.p),
        format!("before={}", figure(c.before)),
        format!("after={}", figure(c.after)),
        format!("n1={}", c.n1),
        format!("n2={}", c.n2),
    ]
}

/// A label between quotes, with nothing in it that ends it, the datum or the line.
fn label(name: &str) -> String {
    let name = escape(&shorten(name)).replace('\'', "\\x27").replace('=', "\\x3d");
    format!("'{name}'")
}

fn shorten(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS_MAX) {
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// A bar, which begins performance data, and whatever could end the line.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c != '|' && !c.is_control() && !('\u{2028}'..='\u{2029}').contains(&c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if is_plain(c) => escaped.push(c),
            c => {
                let _written: std::fmt::Result = write!(escaped, "\\x{:02x}", u32::from(c));
            }
        }
    }
    Cow::Owned(escaped)
}

/// Within the longest text before the bar.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// A rate as people read it.
pub(super) fn figure(rate: f64) -> String {
    match rate.abs() {
        0.0 => "0".to_owned(),
        small if small < 10.0 => format!("{rate:.3}"),
        _ => format!("{rate:.1}"),
    }
}

/// A probability as people read it.
pub(super) fn probability(p: f64) -> String {
    if p >= 0.001 {
        return format!("{p:.3}");
    }
    let text = format!("{p:.0e}");
    match text.split_once("e-") {
        Some((digit, exponent)) => format!("{digit}e-{exponent:0>2}"),
        None => text,
    }
}
