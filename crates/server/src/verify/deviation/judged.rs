//! What the series of one kind came to, in rows.

use coco_checks::{
    Grade,
    verdict::{HALF_MIN, TooFew},
};

use super::{super::row::Rows, Before};
use crate::ks::{Findings, Scope, What, span};

/// Series of one kind that get a row of their own.
const SERIES_MAX: usize = 10;

/// Names of series in one row.
const NAMED_MAX: usize = 5;

/// Seconds that are kept at the most.
const HISTORY: f64 = 3600.0;

/// What one kind of series came to.
pub(super) struct Judged {
    pub(super) what: What,
    pub(super) scope: Scope,
    pub(super) times: Times,
    pub(super) before: Before,
    pub(super) findings: Findings,
}

/// Seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) interval: f64,
    pub(super) window: f64,
}

impl Judged {
    /// A row for each series that is wrong, and one for all that are good.
    pub(super) fn say(&self, rows: &mut Rows<'_>) {
        let check = self.what.as_str();
        for (grade, text) in &self.findings.general {
            rows.say(check, *grade, text.clone());
        }
        if !self.findings.gone.is_empty() {
            let text = format!("not there any more: {}", listed(&self.findings.gone));
            rows.not_asked(check, &text);
        }
        let (mut good, mut new, mut said) = (Vec::new(), Vec::new(), 0);
        for finding in &self.findings.series {
            match (&finding.level, &finding.judged.newest, finding.grade) {
                (None, Err(few), _) if self.is_new(few) => new.push(finding.name.clone()),
                (None, Err(_), _) => {}
                (None, Ok(_), Grade::Ok) => good.push(finding.text.clone()),
                (_, _, grade) if said < SERIES_MAX => {
                    said += 1;
                    rows.say(check, grade, finding.text.clone());
                }
                _ => said += 1,
            }
        }
        if said > SERIES_MAX {
            let more = format!("{} more are wrong", said - SERIES_MAX);
            rows.say(check, self.findings.grade(), more);
        }
        if !new.is_empty() {
            let text = format!("not there before, nothing to compare: {}", listed(&new));
            rows.not_asked(check, &text);
        }
        if let Some(first) = good.first() {
            let all = match good.len() {
                1 => first.clone(),
                count => format!("{count} series; nearest to a change: {first}"),
            };
            rows.say(check, Grade::Ok, format!("{all}{}", self.restarted()));
        }
    }

    /// Series that have too few rates, and cannot have more.
    pub(super) fn short(&self) -> impl Iterator<Item = TooFew> {
        let series = self.findings.series.iter().filter(|finding| finding.level.is_none());
        let few = series.filter_map(|finding| finding.judged.newest.as_ref().err().copied());
        few.filter(|few| !self.is_new(few))
    }

    /// It was not there before the moment, and others were.
    fn is_new(&self, few: &TooFew) -> bool {
        let mut all = self.findings.series.iter();
        few.n1 == 0
            && self.scope.moment.is_some()
            && all.any(|finding| match &finding.judged.newest {
                Ok(_) => true,
                Err(few) => few.n1 >= HALF_MIN,
            })
    }

    fn restarted(&self) -> String {
        match (&self.findings.restarted, self.before) {
            (Some(restarted), Before::Joined) => format!("; {restarted}, before that as saved"),
            (Some(restarted), _) => format!("; {restarted}"),
            (None, _) => String::new(),
        }
    }

    /// Too little, and what helps.
    pub(super) fn too_short(&self, TooFew { n1, n2 }: TooFew, count: usize) -> String {
        let Times { interval, window } = self.times;
        let wait =
            |missing: f64| format!("ask again in {}", span((missing * interval).max(1.0).ceil()));
        let missing = |n: usize| float(HALF_MIN.saturating_sub(n));
        let help = match self.scope.moment {
            None if HISTORY < 2.0 * interval * float(HALF_MIN) => format!(
                "the numbers come each {}, and an hour of them is kept: it takes a shorter [measure] interval",
                span(interval)
            ),
            None if window < 2.0 * interval * float(HALF_MIN) => {
                let least = span(2.0 * interval * float(HALF_MIN));
                format!(
                    "the numbers come each {}: give a --window of {least} at least",
                    span(interval)
                )
            }
            // The first half is filled when the second one is.
            None => wait(float(HALF_MIN) + window / interval / 2.0 - float(n1 + n2)),
            Some(_) if n1 < HALF_MIN => {
                let why = match &self.findings.restarted {
                    Some(restarted) => format!("{restarted}, and its history with it"),
                    None => "there is too little before --since".to_owned(),
                };
                match self.before {
                    Before::NotGiven => format!(
                        "{why}; --save the numbers before a deploy, and give them with --before"
                    ),
                    Before::Lacking => format!("{why}, and --before has none of this router"),
                    Before::Joined => format!("{why}, and --before has too little too"),
                }
            }
            Some(_) => wait(missing(n2)),
        };
        format!(
            "history too short: {n1}+{n2} rates before and after, {HALF_MIN}+{HALF_MIN} are needed \
             ({count} series); {help}"
        )
    }
}

/// Some of these names, and how many more there are.
fn listed(names: &[String]) -> String {
    let some = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => some,
        more => format!("{some}, and {more} more"),
    }
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
