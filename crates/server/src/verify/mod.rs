//! `coco verify`: after a deploy, four questions to one running Coco or to a fleet.
//!
//! Is it running? Does a simple query work? Are there bad log messages? Do the metrics deviate? Invariants:
//! it ends within half a minute, whatever the routers do; what could not be judged is UNKNOWN and never
//! passed; nothing is changed but for a canary sample, which says nothing.

mod args;
mod ask;
mod canary;
mod configured;
mod deviation;
mod facts;
mod json;
mod log;
mod moment;
mod query;
mod rings;
mod row;
mod running;
mod saved;
mod send;
mod standing;
mod table;

use std::{
    process::ExitCode,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use coco_checks::Grade;

pub use args::{RouterUrl, Verify};
pub use moment::Time;

pub(crate) use moment::shown;

use crate::{
    config::Config,
    ks::{self, Scope, unix_now},
    screen::Screen,
};
use ask::Asked;
use deviation::Numbers;
use facts::{Facts, gather};
use row::{Question, Report, Row, Rows};
use saved::Saved;

/// Longest time until all routers have answered.
const PATIENCE: Duration = Duration::from_secs(25);

/// Columns of the table where nobody tells how wide it may be.
const COLUMNS: usize = 100;

/// It is no narrower than that.
const COLUMNS_MIN: usize = 40;

/// Asks, prints what was found, and returns the exit status for it.
#[must_use]
pub fn verify(args: &Verify) -> ExitCode {
    let report = report(args);
    let text = match args.json {
        true => format!("{}\n", json::object(args, &report)),
        false => table::table(&report, Screen::sized(COLUMNS, COLUMNS_MIN)),
    };
    ks::print(&text);
    ExitCode::from(args.exit_status(report.grade()))
}

fn report(args: &Verify) -> Report {
    let (started, now) = (Instant::now(), unix_now());
    let urls: Vec<String> = args.urls.iter().map(|url| url.as_str().to_owned()).collect();
    let mut rows = Vec::new();
    let wanted = args.config.as_ref().map(|path| Config::load(path).map_err(|e| e.to_string()));
    let saved = args.before.as_ref().map(|path| Saved::read(path, &urls, now)).transpose();
    let saved = saved.unwrap_or_else(|why| {
        let mut of_all = Rows::new(Question::Deviation, None);
        of_all.say("before", Grade::Unknown, format!("{why:#}"));
        rows.extend(of_all.rows);
        None
    });
    let since = args.since.map(|since| since.seconds(now));
    let moment = since.or(saved.as_ref().map(|saved| saved.at));
    let all = ask_all(args, &urls, moment);
    rows.extend(judge(args, &urls, &all, moment, wanted.as_ref(), saved.as_ref()));
    if let Some(path) = &args.save {
        let mut of_all = Rows::new(Question::Deviation, None);
        match saved::save(path, &all, now) {
            Ok(count) => {
                let text = format!(
                    "the numbers of {} are in {}",
                    row::counted(count, "router"),
                    path.display()
                );
                of_all.say("save", Grade::Ok, text);
            }
            Err(why) => of_all.say("save", Grade::Unknown, format!("nothing saved: {why:#}")),
        }
        rows.extend(of_all.rows);
    }
    let seconds = started.elapsed().as_secs_f64();
    let processes = all.iter().map(|facts| facts.as_ref().ok()?.process()).collect();
    let mut report = Report { rows, routers: urls, processes, moment, seconds };
    report.sort();
    report
}

/// Asks all routers at the same time; one that takes too long is not waited for.
fn ask_all(args: &Verify, urls: &[String], moment: Option<f64>) -> Vec<Result<Facts, String>> {
    let late = || Err(format!("no end of its answers within {} s", PATIENCE.as_secs()));
    let deadline = Instant::now() + PATIENCE;
    let shared = Arc::new(args.clone());
    let (told, answers) = mpsc::sync_channel(urls.len());
    for (at, url) in urls.iter().enumerate() {
        let (told, args, url) = (told.clone(), Arc::clone(&shared), url.clone());
        thread::spawn(move || {
            // Nobody listens any more when it took too long.
            let _told: Result<(), _> = told.send((at, gather(&args, &url, moment)));
        });
    }
    drop(told);
    let mut all: Vec<Result<Facts, String>> = urls.iter().map(|_| late()).collect();
    while let Ok((at, facts)) =
        answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        if let Some(place) = all.get_mut(at) {
            *place = facts;
        }
    }
    all
}

fn judge(
    args: &Verify,
    urls: &[String],
    all: &[Result<Facts, String>],
    moment: Option<f64>,
    wanted: Option<&Result<Config, String>>,
    saved: Option<&Saved>,
) -> Vec<Row> {
    let mut rows = placements(urls, all);
    let mut numbers = Vec::new();
    for (url, facts) in urls.iter().zip(all) {
        match facts {
            Ok(facts) => {
                rows.extend(running::rows(args, facts, moment, wanted));
                rows.extend(query::rows(facts));
                rows.extend(log::rows(args, facts, moment));
                numbers.push(Numbers::read(args, facts, saved));
            }
            Err(why) => rows.extend(silent(url, why)),
        }
    }
    let tested = numbers.iter().map(Numbers::tested).sum();
    let scope = Scope { moment, tested };
    rows.extend(numbers.into_iter().flat_map(|numbers| numbers.rows(args, scope)));
    rows
}

/// What is to be said of all routers together.
fn placements(urls: &[String], all: &[Result<Facts, String>]) -> Vec<Row> {
    let nobody = Err("it does not answer".to_owned());
    let told = |of: fn(&Facts) -> &Asked| {
        let told = |facts| Result::as_ref(facts).map_or(&nobody, of);
        urls.iter().map(String::as_str).zip(all.iter().map(told)).collect::<Vec<_>>()
    };
    let mut of_all = Rows::new(Question::Query, None);
    let firsts = rings::firsts(&told(|facts| &facts.vars), &mut of_all);
    let tiers = told(|facts| &facts.tiers).into_iter().zip(firsts);
    let tiers: Vec<_> = tiers.filter(|(_, is_first)| *is_first).map(|(told, _)| told).collect();
    let mut rows = of_all.rows;
    rows.extend(rings::rows(&tiers));
    rows
}

/// A router that does not answer leaves all four questions open.
fn silent(url: &str, why: &str) -> Vec<Row> {
    let row = |question: Question| {
        let mut rows = Rows::new(question, Some(url));
        match question {
            Question::Running => rows.say("process", Grade::Unknown, why),
            _ => rows.say("process", Grade::Unknown, "it does not answer"),
        }
        rows.rows
    };
    Question::ALL.into_iter().flat_map(row).collect()
}
