//! One series judged over its newest windows.
//!
//! Confirmation needs no memory of former runs: the windows that those would have seen are in the same
//! data. A change must show in each of several windows, each ending one step before the next.

use crate::{
    grade::Grade,
    rates::Rates,
    split,
    verdict::{Comparison, Rule, TooFew},
};

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Unix time of its end in seconds.
    pub end: f64,
    /// Seconds from its beginning to its end.
    pub length: f64,
    /// Seconds by which the windows that confirm lie apart.
    pub step: f64,
}

/// What a series came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The verdict; [`Grade::Unknown`] where rates are missing.
    pub grade: Grade,
    /// The newest window.
    pub newest: Result<Comparison, TooFew>,
    /// A window before it, which was to confirm it, has too few rates.
    pub too_few_before: bool,
    /// Times in the newest window at which the counter had begun anew.
    pub resets: Vec<f64>,
}

/// Judges the newest window, and as many before it as the rule asks for.
#[must_use]
pub fn judge(rates: &Rates, window: Window, rule: &Rule) -> Judged {
    let start = window.end - window.length;
    let resets = rates.resets.iter().copied().filter(|reset| *reset > start).collect();
    let compare = |end: f64| Comparison::of(&split::split(&rates.rates, end, window.length));
    let newest = compare(window.end);
    let grade_of = |comparison: &Result<Comparison, TooFew>| match comparison {
        Ok(comparison) => comparison.grade(rule),
        Err(_) => Grade::Unknown,
    };
    let (mut grade, mut end, mut too_few_before) = (grade_of(&newest), window.end, false);
    for _ in 1..rule.confirm {
        if grade <= Grade::Unknown {
            break;
        }
        end -= window.step;
        let earlier = compare(end);
        too_few_before |= earlier.is_err();
        grade = grade.min(grade_of(&earlier));
    }
    Judged { grade, newest, too_few_before, resets }
}

/// Judges what is after a moment by what was before it, each as long as the window at most. Nothing
/// confirms it: the moment stays where it is.
#[must_use]
pub fn judge_around(rates: &Rates, moment: f64, window: Window, rule: &Rule) -> Judged {
    let start = moment - window.length;
    let resets = rates.resets.iter().copied().filter(|reset| *reset > start).collect();
    let halves = split::around(&rates.rates, moment, window.end, window.length);
    let newest = Comparison::of(&halves);
    let grade = newest.as_ref().map_or(Grade::Unknown, |comparison| comparison.grade(rule));
    Judged { grade, newest, too_few_before: false, resets }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::Rate;

    const WINDOW: Window = Window { end: 600.0, length: 600.0, step: 10.0 };

    fn rule(confirm: usize) -> Rule {
        let (alpha, min_change) = (0.001, 0.1);
        Rule { alpha, tested: 1, min_change, min_shift: 0.0, only_rise: false, confirm }
    }

    /// A rate each 10 s from `start` to 600 s; half as much from `step` on.
    fn step_at(start: u32, step: u32) -> Rates {
        let rate = |k: u32| {
            let noise = f64::from((k * 7) % 11);
            let value = (if k * 10 >= step { 50.0 } else { 100.0 }) + noise / 10.0;
            Rate { time: f64::from(k * 10), value }
        };
        Rates { rates: (start / 10..=60).map(rate).collect(), ..Rates::default() }
    }

    #[test]
    fn a_change_is_confirmed_by_the_windows_before() {
        // Far back, each window shows it; just now, the newest one shows it first.
        let first = (0..60)
            .rev()
            .map(|k| k * 10)
            .find(|step| judge(&step_at(0, *step), WINDOW, &rule(1)).grade == Grade::Critical);
        let rates = |earlier: u32| step_at(0, first.unwrap() - earlier);
        assert_eq!(judge(&rates(0), WINDOW, &rule(3)).grade, Grade::Warning);
        let long_ago = Rates {
            rates: (0..60)
                .map(|k| Rate { time: f64::from(k * 10) - 590.0, value: 100.0 })
                .chain(rates(60).rates)
                .collect(),
            ..Rates::default()
        };
        assert_eq!(judge(&long_ago, WINDOW, &rule(3)).grade, Grade::Critical);
    }

    #[test]
    fn a_moment_has_its_own_halves() {
        let grade = |moment: f64| judge_around(&step_at(0, 300), moment, WINDOW, &rule(1)).grade;
        assert_eq!(grade(299.0), Grade::Critical);
        assert_eq!(grade(100.0), Grade::Unknown);
        assert_eq!(grade(450.0), Grade::Unknown);
        let steady = judge_around(&step_at(0, 9_999), 299.0, WINDOW, &rule(1));
        assert_eq!((steady.grade, steady.newest.unwrap().n1), (Grade::Ok, 30));
    }

    #[test]
    fn what_cannot_be_confirmed_is_unknown_and_what_is_good_needs_no_confirmation() {
        // The middle of the third window lies at 280 s: 20 rates from 90 s on.
        assert_eq!(judge(&step_at(90, 300), WINDOW, &rule(3)).grade, Grade::Critical);
        let shorter = step_at(100, 300);
        assert_eq!(judge(&shorter, WINDOW, &rule(1)).grade, Grade::Critical);
        assert_eq!(judge(&shorter, WINDOW, &rule(3)).grade, Grade::Unknown);
        assert_eq!(judge(&step_at(100, 9_999), WINDOW, &rule(3)).grade, Grade::Ok);
    }

    #[test]
    fn missing_rates_are_unknown_and_resets_are_told() {
        let mut short = step_at(400, 9_999);
        short.resets = vec![-1.0, 390.0];
        let judged = judge(&short, WINDOW, &rule(1));
        assert_eq!(judged.grade, Grade::Unknown);
        assert_eq!(judged.newest, Err(TooFew { n1: 0, n2: 21 }));
        assert_eq!(judged.resets, [390.0]);
    }
}
