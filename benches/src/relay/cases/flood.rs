//! More small datagrams than one core may like: what the kernel drops, counted to the last one.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;

use super::{Context, note_waited, repeat};
use crate::relay::{
    contender::{Contender, Running},
    corpus::{Fleet, Load},
    feed::{DatagramFeeder, Pace, pause, settle},
    report::{Measure, Report},
    scenario::{Input, Scenario},
    sink::{Arrivals, DatagramSinks, LineSinks, Options},
    subject::sum,
};

/// Datagrams in a second.
const RATE: f64 = 300_000.0;

/// For so long.
const LENGTH: Duration = Duration::from_secs(4);

/// Distinct series.
const SERIES: usize = 10_000;

/// Of the datagrams, the kernel may drop so many percent.
const DROPPED_PERCENT_MAX: f64 = 0.1;

const COLLECTD: &str = "flood collectd";
const LINES: &str = "flood line UDP";

/// Floods of both protocols.
pub(super) fn run(context: &Context, report: &mut Report) {
    if context.filter.takes(COLLECTD) {
        repeat(context, report, COLLECTD, |report| collectd(context, report));
    }
    if context.filter.takes(LINES) {
        repeat(context, report, LINES, |report| lines(context, report));
    }
}

fn collectd(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let scenario = Scenario::COLLECTD;
    let mut sinks = DatagramSinks::start(scenario.targets)?;
    sinks.watching = false;
    let load = Load::fleet(Fleet::small(SERIES)?, 1);
    let running = Contender::Coco.start(context, &scenario, &[&sinks.addresses()?])?;
    flood(&running, &load, &mut sinks, COLLECTD, report)
}

fn lines(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let scenario = Scenario { input: Input::LineDatagrams(1), ..Scenario::LINES };
    let mut sinks = LineSinks::start(scenario.targets, Options::default())?;
    let load = Load::lines(SERIES, 1)?;
    let addresses = sinks.addresses().to_vec();
    let running = Contender::Coco.start(context, &scenario, &[&addresses])?;
    flood(&running, &load, &mut sinks, LINES, report)
}

fn flood<S: Arrivals>(
    running: &Running,
    load: &Load,
    sinks: &mut S,
    case: &'static str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut feeder = DatagramFeeder::connect(running.address, 1)?;
    feeder.send_paced(&load.blocks, 1, sinks, Pace::SMALL)?;
    settle(sinks, feeder.expected)?;
    let (before, warm) = (running.process().cpu()?, feeder.expected);
    let begin = (running.process().waited()?, Instant::now());
    let seconds = send(&mut feeder, load, sinks)?;
    note_waited(report, (case, "coco"), running.process(), begin)?;
    let sent = (feeder.expected - warm) as f64;
    let Some(coco) = running.coco() else { return Ok(()) };
    let dropped = |ledger: &Value| sum(ledger, &["kernel_dropped"]);
    // What was dropped on the way in does not arrive.
    settle(sinks, feeder.expected - dropped(&coco.ledger()?))?;
    let cpu = running.process().cpu()?.total - before.total;
    let ledger = coco.ledger()?;
    let (taken, lost) = (sum(&ledger, &["routed"]), dropped(&ledger));
    let shed = sum(&ledger, &["shed", "malformed", "truncated"]);
    // Once for all tiers, and once for the only one.
    let account = (taken / 2 + lost, shed);
    ensure!(account == (feeder.expected, 0), "sent {}: {ledger}", feeder.expected);
    let row = |what, unit, at_most| Measure { case, subject: "coco", what, unit, at_most };
    report.note(row("sent", "k/s", None), sent / seconds / 1000.0);
    let percent = 100.0 * lost as f64 / sent;
    report.note(row("kernel dropped", "%", Some(DROPPED_PERCENT_MAX)), percent);
    report.note(row("CPU", "% of core", None), 100.0 * cpu.as_secs_f64() / seconds);
    report.note(row("CPU", "ns/sample", None), cpu.as_secs_f64() * 1e9 / (sent - lost as f64));
    let missed = feeder.expected - lost - sinks.samples()?;
    report.note(row("lost at the sinks", "%", None), 100.0 * missed as f64 / sent);
    Ok(())
}

/// Sends as many as are due, every millisecond; tells how long it took.
fn send<S: Arrivals>(
    feeder: &mut DatagramFeeder,
    load: &Load,
    sinks: &mut S,
) -> anyhow::Result<f64> {
    let (started, before) = (Instant::now(), feeder.expected);
    let mut batches = load.blocks.chunks(64).cycle();
    while started.elapsed() < LENGTH {
        let due = before as f64 + started.elapsed().as_secs_f64() * RATE;
        // At most one millisecond's worth before it looks after the sinks.
        for _ in 0..5 {
            if (feeder.expected as f64) < due {
                feeder.send(batches.next().unwrap_or_default(), 1)?;
            }
        }
        sinks.samples()?;
        if feeder.expected as f64 >= due {
            pause(Duration::from_micros(200));
        }
    }
    Ok(started.elapsed().as_secs_f64())
}
