//! What all series came to together.

mod finding;

use std::cmp::Ordering;

use coco_checks::{Grade, judge::Window, levels, split::Halves, verdict::Rule};

pub(crate) use self::finding::Finding;
pub(super) use self::finding::moved;
use self::finding::{Context, is_silent, silence};
use super::{
    args::{Ks, What},
    line::{figure, probability},
    source::Data,
    span,
};

/// Errors must rise by so much a second to be worth an alarm.
const ERRORS_MIN_SHIFT: f64 = 0.1;

/// What is fresh may be older than three intervals by so many seconds.
const LATENESS: f64 = 2.0;

/// All that is to be said.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What concerns all series.
    pub(crate) general: Vec<(Grade, String)>,
    /// The series, the worst first.
    pub(crate) series: Vec<Finding>,
    /// Names of series that are not there any more.
    pub(crate) gone: Vec<String>,
    /// The process began anew in the window, so long ago.
    pub(crate) restarted: Option<String>,
    /// The rule, when there was something to judge.
    pub(super) rule: Option<Rule>,
    /// Where the numbers are from.
    pub(super) from: String,
    /// Seconds between two readings.
    pub(super) interval: f64,
    /// Seconds that were looked back, when there was something to judge.
    pub(super) window: f64,
    /// From when to when that was, in Unix time.
    pub(super) judged: Option<[f64; 2]>,
}

/// What is compared with what, and beside how many others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scope {
    /// Before and after this Unix time, if not both halves of the window.
    pub(crate) moment: Option<f64>,
    /// So many series are tested in one run.
    pub(crate) tested: usize,
}

impl Findings {
    /// Nothing could be judged, for this reason.
    pub(super) fn unknown(why: String) -> Self {
        Self { general: vec![(Grade::Unknown, why)], ..Self::default() }
    }

    /// Judges everything.
    pub(super) fn of(args: &Ks, data: Data) -> Self {
        let tested = data.series.len();
        Self::within(args, data, Scope { moment: None, tested })
    }

    /// Judges everything in a scope.
    pub(crate) fn within(args: &Ks, data: Data, scope: Scope) -> Self {
        let options = &args.options;
        if let Some(age) = too_old(&data) {
            let old = Self::unknown(format!("the newest number is {} old", span(age)));
            return Self { from: data.from, interval: data.interval, ..old };
        }
        let rule = rule(args, scope.tested);
        // What cannot be there is not waited for: a router that measures often keeps less than an hour.
        let length = options.window.0.as_secs_f64().min(data.kept.unwrap_or(f64::MAX));
        let window = Window { end: data.newest, length, step: data.interval };
        let judged = Some([data.newest - length, data.newest]);
        let mut findings = Self { rule: Some(rule), window: length, judged, ..Self::default() };
        let now = data.now.unwrap_or(data.newest);
        let resets = data.series.iter().filter_map(|series| series.rates.resets.last().copied());
        let restart = resets.chain(data.started).fold(f64::NEG_INFINITY, f64::max);
        findings.restarted = (now - restart < length)
            .then(|| format!("restarted {} ago", span((now - restart).max(0.0))));
        findings.general.extend(trouble(args, &data, scope.moment));
        let restarted = &findings.restarted;
        let context = Context { args, data: &data, rule, window, moment: scope.moment, restarted };
        findings.series = data.series.iter().map(|series| context.finding(series)).collect();
        findings.series.sort_by(worst_first);
        Self { from: data.from, interval: data.interval, gone: data.gone, ..findings }
    }

    /// The most pressing grade of all.
    pub(crate) fn grade(&self) -> Grade {
        let series = self.series.iter().map(|finding| finding.grade);
        series.chain(self.general.iter().map(|(grade, _)| *grade)).max().unwrap_or(Grade::Unknown)
    }

    /// Name and halves of the worst series that has any.
    pub(super) fn worst_halves(&self) -> Option<(&str, &Halves)> {
        let has_halves = |f: &&Finding| !f.halves.before.is_empty() && !f.halves.after.is_empty();
        self.series.iter().find(has_halves).map(|found| (found.name.as_str(), &found.halves))
    }

