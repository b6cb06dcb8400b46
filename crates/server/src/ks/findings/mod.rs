//! What all series came to together.

use std::cmp::Ordering;

use coco_checks::{
    Grade,
    judge::{Judged, Window, judge, judge_around},
    levels,
    split::{self, Halves},
    verdict::{Comparison, HALF_MIN, Rule, TooFew},
};

use super::{
    args::{Ks, What},
    line::{figure, probability},
    source::{Data, Series},
    span,
};

/// Errors must rise by so much a second to be worth an alarm.
const ERRORS_MIN_SHIFT: f64 = 0.1;

/// Less than this share given up is a warning only.
const SHED_MAX: f64 = 0.001;

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
}

/// What one series came to.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) grade: Grade,
    pub(crate) judged: Judged,
    /// What is wrong with its newest rates, whatever was before.
    pub(crate) level: Option<String>,
    pub(crate) text: String,
    halves: Halves,
}

/// What is compared with what, and beside how many others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scope {
    /// Before and after this Unix time, if not both halves of the window.
    pub(crate) moment: Option<f64>,
    /// So many series are tested in one run.
    pub(crate) tested: usize,
}

impl Finding {
    /// The comparison, if there was enough to compare.
    pub(super) fn comparison(&self) -> Option<&Comparison> {
        self.judged.newest.as_ref().ok()
    }
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
        let (rule, what) = (rule(args, scope.tested), args.what.as_str());
        // What cannot be there is not waited for: a router that measures often keeps less than an hour.
        let length = options.window.0.as_secs_f64().min(data.kept.unwrap_or(f64::MAX));
        let window = Window { end: data.newest, length, step: data.interval };
        let mut findings = Self { rule: Some(rule), window: length, ..Self::default() };
        let now = data.now.unwrap_or(data.newest);
        let resets = data.series.iter().filter_map(|series| series.rates.resets.last().copied());
        let restart = resets.chain(data.started).fold(f64::NEG_INFINITY, f64::max);
        findings.restarted = (now - restart < length)
            .then(|| format!("restarted {} ago", span((now - restart).max(0.0))));
        findings.general.extend(trouble(&data, what, options.target.as_deref()));
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
                let p = probability(c.p_independent);
                say(format!("  p if independent {p}, autocorrelation {:.2}", c.rho));
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
fn trouble(data: &Data, what: &str, target: Option<&str>) -> Vec<(Grade, String)> {
    let mut trouble = Vec::new();
    if let Some(residual) = levels::residual(&data.residual) {
        trouble.push((Grade::Critical, format!("ledger residual is {residual}: Coco lost count")));
    }
    let silent = data.targets.iter().filter(|series| is_silent(series));
    trouble
        .extend(silent.map(|series| (Grade::Critical, silence(&format!("send {}", series.name)))));
    if let ([], [gone, ..]) = (&data.series[..], &data.gone[..]) {
        trouble.push((Grade::Unknown, format!("{what} {gone} is not there any more")));
    } else if data.series.is_empty() {
        let whose = target.map(|target| format!(" for {target}")).unwrap_or_default();
        trouble.push((Grade::Unknown, format!("no numbers of {what}{whose}")));
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

fn is_silent(series: &Series) -> bool {
    let Series { rates, due, .. } = series;
    due.as_ref().is_some_and(|due| levels::is_silent(&rates.rates, &due.rates))
}

fn silence(subject: &str) -> String {
    format!("{subject} is silent: nothing is sent of what is due")
}

fn worst_first(a: &Finding, b: &Finding) -> Ordering {
    let p = |finding: &Finding| finding.comparison().map_or(1.0, |comparison| comparison.p);
    b.grade
        .cmp(&a.grade)
        .then(b.level.is_some().cmp(&a.level.is_some()))
        .then(p(a).total_cmp(&p(b)))
}

/// What is the same for all series.
struct Context<'a> {
    args: &'a Ks,
    data: &'a Data,
    rule: Rule,
    window: Window,
    moment: Option<f64>,
    restarted: &'a Option<String>,
}

impl Context<'_> {
    fn finding(&self, series: &Series) -> Finding {
        let (rates, window) = (&series.rates, self.window);
        let (judged, halves) = match self.moment {
            None => {
                let halves = split::split(&rates.rates, window.end, window.length);
                (judge(rates, window, &self.rule), halves)
            }
            Some(moment) => {
                let halves = split::around(&rates.rates, moment, window.end, window.length);
                (judge_around(rates, moment, window, &self.rule), halves)
            }
        };
        let subject = format!("{} {}", self.args.what.as_str(), series.name);
        let level = self.level(series, &subject);
        let grade = match (&level, self.data.levels_only) {
            (Some((grade, _)), _) => *grade,
            // What all of them lack is told once.
            (None, true) => Grade::Ok,
            (None, false) => judged.grade,
        };
        let text = match (&level, &judged.newest) {
            (Some((_, level)), _) => level.clone(),
            (None, Ok(comparison)) => self.change(&subject, comparison, judged.grade),
            (None, Err(few)) => format!("{subject}: {}", self.too_few(*few)),
        };
        let level = level.map(|(_, level)| level);
        Finding { name: series.name.clone(), grade, judged, level, text, halves }
    }

    /// What is wrong with the newest rates.
    fn level(&self, series: &Series, subject: &str) -> Option<(Grade, String)> {
        let rates = &series.rates.rates;
        match self.args.what {
            What::Errors => {
                let rate = levels::lasting_errors(rates)?;
                Some((Grade::Critical, format!("{subject} last, {}/s now", figure(rate))))
            }
            What::Send => is_silent(series).then(|| (Grade::Critical, silence(subject))),
            What::Shed => {
                let start = self.moment.unwrap_or(self.window.end - self.window.length);
                let share = levels::share(rates, &series.due.as_ref()?.rates, start)?;
                let grade = if share < SHED_MAX { Grade::Warning } else { Grade::Critical };
                let percent = figure(share * 100.0);
                Some((grade, format!("{subject}: {percent}% of what is due is given up")))
            }
        }
    }

    fn change(&self, subject: &str, c: &Comparison, grade: Grade) -> String {
        let figures = format!("(D={:.2} p={} n={}+{})", c.d, probability(c.p), c.n1, c.n2);
        let alone = c.grade(&self.rule);
        let moved = match c.change() {
            _ if alone == Grade::Ok => "steady".to_owned(),
            change if change.is_infinite() => format!("rose from 0 to {}/s", figure(c.after)),
            change if change < 0.0 => format!("fell {:.0}%", -change * 100.0),
            change => format!("rose {:.0}%", change * 100.0),
        };
        let doubt = match grade {
            Grade::Unknown => ", and there is too little before to confirm it",
            grade if grade < alone => ", not confirmed yet",
            _ => "",
        };
        format!("{subject} {moved}{doubt} {figures}")
    }

    /// Why a half has too few rates.
    fn too_few(&self, TooFew { n1, n2 }: TooFew) -> String {
        let needed = self.window.step * 2.0 * half_min();
        let counts = format!("{n1}+{n2} rates, {HALF_MIN}+{HALF_MIN} are needed");
        match self.restarted {
            _ if self.window.length < needed => format!(
                "--window {} is too short: at an interval of {} it takes {}",
                span(self.window.length),
                span(self.window.step),
                span(needed)
            ),
            Some(restarted) => format!("{restarted}: {counts}"),
            None => format!("too little history: {counts}"),
        }
    }
}

fn half_min() -> f64 {
    u32::try_from(HALF_MIN).map_or(f64::MAX, f64::from)
}
