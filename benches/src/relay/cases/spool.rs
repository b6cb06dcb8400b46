//! What the spool costs: nothing while it is not used, and at most twice as much as sending when all goes to
//! disk.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{Context, quoted, repeat};
use crate::relay::{
    corpus::{Load, Source as _},
    feed::{Ahead, Clients, pause, settle},
    report::{Measure, Report},
    scenario::Scenario,
    sink::{LineSinks, Options},
    subject::{Coco, sum},
};

const CASE: &str = "spool";

/// Lines that are measured, and those before.
const LINES: u64 = 10_000_000;
const WARM_UP: u64 = 1_000_000;

/// Samples under way at most.
const AHEAD: Ahead = Ahead { samples_max: 400_000, copies: 1 };

/// Nothing goes to disk any more for so long: it never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run comes to.
struct Cost {
    /// Nanoseconds of CPU a line.
    nanos: f64,
    /// Bytes of lines in a second.
    rate: f64,
}

/// Four live targets without a spool and with one, and four that are dead, in one round.
///
/// # Errors
/// None: what goes wrong is in the report.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    if context.filter.takes(CASE) {
        repeat(context, report, CASE, |report| round(context, report));
    }
    Ok(())
}

fn round(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let none = one(context, None, true)?;
    let unused = one(context, Some(&folder.path().join("unused")), true)?;
    let used = one(context, Some(&folder.path().join("used")), false)?;
    let row = |subject, what, unit, at_most| Measure { case: CASE, subject, what, unit, at_most };
    for (subject, cost) in [("no spool", &none), ("not used", &unused), ("all to disk", &used)] {
        report.note(row(subject, "CPU", "ns/line", None), cost.nanos);
        report.note(row(subject, "rate", "MB/s", None), cost.rate / 1e6);
    }
    report.note(row("not used / no spool", "CPU", "times", Some(1.05)), unused.nanos / none.nanos);
    report.note(row("all to disk / sent", "CPU", "times", Some(2.0)), used.nanos / none.nanos);
    let rate = row("all to disk", "rate", "MB/s of 200", None);
    report.note_at_least(rate, 200.0, used.rate / 1e6);
    Ok(())
}

fn one(context: &Context, spool: Option<&Path>, is_live: bool) -> anyhow::Result<Cost> {
    let mut sinks = LineSinks::start(Scenario::LINES.targets, Options::default())?;
    let targets = quoted(sinks.addresses());
    if !is_live {
        // Their ports are closed; where there are no targets, nothing arrives.
        sinks = LineSinks::start(0, Options::default())?;
    }
    let spool = spool.map(|folder| format!("[spool]\ndirectory = {folder:?}\n"));
    let config = format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n{}[tiers.t0]\nprotocol = \"graphite\"\ntargets = [{targets}]\n",
        spool.unwrap_or_default()
    );
    let [core, _] = context.cores.both();
    let mut coco = Coco::start(context.coco.as_ref(), &config, core)?;
    let address = coco.process.address(&["listening", "line-tcp"])?;
    let mut clients = Clients::connect(address, 1)?;
    let mut load = Load::lines(Scenario::LINES.names, 10_000)?;
    let mut send = |lines: u64, sinks: &mut LineSinks| -> anyhow::Result<()> {
        for _ in 0..lines.div_ceil(load.samples()) {
            if is_live {
                clients.pass(&mut load, sinks, AHEAD)?;
            } else {
                let each = load.samples_each();
                for at in 0..load.blocks() {
                    clients.send(load.block(at), each)?;
                }
                clients.line_bytes += load.line_bytes();
            }
        }
        match is_live {
            true => settle(sinks, clients.samples).map(drop),
            false => wait_for_disk(&coco, clients.samples),
        }
    };
    send(WARM_UP, &mut sinks)?;
    let (cpu, since) = (coco.process.cpu()?.total, Instant::now());
    send(LINES, &mut sinks)?;
    let nanos = (coco.process.cpu()?.total - cpu).as_nanos() as f64 / LINES as f64;
    let seconds = since.elapsed().as_secs_f64();
    let bytes = clients.line_bytes as f64 * LINES as f64 / (LINES + WARM_UP) as f64;
    let ledger = coco.ledger()?;
    ensure!(sum(&ledger, &["shed"]) == 0, "something was shed: {ledger}");
    let (arrived, _) = sinks.arrived();
    ensure!(!is_live || arrived == clients.samples, "{arrived} of {} arrived", clients.samples);
    Ok(Cost { nanos, rate: bytes / seconds })
}

/// Waits until all that was sent is on disk.
fn wait_for_disk(coco: &Coco, samples: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let spooled = sum(&coco.ledger()?, &["spooled"]);
        if spooled == samples {
            return Ok(());
        }
        (Instant::now() < deadline).then_some(()).with_context(|| format!("{spooled} on disk"))?;
        pause(Duration::from_millis(20));
    }
}
