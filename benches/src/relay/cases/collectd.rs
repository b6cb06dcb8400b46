//! collectd datagrams: UDP in, four UDP targets out.

use std::{net::SocketAddr, process::Command};

use anyhow::Context as _;

use super::{Context, Cost, note_ratio, quoted};
use crate::relay::{
    bare,
    corpus::{Fleet, LISTS},
    feed::DatagramFeeder,
    report::Report,
    sink::DatagramSinks,
    subject::{Coco, Subject},
};

const PER_SAMPLE: &str = "ns/sample";

/// Hosts whose datagrams have one host each: 351,000 series.
const HOSTS: usize = 1000;

/// Hosts whose values come 27 to a datagram: 81,540 series.
const MIXED_HOSTS: usize = 270;

/// Datagrams sent while it is measured.
const DATAGRAMS: usize = 200_000;

/// Of so many hosts one is checked to be at its owner.
const CHECK_STEP: usize = 17;

/// Coco and the bare loop with datagrams of one host, Coco with datagrams of 27.
///
/// # Errors
/// Something was lost, or cannot be started.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let (single, mixed) = (Fleet::single(HOSTS)?, Fleet::mixed(MIXED_HOSTS)?);
    for _ in 0..context.runs {
        let cost = coco(context, &single).context("coco")?;
        cost.note(report, "collectd", "coco", PER_SAMPLE);
        let bare = bare_loop(context, &single).context("the bare loop")?;
        bare.note(report, "collectd", "bare", PER_SAMPLE);
        note_ratio(report, "collectd", cost, bare);
        let cost = coco(context, &mixed).context("coco, 27 hosts in a datagram")?;
        cost.note(report, "27 hosts", "coco", PER_SAMPLE);
    }
    Ok(())
}

fn coco(context: &Context, fleet: &Fleet) -> anyhow::Result<Cost> {
    let mut sinks = DatagramSinks::start(bare::TARGETS)?;
    let targets = sinks.addresses()?;
    let config = format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.bench]\ntargets = [{}]\n",
        quoted(&targets)
    );
    let mut coco = Coco::start(context.coco.as_ref(), &config, context.cores.subject)?;
    let address = coco.process.address(&["listening", "collectd"])?;
    let cost = measure(&coco.process, address, fleet, &mut sinks)?;
    let owner = |host: &[u8]| coco.owner("bench", host, &targets);
    sinks.places.check(fleet.hosts.iter().step_by(CHECK_STEP), owner)?;
    coco.balanced_ledger()?;
    Ok(cost)
}

fn bare_loop(context: &Context, fleet: &Fleet) -> anyhow::Result<Cost> {
    let mut sinks = DatagramSinks::start(bare::TARGETS)?;
    let mut command = Command::new(&context.bench);
    command.arg("bare-datagrams").args(sinks.addresses()?.iter().map(SocketAddr::to_string));
    let mut subject = Subject::start(&mut command, &[context.cores.subject])?;
    let address = subject.address(&["listening"])?;
    let cost = measure(&subject, address, fleet, &mut sinks)?;
    let owner = |host: &[u8]| Ok(bare::owner(host));
    sinks.places.check(fleet.hosts.iter().step_by(CHECK_STEP), owner)?;
    Ok(cost)
}

fn measure(
    subject: &Subject,
    address: SocketAddr,
    fleet: &Fleet,
    sinks: &mut DatagramSinks,
) -> anyhow::Result<Cost> {
    let mut feeder = DatagramFeeder::connect(address, 1)?;
    // All of the fleet once: every series is known, and where it went.
    feeder.send_paced(&fleet.datagrams, LISTS, sinks)?;
    feeder.finish(sinks)?;
    sinks.watching = false;
    let (before, warm) = (subject.cpu()?, sinks.lists);
    let mut left = DATAGRAMS;
    while left > 0 {
        let part = fleet.datagrams.get(..left.min(fleet.datagrams.len())).unwrap_or_default();
        feeder.send_paced(part, LISTS, sinks)?;
        left -= part.len();
    }
    feeder.finish(sinks)?;
    Cost::since(before, subject, sinks.lists - warm)
}
