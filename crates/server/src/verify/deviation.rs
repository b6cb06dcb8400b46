//! Question 4: do the metrics deviate?
//!
//! Rates are compared as `coco ks` does it, around a moment or by halves; rules on levels stand beside it,
//! as a comparison forgets.

use coco_checks::{Grade, verdict::HALF_MIN};
use serde_json::Value;

use super::{
    args::Verify,
    facts::Facts,
    row::{Question, Row, Rows, counted},
    saved::Saved,
};
use crate::ks::{Data, Findings, Scope, What, history, span};

/// What is compared.
const LOOKED_AT: [What; 3] = [What::Send, What::Errors, What::Shed];

/// Series of one kind that get a row of their own.
const SERIES_MAX: usize = 10;

/// The numbers of one router.
#[derive(Debug)]
pub(super) struct Numbers {
    url: String,
    /// For each of [`LOOKED_AT`].
    data: Result<Vec<Data>, String>,
    /// What the ledger does not explain, before the canary and after it.
    residuals: Result<[i64; 2], String>,
    /// Numbers of another process are in front of these.
    is_joined: bool,
}

impl Numbers {
    /// Reads them, with what was saved in front.
    pub(super) fn read(args: &Verify, facts: &Facts, saved: Option<&Saved>) -> Self {
        let before = saved.and_then(|saved| saved.of_router(&facts.url));
        let read = |json: &Value| {
            let data = |what: What| {
                history::data(json, what, &args.ks(what).options).map_err(|e| format!("{e:#}"))
            };
            LOOKED_AT.into_iter().map(data).collect::<Result<Vec<_>, String>>()
        };
        let data = facts.history.as_ref().map_err(Clone::clone).and_then(read);
        let old = before.map(read).transpose();
        let data = match (data, old) {
            (Ok(mut data), Ok(Some(old))) => {
                data.iter_mut().zip(&old).for_each(|(new, old)| new.join(old));
                Ok(data)
            }
            (Ok(_), Err(why)) => Err(format!("--before: {why}")),
            (data, _) => data,
        };
        let residual = |ledger: &Result<Value, String>| {
            let ledger = ledger.as_ref().map_err(Clone::clone)?;
            ledger["residual"].as_i64().ok_or_else(|| "/ledger has no `residual`".to_owned())
        };
        let [first, second] = &facts.ledgers;
        let residuals = residual(first).and_then(|first| Ok([first, residual(second)?]));
        Self { url: facts.url.clone(), data, residuals, is_joined: before.is_some() }
    }

    /// How many series are tested.
    pub(super) fn tested(&self) -> usize {
        self.data.iter().flatten().map(|data| data.series.len()).sum()
    }

    /// Judges them.
    pub(super) fn rows(self, args: &Verify, scope: Scope) -> Vec<Row> {
        let mut rows = Rows::new(Question::Deviation, Some(&self.url));
        ledger(&self.residuals, &mut rows);
        match self.data {
            Err(why) => rows.say("history", Grade::Unknown, why),
            Ok(all) => {
                for (what, data) in LOOKED_AT.into_iter().zip(all) {
                    let times = Times {
                        interval: data.interval,
                        window: args.span(0.0, None).as_secs_f64(),
                    };
                    let findings = Findings::within(&args.ks(what), data, scope);
                    let joined = self.is_joined;
                    Judged { what, scope, times, joined, findings }.say(&mut rows);
                }
            }
        }
        rows.rows
    }
}

fn ledger(residuals: &Result<[i64; 2], String>, rows: &mut Rows<'_>) {
    match residuals {
        Err(why) => rows.say("ledger", Grade::Unknown, why),
        Ok([_, 0] | [0, _]) => {
            rows.say("ledger", Grade::Ok, "residual 0: each sample has its fate")
        }
        Ok([_, residual]) => {
            let text = format!("residual {residual}: Coco lost count, which is a fault of it");
            rows.say("ledger", Grade::Critical, text);
        }
    }
}

/// Seconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    interval: f64,
    window: f64,
}

/// What one kind of series came to.
struct Judged {
    what: What,
    scope: Scope,
    times: Times,
    joined: bool,
    findings: Findings,
}

impl Judged {
    fn say(&self, rows: &mut Rows<'_>) {
        let check = self.what.as_str();
        // The same is found beside each kind of series: it is said once.
        let general = self.findings.general.iter();
        for (grade, text) in general.filter(|_| self.what == What::Send || self.is_empty()) {
            rows.say(check, *grade, text.clone());
        }
        let is_new = |n1: usize| n1 == 0 && self.has_before();
        let (mut good, mut short, mut said) = (Vec::new(), Vec::new(), 0);
        for finding in &self.findings.series {
            match (&finding.level, &finding.judged.newest, finding.grade) {
                (None, Err(few), _) if is_new(few.n1) => good.push(format!(
                    "{check} {}: not there before, nothing to compare",
                    finding.name
                )),
                (None, Err(few), _) => short.push(few),
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
        if let Some(few) = short.iter().min_by_key(|few| few.n1.min(few.n2)) {
            let text = self.too_short(few.n1, few.n2, short.len());
            rows.say(check, Grade::Unknown, text);
        }
        if let Some(first) = good.first() {
            let all = match good.len() {
                1 => first.clone(),
                count => format!("{count} series; nearest to a change: {first}"),
            };
            rows.say(check, Grade::Ok, format!("{all}{}", self.restarted()));
        }
    }

    fn is_empty(&self) -> bool {
        self.findings.series.is_empty()
    }

    /// There is a time before the moment, with other series in it.
    fn has_before(&self) -> bool {
        let mut all = self.findings.series.iter();
        self.scope.moment.is_some()
            && all.any(|finding| match &finding.judged.newest {
                Ok(_) => true,
                Err(few) => few.n1 >= HALF_MIN,
            })
    }

    fn restarted(&self) -> String {
        match (&self.findings.restarted, self.joined) {
            (Some(restarted), true) => format!("; {restarted}, before that as saved"),
            (Some(restarted), false) => format!("; {restarted}"),
            (None, _) => String::new(),
        }
    }

    /// Too little, and what helps.
    fn too_short(&self, n1: usize, n2: usize, count: usize) -> String {
        let Times { interval, window } = self.times;
        let wait =
            |missing: f64| format!("ask again in {}", span((missing * interval).max(1.0).ceil()));
        let missing = |n: usize| float(HALF_MIN.saturating_sub(n));
        let help = match self.scope.moment {
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
                format!("{why}; --save the numbers before a deploy, and give them with --before")
            }
            Some(_) => wait(missing(n2)),
        };
        let series = counted(count, "series").replace("seriess", "series");
        format!(
            "history too short: {n1}+{n2} rates before and after, {HALF_MIN}+{HALF_MIN} are needed \
             ({series}); {help}"
        )
    }
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
