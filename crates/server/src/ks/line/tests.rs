//! What the line says, and that it stays one.

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
    let known =
        |count: u32| Data { known: (0..count).map(|k| format!("t:{k}")).collect(), ..data(vec![]) };
    assert_eq!(unknown("--target t", known(1)), "no numbers of send for t; the targets are t:0");
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
fn what_swings_is_good_but_not_steady() {
    // The halves reach into each other: by so much, what follows itself so closely may swing.
    let mut swinging = slope(1_000.0, 800.0);
    let rates = &mut swinging.rates.rates;
    (rates[29].value, rates[30].value) = (rates[30].value, rates[29].value);
    let found = said("", data(vec![swinging]));
    let begin = "OK: send a shows no change that could be told from its own swings (D=0.97 p=";
    assert!(found.starts_with(begin), "{found}");
}

#[test]
fn a_trend_that_grows_is_not_confirmed_for_want_of_rates() {
    // By now it is large enough for a warning, and it was not quite so one interval before.
    let rate = |k: i32| Rate { time: f64::from(k * 10), value: f64::from(115 - k) };
    let rates = Rates { rates: (-9..=60).map(rate).collect(), ..Rates::default() };
    let series = Series { name: "a".to_owned(), rates, ..Series::default() };
    let found = said("--confirm 3", data(vec![series]));
    let begin =
        "UNKNOWN: send a fell 30%, and what was just before cannot confirm it: a trend (D=1.00";
    assert!(found.starts_with(begin), "{found}");
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
    let json = crate::ks::json::object(&args, &Findings::of(&args, data(vec![risen])));
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
        ..Series::default()
    };
    let found = said("", Data { started: Some(570.0), ..data(vec![silent]) });
    let wanted = "CRITICAL: send a is silent: nothing is sent of what is due; restarted 30s ago";
    assert_eq!(found, wanted);
    let lost = Data { residual: vec![Some(2.0), Some(2.0)], ..data(vec![series("a", 1, 1.0)]) };
    assert!(said("", lost).starts_with("CRITICAL: ledger residual is 2: Coco lost count |"));
    let errors = Ks { what: What::Errors, ..args("") };
    let found = line(&errors, &Findings::of(&errors, data(vec![series("send.write", 58, 1.0)])));
    assert!(
        found.starts_with("CRITICAL: errors send.write last, 201.2/s in the mean of 30s"),
        "{found}"
    );
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
    for (p, text) in [(1.0, "1.000"), (0.0123, "0.012"), (2.34e-9, "2e-09"), (1e-300, "1e-300")] {
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
