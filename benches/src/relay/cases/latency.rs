//! How long a line is under way, from the client's write to the target's read.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;

use super::{Context, note_waited};
use crate::relay::{
    contender::Contender,
    feed::{Clients, pause, settle},
    report::{Measure, Report},
    scenario::Scenario,
    sink::{LineSinks, Options},
};

/// The goal for 99 of 100 lines.
pub(super) const P99_MILLIS_MAX: f64 = 10.0;

/// Distinct names.
const NAMES: u64 = 1000;

/// A load of lines, some at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    /// Lines sent at once.
    pub(super) lines: u64,
    /// From one time to the next.
    pub(super) step: Duration,
    /// How often.
    pub(super) times: u32,
}

/// 100,000 lines a second.
pub(super) const FAST: Beat = Beat { lines: 100, step: Duration::from_millis(1), times: 5000 };

/// 10 lines a second.
const SLOW: Beat = Beat { lines: 1, step: Duration::from_millis(100), times: 100 };

const CASES: [(&str, Beat); 2] = [("latency 100 k/s", FAST), ("latency 10 /s", SLOW)];

/// Coco, the bare loop and carbon-c-relay.
///
/// # Errors
/// None: what goes wrong is in the report.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    for _ in 0..context.runs {
        for contender in [Contender::Coco, Contender::Bare, Contender::CarbonCRelay] {
            report.progress("latency", contender.name());
            if let Some(why) = contender.missing() {
                report.remark(why);
            } else if let Err(error) = one(context, contender, report) {
                report.fail("latency", contender.name(), &error);
            }
        }
    }
    Ok(())
}

fn one(context: &Context, contender: Contender, report: &mut Report) -> anyhow::Result<()> {
    let scenario = Scenario::LINES;
    let epoch = Instant::now();
    let options = Options { epoch: Some(epoch), slow: None };
    let mut sinks = LineSinks::start(scenario.targets, options)?;
    let targets = sinks.addresses().to_vec();
    let running = contender.start(context, &scenario, &[&targets])?;
    let mut clients = Clients::connect(running.address, 1)?;
    // Connections are made and names are seen.
    feed(&mut clients, epoch, Beat { times: 200, ..FAST })?;
    settle(&mut sinks, clients.samples)?;
    for (case, beat) in CASES {
        drop(sinks.latencies());
        let begin = (running.process().waited()?, Instant::now());
        feed(&mut clients, epoch, beat)?;
        let arrived = settle(&mut sinks, clients.samples)?;
        let lost = clients.samples - arrived;
        ensure!(lost == 0 || !contender.is_ours(), "{lost} lines were lost");
        let latencies = sinks.latencies().context("no latencies")?;
        let goal = (contender == Contender::Coco).then_some(P99_MILLIS_MAX);
        note(report, case, contender.name(), &latencies, goal);
        note_waited(report, (case, contender.name()), running.process(), begin)?;
    }
    if let Some(coco) = running.coco() {
        coco.balanced_ledger()?;
    }
    Ok(())
}

/// Notes percentiles; that of 99.9 only if there are lines enough.
pub(super) fn note(
    report: &mut Report,
    case: &'static str,
    subject: &'static str,
    latencies: &Histogram<u64>,
    p99_max: Option<f64>,
) {
    let percentiles = [("p50", 50.0, None), ("p99", 99.0, p99_max), ("p99.9", 99.9, None)];
    for (what, percentile, at_most) in percentiles {
        if latencies.len() >= 1000 || what != "p99.9" {
            let row = Measure { case, subject, what, unit: "ms", at_most };
            report.note(row, latencies.value_at_percentile(percentile) as f64 / 1e6);
        }
    }
}

/// Sends lines whose value is the time of sending, in nanoseconds since `epoch`.
pub(super) fn feed(clients: &mut Clients, epoch: Instant, beat: Beat) -> anyhow::Result<()> {
    let name = |at| format!("dc0.production.web{at:05}.servers.cpu.0.user.percent ").into_bytes();
    let names: Vec<Vec<u8>> = (0..NAMES).map(name).collect();
    let mut names = names.iter().cycle();
    let (started, mut block) = (Instant::now(), Vec::new());
    for time in 0..beat.times {
        let due = started + beat.step * time;
        pause(due.saturating_duration_since(Instant::now()));
        let now = epoch.elapsed().as_nanos();
        block.clear();
        for _ in 0..beat.lines {
            block.extend_from_slice(names.next().map_or(&[], Vec::as_slice));
            writeln!(block, "{now} 1700000000")?;
        }
        clients.send(&block, beat.lines)?;
    }
    Ok(())
}
