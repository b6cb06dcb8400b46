//! The one line for Nagios: text, a bar, performance data.
//!
//! Invariant: one line of at most 4 KiB with its end, whatever names stand in it.

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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use coco_checks::rates::{Rate, Rates};
    use proptest::prelude::*;

    use super::*;
    use crate::ks::{
        args::{Old, What},
        source::{Data, Series},
    };

    fn args(line: &str) -> Ks {
        let options = Old::try_parse_from(format!("x {line}").trim().split(' ')).unwrap().options;
        Ks { what: What::Send, options }
    }

    /// Sixty rates 10 s apart, from `start` on; the second half is `after` times the first one.
    fn series(name: &str, start: u32, after: f64) -> Series {
        let rate = |k: u32| {
            let level = if k > 30 { 200.0 * after } else { 200.0 };
            Rate { time: f64::from(k * 10), value: level * (1.0 + f64::from((k * 7) % 11) / 1e3) }
        };
        let rates = Rates { rates: (start..=60).map(rate).collect(), ..Rates::default() };
        Series { name: name.to_owned(), rates, ..Series::default() }
    }

    fn data(series: Vec<Series>) -> Data {
        Data { interval: 10.0, newest: 600.0, series, ..Data::default() }
    }

    fn said(line_args: &str, data: Data) -> String {
        let args = args(line_args);
        line(&args, &Findings::of(&args, data))
    }

    #[test]
    fn a_change_is_told_in_one_line() {
        assert_eq!(
            said("", data(vec![series("10.0.0.1:25826", 1, 0.52)])),
            "CRITICAL: send 10.0.0.1:25826 fell 48% (D=1.00 p=2e-17 n=30+30) | \
             D=1.00;;;0;1 p=0.000000 before=201.0 after=104.5 n1=30 n2=30 resets=0"
        );
        assert_eq!(
            said("", data(vec![series("a", 1, 1.0)])),
            "OK: send a steady (D=0.03 p=1.000 n=30+30) | \
             D=0.03;;;0;1 p=1.000000 before=201.0 after=201.0 n1=30 n2=30 resets=0"
        );
        let many = data(vec![series("a", 1, 1.0), series("b=|'c'\n", 1, 2.0)]);
        assert_eq!(
            said("", many),
            "CRITICAL: send b=\\x7c'c'\\n rose 100% (D=1.00 p=2e-17 n=30+30) | \
             D=1.00;;;0;1 p=0.000000 before=201.0 after=402.0 n1=30 n2=30 resets=0 \
             series=2 critical=1 warning=0 unknown=0 'b\\x3d\\x7c\\x27c\\x27\\n'=402.0 'a'=201.0"
        );
    }

    #[test]
    fn what_cannot_be_judged_says_why() {
        let unknown = |line: &str, data: Data| {
            let said = said(line, data);
            said.strip_prefix("UNKNOWN: ").unwrap_or_else(|| panic!("{said}")).to_owned()
        };
        let short = || series("a", 40, 1.0);
        assert_eq!(
            unknown("", data(vec![short()])),
            "send a: too little history: 0+21 rates, 20+20 are needed"
        );
        assert_eq!(
            unknown("", Data { started: Some(400.0), now: Some(605.0), ..data(vec![short()]) }),
            "send a: restarted 3m25s ago: 0+21 rates, 20+20 are needed"
        );
        assert_eq!(
            unknown("--window 2m", data(vec![short()])),
            "send a: --window 2m is too short: at an interval of 10s it takes 6m40s"
        );
        assert_eq!(unknown("", data(vec![])), "no numbers of send");
        assert_eq!(unknown("--target t", data(vec![])), "no numbers of send for t");
        let known = |count: u32| Data {
            known: (0..count).map(|k| format!("t:{k}")).collect(),
            ..data(vec![])
        };
        assert_eq!(
            unknown("--target t", known(1)),
            "no numbers of send for t; the targets are t:0"
        );
        assert_eq!(
            unknown("--target t", known(7)),
            "no numbers of send for t; the targets are t:0, t:1, t:2, t:3, t:4, and 2 more"
        );
        let stale = Data { now: Some(900.0), ..data(vec![series("a", 1, 1.0)]) };
        assert_eq!(unknown("", stale), "the newest number is 5m old");
        let left_out = Data { left_out: 2, ..data(vec![series("a", 1, 1.0)]) };
        assert!(unknown("", left_out).starts_with("2 series have no place in the history"));
        let levels_only = Data { levels_only: true, ..data(vec![short()]) };
        assert!(unknown("", levels_only).starts_with("only levels were looked at"));
        assert_eq!(
            unknown("--confirm 9", data(vec![series("a", 9, 0.5)])),
            "send a fell 50%, and there is too little before to confirm it (D=1.00 p=7e-15 n=22+30) | \
             D=1.00;;;0;1 p=0.000000 before=201.0 after=100.5 n1=22 n2=30 resets=0"
        );
    }

    /// Sixty rates in a straight line from one level to another.
    fn slope(from: f64, to: f64) -> Series {
        let value = |k: u32| from + (to - from) * f64::from(k) / 60.0;
        let rate = |k: u32| Rate { time: f64::from(k * 10), value: value(k) };
        let rates = Rates { rates: (1..=60).map(rate).collect(), ..Rates::default() };
        Series { name: "a".to_owned(), rates, ..Series::default() }
    }

    #[test]
    fn a_trend_that_cannot_be_judged_is_not_steady() {
        for (from, to, begin) in [
            (
                1_000.0,
                0.0,
                "WARNING: send a fell 67%, as in a trend, with too few independent readings for an \
                 alarm (D=1.00 p=0.333 n=30+30) |",
            ),
            (
                1_000.0,
                800.0,
                "UNKNOWN: send a: too few independent readings to judge: fell 11%, as in a trend \
                 (D=1.00 p=0.333 n=30+30) |",
            ),
            (1_000.0, 900.0, "OK: send a steady (D=1.00 "),
        ] {
            let found = said("", data(vec![slope(from, to)]));
            assert!(found.starts_with(begin), "{found}");
        }
    }

    #[test]
    fn a_file_tells_of_which_time_it_is() {
        let mut old = data(vec![series("a", 1, 1.0)]);
        old.series[0].rates.rates.iter_mut().for_each(|rate| rate.time += 1e9);
        old.newest += 1e9;
        assert!(!said("", data(vec![series("a", 1, 1.0)])).contains("from"));
        let found = said("--file f", old);
        assert!(
            found.contains("n=30+30); from 2001-09-09T01:46:40Z to 2001-09-09T01:56:40Z |"),
            "{found}"
        );
    }

    #[test]
    fn a_rise_from_nothing_has_a_word() {
        let mut risen = series("a", 1, 1.0);
        risen.rates.rates.iter_mut().take(30).for_each(|rate| rate.value = 0.0);
        let args = args("--json");
        let json = super::super::json::object(&args, &Findings::of(&args, data(vec![risen])));
        let comparison = &json["series"][0]["comparison"];
        assert!(comparison["change"].is_null(), "{comparison}");
        assert_eq!(comparison["moved"], "rose from 0 to 201.0/s");
    }

    #[test]
    fn levels_are_told_also_where_halves_cannot_be_compared() {
        let silent = Series {
            rates: Rates {
                rates: (58..=60).map(|k| Rate { time: f64::from(k * 10), value: 0.0 }).collect(),
                ..Rates::default()
            },
            due: Some(series("", 1, 1.0).rates),
            name: "a".to_owned(),
            closed_since: None,
        };
        let found = said("", Data { started: Some(570.0), ..data(vec![silent]) });
        let wanted =
            "CRITICAL: send a is silent: nothing is sent of what is due; restarted 30s ago";
        assert_eq!(found, wanted);
        let lost = Data { residual: vec![Some(2.0), Some(2.0)], ..data(vec![series("a", 1, 1.0)]) };
        assert!(said("", lost).starts_with("CRITICAL: ledger residual is 2: Coco lost count |"));
        let errors = Ks { what: What::Errors, ..args("") };
        let found =
            line(&errors, &Findings::of(&errors, data(vec![series("send.write", 58, 1.0)])));
        assert!(found.starts_with("CRITICAL: errors send.write last, 201.2/s now"), "{found}");
    }

    #[test]
    fn a_restart_in_the_window_is_told_also_when_all_is_well() {
        let mut restarted = series("a", 1, 1.0);
        restarted.rates.resets = vec![120.0];
        let found = said("", data(vec![restarted]));
        assert!(
            found.starts_with("OK: send a steady (D=0.03 p=1.000 n=30+30); restarted 8m ago |"),
            "{found}"
        );
        assert!(found.ends_with(" resets=1"), "{found}");
    }

    #[test]
    fn probabilities_are_short() {
        for (p, text) in [(1.0, "1.000"), (0.0123, "0.012"), (2.34e-9, "2e-09"), (1e-300, "1e-300")]
        {
            assert_eq!(probability(p), text);
        }
        assert_eq!(probability(0.0), "0e0");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_one_line_of_4_kib_with_one_bar(
            names in prop::collection::vec("\\PC{0,40}|[|='\n\r\\x00\\x1b\u{2028}a]{0,900}", 1..60),
            after in 0.0_f64..3.0,
        ) {
            let all = names.iter().map(|name| series(name, 1, after)).collect();
            let found = said("", data(all));
            prop_assert!(found.len() <= BYTES_MAX, "{}", found.len());
            prop_assert!(!found.chars().any(char::is_control), "{found:?}");
            prop_assert_eq!(found.matches('|').count(), 1, "{}", found);
            let (_, performance) = found.split_once(" | ").unwrap();
            // Outside quotes, each word is `label=value;warn;crit;min;max` of digits.
            let unquoted: String = performance.split('\'').step_by(2).collect();
            prop_assert_eq!(performance.matches('\'').count() % 2, 0);
            for word in unquoted.split_whitespace() {
                let (_, values) = word.split_once('=').unwrap();
                let is_value = |c: char| c.is_ascii_digit() || ".-;".contains(c);
                prop_assert!(!values.is_empty() && values.chars().all(is_value), "{}", performance);
            }
        }
    }
}
