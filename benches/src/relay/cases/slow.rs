//! One slow target of four: it sheds its own, and the others notice nothing.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Context, latency, note_waited, repeat};
use crate::relay::{
    contender::Contender,
    feed::{Clients, settle},
    report::{Measure, Report},
    scenario::Scenario,
    sink::{LineSinks, Options, Slow},
    subject::sum,
};

const CASE: &str = "slow target";

/// The one that is slow.
const SLOW: Slow = Slow { at: 0, bytes_per_second: 1e6 };

/// A small queue, and the shortest wait for it that is allowed.
const TIER: &str = "queue = \"1MiB\"\nblock_timeout = \"1ms\"\n";

/// Eight seconds: long enough to fill kernel buffers and queue.
const BEAT: latency::Beat = latency::Beat { times: 8000, ..latency::FAST };

/// The same load without and with a slow target.
pub(super) fn run(context: &Context, report: &mut Report) {
    if context.filter.takes(CASE) {
        repeat(context, report, CASE, |report| {
            one(context, report, None, "coco, none slow")?;
            one(context, report, Some(SLOW), "coco, one slow")
        });
    }
}

fn one(
    context: &Context,
    report: &mut Report,
    slow: Option<Slow>,
    subject: &'static str,
) -> anyhow::Result<()> {
    let scenario = Scenario { tier: TIER, ..Scenario::LINES };
    let epoch = Instant::now();
    let mut sinks = LineSinks::start(scenario.targets, Options { epoch: Some(epoch), slow })?;
    let targets = sinks.addresses().to_vec();
    let running = Contender::Coco.start(context, &scenario, &[&targets])?;
    let mut clients = Clients::connect(running.address, 1)?;
    let begin = (running.process().waited()?, Instant::now());
    latency::feed(&mut clients, epoch, BEAT)?;
    note_waited(report, (CASE, subject), running.process(), begin)?;
    sinks.hurry();
    let coco = running.coco().context("no Coco")?;
    settle(&mut sinks, clients.samples - sum(&coco.ledger()?, &["shed"]))?;
    let ledger = coco.ledger()?;
    let label = targets.get(SLOW.at).map(ToString::to_string).unwrap_or_default();
    let [theirs, others] = fates(&ledger, &label)?;
    let (arrived, _) = sinks.arrived();
    let accounted = arrived + theirs.shed + others.shed;
    ensure!(accounted == clients.samples, "{accounted} of {}: {ledger}", clients.samples);
    let row = |what, at_most| Measure { case: CASE, subject, what, unit: "%", at_most };
    let slow_goal = if slow.is_none() { Some(0.0) } else { None };
    report.note(row("shed by the first", slow_goal), theirs.percent());
    report.note(row("shed by the others", Some(0.0)), others.percent());
    let latencies = sinks.latencies().context("no latencies")?;
    latency::note(report, CASE, subject, &latencies, Some(latency::P99_MILLIS_MAX));
    Ok(())
}

/// Copies offered to targets, and shed by them.
#[derive(Debug, Default)]
struct Fates {
    offered: u64,
    shed: u64,
}

impl Fates {
    fn percent(&self) -> f64 {
        100.0 * self.shed as f64 / self.offered.max(1) as f64
    }
}

/// Those of the target with this label, and those of all others.
fn fates(ledger: &Value, label: &str) -> anyhow::Result<[Fates; 2]> {
    let rows = ledger.pointer("/tiers/0/targets").and_then(Value::as_array);
    let [mut theirs, mut others] = [Fates::default(), Fates::default()];
    for row in rows.context("no targets in the ledger")? {
        let is_it = row.get("target").and_then(Value::as_str) == Some(label);
        let fates = if is_it { &mut theirs } else { &mut others };
        fates.offered += sum(row, &["offered"]);
        fates.shed += sum(row, &["shed"]);
    }
    Ok([theirs, others])
}