    /// Line by line what was asked, found and reckoned.
    pub(super) fn details(&self, text: &mut String) {
        let mut say = |line: String| {
            text.push_str(&super::line::escape(&line));
            text.push('\n');
        };
        say(format!("from {}", self.from));
        if let Some(rule) = &self.rule {
            let (alarm, warning) = (probability(rule.alarm_p()), probability(rule.warning_p()));
            say(format!(
                "window {}, interval {}; critical at p <= {alarm}, warning at p <= {warning}, change >= {:.0}%, \
                 confirmed {} times",
                span(self.window),
                span(self.interval),
                rule.min_change * 100.0,
                rule.confirm
            ));
        }
        for (grade, why) in &self.general {
            say(format!("{grade}: {why}"));
        }
        for name in &self.gone {
            say(format!("{name} is not there any more"));
        }
        for finding in &self.series {
            say(format!("{}: {}", finding.grade, finding.text));
            if let Some(c) = finding.comparison() {
                let [p, least] = [c.p_independent, c.least_p].map(probability);
                let rho = format!("autocorrelation {:.2}, with which p is {least} at least", c.rho);
                say(format!("  p if independent {p}, {rho}"));
            }
            for (half, values) in
                [("before", &finding.halves.before), ("after", &finding.halves.after)]
            {
                let values: Vec<_> = values.iter().map(|value| figure(*value)).collect();
                say(format!("  {half}: {}", values.join(" ")));
            }
        }
    }
}

fn rule(args: &Ks, tested: usize) -> Rule {
    let options = &args.options;
    let only_rise = args.what != What::Send;
    Rule {
        alpha: options.alpha.0,
        tested,
        min_change: options.min_change.share(),
        min_shift: if only_rise { ERRORS_MIN_SHIFT } else { 0.0 },
        only_rise,
        confirm: usize::from(options.confirm),
    }
}

/// The age of the newest number if nothing can be said about now with it.
fn too_old(data: &Data) -> Option<f64> {
    let age = data.now.map(|now| now - data.newest);
    age.filter(|age| *age > 3.0 * data.interval + LATENESS)
}

/// What is wrong beside the series, or keeps them from being judged.
fn trouble(args: &Ks, data: &Data, moment: Option<f64>) -> Vec<(Grade, String)> {
    let (what, target) = (args.what.as_str(), args.options.target.as_deref());
    let mut trouble = Vec::new();
    if let Some(residual) = levels::residual(&data.residual) {
        trouble.push((Grade::Critical, format!("ledger residual is {residual}: Coco lost count")));
    }
    let silent = data.targets.iter().filter(|series| is_silent(series, moment));
    trouble
        .extend(silent.map(|series| (Grade::Critical, silence(&format!("send {}", series.name)))));
    if let ([], [gone, ..]) = (&data.series[..], &data.gone[..]) {
        trouble.push((Grade::Unknown, format!("{what} {gone} is not there any more")));
    } else if data.series.is_empty() {
        let whose = target.map(|target| format!(" for {target}")).unwrap_or_default();
        let there = known(&data.known);
        trouble.push((Grade::Unknown, format!("no numbers of {what}{whose}{there}")));
    }
    if data.left_out > 0 {
        let count = data.left_out;
        let why = format!("{count} series have no place in the history: not all can be judged");
        trouble.push((Grade::Unknown, why));
    }
    if data.levels_only {
        let why = "only levels were looked at, and they say nothing about changes";
        trouble.push((Grade::Unknown, why.to_owned()));
    }
    trouble
}

/// Some of the targets that could have been asked for.
fn known(names: &[String]) -> String {
    const NAMED_MAX: usize = 5;
    let some = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        _ if some.is_empty() => String::new(),
        0 => format!("; the targets are {some}"),
        more => format!("; the targets are {some}, and {more} more"),
    }
}

fn worst_first(a: &Finding, b: &Finding) -> Ordering {
    let p = |finding: &Finding| finding.comparison().map_or(1.0, |comparison| comparison.p);
    b.grade
        .cmp(&a.grade)
        .then(b.level.is_some().cmp(&a.level.is_some()))
        .then(p(a).total_cmp(&p(b)))
}
