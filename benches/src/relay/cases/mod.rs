//! What is measured, one module for each case.

mod flood;
mod goals;
mod latency;
mod memory;
mod platform;
mod rows;
mod scale;
mod slow;
mod spool;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    contender::Contender,
    drive::Outcome,
    machine::Cores,
    report::{Measure, Report},
    scenario::Scenario,
    subject::Subject,
};

pub use latency::run as latency;
pub use memory::run as memory;
pub use platform::run as platform;
pub use rows::run as rows;
pub use scale::{AXES, Axis, Shows, run as scale};
pub use spool::run as spool;

/// How to measure.
#[derive(Debug)]
pub struct Context {
    /// The binary of Coco.
    pub coco: PathBuf,
    /// This program, which has the bare loops.
    pub bench: PathBuf,
    /// Runs of each row.
    pub runs: usize,
    /// How long the platform's load lasts.
    pub platform_seconds: u32,
    /// How many targets of each of its tiers are real storage nodes.
    pub platform_nodes: usize,
    /// Who runs where.
    pub cores: Cores,
    /// Which of the rows.
    pub filter: Filter,
}

/// Which rows are run.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those whose name is this.
    pub exact: Option<&'static str>,
    /// Those whose name has this.
    pub part: Option<String>,
    /// Also with peers that take a minute.
    pub slow_peers: bool,
}

impl Filter {
    /// It is to be run.
    pub fn takes(&self, name: &str) -> bool {
        self.exact.is_none_or(|exact| exact == name)
            && self.part.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }
}

/// Targets as Coco's configuration lists them.
pub(super) fn quoted(targets: &[SocketAddr]) -> String {
    targets.iter().map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ")
}

/// Notes for how much of the time since then a subject waited for its core: what it could not help.
fn note_waited(
    report: &mut Report,
    (case, name): (&'static str, &'static str),
    process: &Subject,
    (before, since): (Duration, Instant),
) -> anyhow::Result<()> {
    let percent =
        100.0 * (process.waited()? - before).as_secs_f64() / since.elapsed().as_secs_f64();
    let what = "waited for its core";
    report.note(Measure { case, subject: name, what, unit: "% of time", at_most: None }, percent);
    Ok(())
}

/// Notes a run of a scenario.
fn note(report: &mut Report, scenario: &Scenario, contender: Contender, outcome: &Outcome) {
    let (case, subject) = (scenario.name, contender.name());
    let row = |what, unit, at_most| Measure { case, subject, what, unit, at_most };
    report.note(row("CPU", scenario.per_sample(), None), outcome.nanos);
    report.note(row("of it in user mode", "%", None), outcome.user_percent);
    report.note(row("rate", "k/s", None), outcome.rate / 1000.0);
    report.note(row("lost", "%", contender.is_ours().then_some(0.0)), outcome.lost_percent);
    report.note(row("peak RSS", "MiB", None), outcome.peak_mib);
    if let Some(syscalls) = outcome.syscalls {
        report.note(row("system calls", "/1000", None), 1000.0 * syscalls);
    }
}

/// Runs `one` as often as is asked for; what goes wrong is in the report.
fn repeat(
    context: &Context,
    report: &mut Report,
    case: &'static str,
    mut one: impl FnMut(&mut Report) -> anyhow::Result<()>,
) {
    for _ in 0..context.runs {
        report.progress(case, Contender::Coco.name());
        if let Err(error) = one(report) {
            report.fail(case, Contender::Coco.name(), &error);
            return;
        }
    }
}
