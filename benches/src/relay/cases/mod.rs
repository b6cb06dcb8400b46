//! What is measured, one module for each case.

mod collectd;
mod line;
mod memory;
mod platform;

use std::{net::SocketAddr, path::PathBuf};

use super::{
    machine::Cores,
    report::{Measure, Report},
    subject::{CpuTime, Subject},
};

pub use collectd::run as collectd;
pub use line::run as line;
pub use memory::run as memory;
pub use platform::run as platform;

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
}

/// Targets as Coco's configuration lists them.
fn quoted(targets: &[SocketAddr]) -> String {
    targets.iter().map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ")
}

/// What a run has cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Nanoseconds of CPU for each line or sample.
    nanos: f64,
    /// Part of it in user mode.
    user_percent: f64,
}

impl Cost {
    /// Since `before`, for so many lines or samples.
    fn since(before: CpuTime, subject: &Subject, units: u64) -> anyhow::Result<Self> {
        let now = subject.cpu()?;
        let nanos = (now.total - before.total).as_secs_f64() * 1e9 / units as f64;
        let (user, system) = (now.ticks.0 - before.ticks.0, now.ticks.1 - before.ticks.1);
        let user_percent = 100.0 * user as f64 / (user + system).max(1) as f64;
        Ok(Self { nanos, user_percent })
    }

    fn note(
        self,
        report: &mut Report,
        case: &'static str,
        subject: &'static str,
        per: &'static str,
    ) {
        let row = |what, unit| Measure { case, subject, what, unit, at_most: None };
        report.note(row("CPU", per), self.nanos);
        report.note(row("of it in user mode", "%"), self.user_percent);
    }
}

/// Notes how often the cost of the bare loop Coco's is.
fn note_ratio(report: &mut Report, case: &'static str, coco: Cost, bare: Cost) {
    let measure =
        Measure { case, subject: "coco / bare", what: "CPU", unit: "times", at_most: Some(3.0) };
    report.note(measure, coco.nanos / bare.nanos);
}
