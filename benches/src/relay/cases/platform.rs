//! The platform's load: 1,000 hosts, 351,000 samples every ten seconds, two tiers.

use std::time::{Duration, Instant};

use super::{Context, quoted};
use crate::relay::{
    corpus::{Fleet, HOST_DATAGRAMS, LISTS},
    feed::DatagramFeeder,
    report::{Measure, Report},
    sink::DatagramSinks,
    subject::{Coco, sum},
};

const HOSTS: usize = 1000;

/// Every host sends once in so long.
const INTERVAL: Duration = Duration::from_secs(10);

/// Targets of each tier.
const TARGETS: usize = 2;

/// Every host sends its datagrams at once, at its own time in the interval.
///
/// # Errors
/// A sample did not arrive in both tiers, or Coco cannot be started.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let fleet = Fleet::single(HOSTS)?;
    for _ in 0..context.runs {
        one(context, &fleet, report)?;
    }
    Ok(())
}

fn one(context: &Context, fleet: &Fleet, report: &mut Report) -> anyhow::Result<()> {
    let mut sinks = DatagramSinks::start(2 * TARGETS)?;
    sinks.watching = false;
    let targets = sinks.addresses()?;
    let (short, long) = targets.split_at(TARGETS);
    let config = format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n\
         [tiers.short]\ntargets = [{}]\n[tiers.long]\ntargets = [{}]\n",
        quoted(short),
        quoted(long)
    );
    let mut coco = Coco::start(context.coco.as_ref(), &config, context.cores.subject)?;
    let address = coco.process.address(&["listening", "collectd"])?;
    let mut feeder = DatagramFeeder::connect(address, 2)?;
    let (before, started) = (coco.process.cpu()?, Instant::now());
    let length = INTERVAL * context.platform_seconds / 10;
    let mut hosts = fleet.datagrams.chunks_exact(HOST_DATAGRAMS).cycle();
    let step = INTERVAL / u32::try_from(HOSTS)?;
    let mut due = Duration::ZERO;
    while due < length {
        while due <= started.elapsed() && due < length {
            feeder.send(hosts.next().unwrap_or_default(), LISTS)?;
            due += step;
        }
        sinks.wait(1)?;
        sinks.drain()?;
    }
    feeder.finish(&mut sinks)?;
    let cpu = coco.process.cpu()?.total - before.total;
    let share = 100.0 * cpu.as_secs_f64() / started.elapsed().as_secs_f64();
    let ledger = coco.balanced_ledger()?;
    let lost = sum(&ledger, &["shed", "kernel_dropped"]) as f64;
    let row =
        |what, unit, at_most| Measure { case: "platform", subject: "coco", what, unit, at_most };
    report.note(row("CPU", "% of core", None), share);
    report.note(row("shed or dropped", "samples", Some(0.0)), lost);
    report.note(row("memory at the end", "MiB", None), coco.process.memory_mib("VmRSS")?);
    report.note(row("memory at most", "MiB", None), coco.process.memory_mib("VmHWM")?);
    Ok(())
}
