//! What one series came to.

use coco_checks::{
    Grade,
    judge::{Judged, Window, judge, judge_around},
    levels::{self, Lasting},
    split::{self, Halves},
    verdict::{Comparison, HALF_MIN, Rule, TooFew},
};

use super::super::{
    args::{Ks, What},
    line::{figure, probability},
    source::{Data, Series},
    span,
};

/// Less than this share given up is a warning only.
const SHED_MAX: f64 = 0.001;

/// What one series came to.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) grade: Grade,
    pub(crate) judged: Judged,
    /// What is wrong with its newest rates, whatever was before.
    pub(crate) level: Option<String>,
    pub(crate) text: String,
    /// Its rates before and after.
    pub(super) halves: Halves,
}

impl Finding {
    /// The comparison, if there was enough to compare.
    pub(in crate::ks) fn comparison(&self) -> Option<&Comparison> {
        self.judged.newest.as_ref().ok()
    }
}

/// What is the same for all series.
pub(super) struct Context<'a> {
    pub(super) args: &'a Ks,
    pub(super) data: &'a Data,
    pub(super) rule: Rule,
    pub(super) window: Window,
    pub(super) moment: Option<f64>,
    pub(super) restarted: &'a Option<String>,
}

impl Context<'_> {
    /// Judges one of them.
    pub(super) fn finding(&self, series: &Series) -> Finding {
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
            (None, Ok(comparison)) => self.change(&subject, comparison, &judged),
            (None, Err(few)) => format!("{subject}: {}", self.too_few(*few)),
        };
        let level = level.map(|(_, level)| level);
        Finding { name: series.name.clone(), grade, judged, level, text, halves }
    }

    /// What is wrong with the newest rates, of which only those after the moment count.
    fn level(&self, series: &Series, subject: &str) -> Option<(Grade, String)> {
        let rates = &series.rates.rates;
        match self.args.what {
            What::Errors => {
                let Lasting { mean, intervals } =
                    levels::lasting_errors(levels::after(rates, self.moment))?;
                let (mean, time) = (figure(mean), span(float(intervals) * self.window.step));
                Some((Grade::Critical, format!("{subject} last, {mean}/s in the mean of {time}")))
            }
            What::Send => {
                is_silent(series, self.moment).then(|| (Grade::Critical, silence(subject)))
            }
            What::Shed => {
                let start = self.moment.unwrap_or(self.window.end - self.window.length);
                let share = levels::share(rates, &series.due.as_ref()?.rates, start)?;
                let grade = if share < SHED_MAX { Grade::Warning } else { Grade::Critical };
                let percent = figure(share * 100.0);
                Some((grade, format!("{subject}: {percent}% of what is due is given up")))
            }
        }
    }

    fn change(&self, subject: &str, c: &Comparison, judged: &Judged) -> String {
        let grade = judged.grade;
        let figures = format!("(D={:.2} p={} n={}+{})", c.d, probability(c.p), c.n1, c.n2);
        let (alone, moved) = (c.grade(&self.rule), moved(c, &self.rule));
        // Not by its probability, but as there was none that could have told.
        let too_few = c.p > self.rule.warning_p() && alone == grade;
        match alone {
            Grade::Unknown if too_few => {
                let why = "too few independent readings to judge";
                return format!("{subject}: {why}: {moved}, as in a trend {figures}");
            }
            Grade::Warning if too_few => {
                let why = "with too few independent readings for an alarm";
                return format!("{subject} {moved}, as in a trend, {why} {figures}");
            }
            _ => {}
        }
        let doubt = match grade {
            Grade::Unknown if judged.too_few_before => {
                ", and there is too little before to confirm it"
            }
            Grade::Unknown => ", and what was just before cannot confirm it: a trend",
            grade if grade < alone => ", not confirmed yet",
            _ => "",
        };
        format!("{subject} {moved}{doubt} {figures}")
    }

    /// Why a half has too few rates.
    fn too_few(&self, TooFew { n1, n2 }: TooFew) -> String {
        let needed = self.window.step * 2.0 * float(HALF_MIN);
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

/// How the median has moved, in words.
pub(in crate::ks) fn moved(c: &Comparison, rule: &Rule) -> String {
    let is_good = c.grade(rule) == Grade::Ok;
    match c.change() {
        _ if is_good && c.is_steady(rule) => "steady".to_owned(),
        _ if is_good => "shows no change that could be told from its own swings".to_owned(),
        change if change.is_infinite() => format!("rose from 0 to {}/s", figure(c.after)),
        change if change < 0.0 => format!("fell {:.0}%", -change * 100.0),
        change => format!("rose {:.0}%", change * 100.0),
    }
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Nothing is sent of what is due; of what became due after the moment, if there is one.
pub(super) fn is_silent(series: &Series, moment: Option<f64>) -> bool {
    let Series { rates, all, due, closed_since, .. } = series;
    // A canary that was given up would hide a sample that was sent.
    let sent = levels::after(&all.as_ref().unwrap_or(rates).rates, moment);
    due.as_ref().is_some_and(|due| levels::is_silent(sent, &due.rates, *closed_since))
}

pub(super) fn silence(subject: &str) -> String {
    format!("{subject} is silent: nothing is sent of what is due")
}
