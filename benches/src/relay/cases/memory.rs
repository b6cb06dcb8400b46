//! Memory with a million distinct names and a thousand clients, and of an idle connection.

use super::{Context, repeat};
use crate::relay::{
    contender::{Contender, Running},
    corpus::ManyNames,
    feed::{Ahead, Clients, settle},
    report::{Measure, Report},
    scenario::{Input, Scenario},
    sink::{LineSinks, Options},
};

const NAMES: usize = 1_000_000;

/// How often each name is sent.
const ROUNDS: usize = 2;

/// Clients that send names in turn.
const CLIENTS: usize = 1000;

/// Clients that have sent one line and then nothing.
const IDLE_CLIENTS: usize = 10_000;

/// Under way at most: so many that Coco is busy, so few that its queues do not fill.
const AHEAD: Ahead = Ahead { samples_max: 50_000, copies: 1 };

/// Both of them, over TCP and to four TCP targets.
///
/// # Errors
/// None: what goes wrong is in the report.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    repeat(context, report, "memory", |report| {
        names(context, report)?;
        idle(context, report)
    });
    Ok(())
}

/// Coco with its sinks, for so many clients.
fn start(context: &Context, clients: usize) -> anyhow::Result<(LineSinks, Running)> {
    let scenario = Scenario { clients, input: Input::ManyLines, ..Scenario::LINES };
    let sinks = LineSinks::start(scenario.targets, Options::default())?;
    let running = Contender::Coco.start(context, &scenario, &[sinks.addresses()])?;
    Ok((sinks, running))
}

fn names(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let (mut sinks, running) = start(context, CLIENTS)?;
    let mut clients = Clients::connect(running.address, CLIENTS)?;
    greet(&mut clients, CLIENTS, &mut sinks)?;
    let memory = |field| running.process().memory_mib(field);
    let row =
        |what, at_most| Measure { case: "memory", subject: "coco", what, unit: "MiB", at_most };
    report.note(row("with 1000 clients", None), memory("VmRSS")?);
    let mut many = ManyNames::new(NAMES);
    for _ in 0..ROUNDS {
        clients.pass(&mut many, &mut sinks, AHEAD)?;
    }
    finish(&clients, &mut sinks, &running)?;
    report.note(row("and 1 M names", Some(64.0)), memory("VmRSS")?);
    report.note(row("at most", Some(64.0)), memory("VmHWM")?);
    Ok(())
}

fn idle(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let (mut sinks, running) = start(context, IDLE_CLIENTS + 1)?;
    let mut busy = Clients::connect(running.address, 1)?;
    let mut warm = ManyNames::new(100_000);
    busy.pass(&mut warm, &mut sinks, AHEAD)?;
    settle(&mut sinks, busy.samples)?;
    let before = running.process().memory_mib("VmRSS")?;
    let mut clients = Clients::connect(running.address, IDLE_CLIENTS)?;
    clients.samples = busy.samples;
    clients.line_bytes = busy.line_bytes;
    greet(&mut clients, IDLE_CLIENTS, &mut sinks)?;
    let after = running.process().memory_mib("VmRSS")?;
    let row =
        |what, unit, at_most| Measure { case: "memory", subject: "coco", what, unit, at_most };
    report.note(row("with 10000 idle clients", "MiB", None), after);
    let each = (after - before) * 1024.0 / IDLE_CLIENTS as f64;
    report.note(row("each idle client", "KiB", Some(8.0)), each);
    finish(&clients, &mut sinks, &running)
}

/// Every client sends one line.
fn greet(clients: &mut Clients, count: usize, sinks: &mut LineSinks) -> anyhow::Result<()> {
    for at in 0..count {
        let line = format!("idle.client{at} 1 1700000000\n");
        clients.send(line.as_bytes(), 1)?;
        clients.line_bytes += line.len() as u64;
    }
    settle(sinks, clients.samples)?;
    Ok(())
}

/// Everything has arrived, and the account adds up.
fn finish(clients: &Clients, sinks: &mut LineSinks, running: &Running) -> anyhow::Result<()> {
    settle(sinks, clients.samples)?;
    let (due, arrived) = ((clients.samples, clients.line_bytes), sinks.arrived());
    anyhow::ensure!(due == arrived, "{due:?} lines and bytes were due, {arrived:?} arrived");
    if let Some(coco) = running.coco() {
        coco.balanced_ledger()?;
    }
    Ok(())
}
