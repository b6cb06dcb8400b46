//! The platform's load: 2,000 hosts, 350,000 samples every ten seconds, two tiers of four targets.
//!
//! Some of the targets are real storage nodes ([`node`]), as many as the machine carries; the others count. Coco
//! has its core for itself but for the nodes, which may use all; the feeder and the counting targets share
//! the other. Every sample that fell to a node is accounted for, from Coco's `sent` to rrdcached's.

mod account;
mod hosts;
mod interrupt;
mod node;
mod rrdcached;

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use coco_wire::collectd::TIME_UNITS_PER_SECOND;
use serde_json::Value;

use super::Context;
use crate::relay::{
    feed::DatagramFeeder,
    report::Report,
    sink::DatagramSinks,
    subject::{Coco, CpuTime, sum},
};

use account::Account;
use hosts::Hosts;
use interrupt::Interrupt;
use node::{Node, Programs};

const HOSTS: usize = 2000;

/// Every host sends once in so long.
const INTERVAL: Duration = Duration::from_secs(10);

/// When this program was kept from running, it sends what is late so many times as fast as usual: hosts of their
/// own would not have sent it all at once.
const CATCH_UP: u32 = 2;

const TIERS: [&str; 2] = ["short", "long"];

/// Targets of each tier.
const TARGETS: usize = 4;

/// Long enough for a start on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// Nothing has moved for so long: nothing more will.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Every host sends its datagrams at once, at its own time in the interval.
///
/// # Errors
/// Something cannot be started; a signal came.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let mut hosts = Hosts::new(HOSTS)?;
    let programs = Programs::find();
    let real = if programs.is_some() { context.platform_nodes.min(TARGETS) } else { 0 };
    eprintln!("platform: {real} of {TARGETS} targets of each tier are real storage nodes");
    if programs.is_none() {
        eprintln!("platform: for those, install collectd-core and rrdcached");
    }
    let interrupt = Interrupt::hold()?;
    for _ in 0..context.runs {
        let start = |programs| {
            let cores = context.cores.both();
            (0..real * TIERS.len()).map(|_| Node::start(programs, &cores)).collect()
        };
        let nodes = programs.as_ref().map_or_else(|| Ok(Vec::new()), start)?;
        let mut platform = Platform::start(context, nodes, &interrupt)?;
        platform.load(&mut hosts, INTERVAL * context.platform_seconds / 10)?;
        platform.account()?.note(report);
    }
    Ok(())
}

/// All that runs.
#[derive(Debug)]
struct Platform<'a> {
    nodes: Vec<Node>,
    sinks: DatagramSinks,
    coco: Coco,
    feeder: DatagramFeeder,
    interrupt: &'a Interrupt,
    /// CPU time of Coco and of each node before the load.
    before: (CpuTime, Vec<Duration>),
    load: Load,
}

/// What was seen of the load itself.
#[derive(Debug, Default)]
struct Load {
    /// How long it lasted.
    length: Duration,
    /// How late a host sent at most, because this program was kept from running.
    latest: Duration,
    /// CPU time of Coco in it.
    coco: Duration,
    /// CPU time of each node in its second half, when most files are there.
    second_half: Vec<Duration>,
}

impl<'a> Platform<'a> {
    fn start(
        context: &Context,
        nodes: Vec<Node>,
        interrupt: &'a Interrupt,
    ) -> anyhow::Result<Self> {
        let mut sinks = DatagramSinks::start(TIERS.len() * TARGETS - nodes.len())?;
        sinks.watching = false;
        wait(&mut sinks, interrupt, |_, since| {
            ensure!(since < START_MAX, "a storage node does not start");
            Ok(nodes.iter().all(Node::is_ready))
        })?;
        let config = config(&nodes, &sinks.addresses()?);
        let mut coco = Coco::start(context.coco.as_ref(), &config, context.cores.subject)?;
        let address = coco.process.address(&["listening", "collectd"])?;
        let feeder = DatagramFeeder::connect(address, 1)?;
        let before = (coco.process.cpu()?, spent(&nodes)?);
        Ok(Self { nodes, sinks, coco, feeder, interrupt, before, load: Load::default() })
    }

    /// Sends for so long.
    fn load(&mut self, hosts: &mut Hosts, length: Duration) -> anyhow::Result<()> {
        let (started, epoch) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?);
        let step = INTERVAL / u32::try_from(hosts.count())?;
        let (mut host, mut due, mut half) = (0, Duration::ZERO, None);
        let (mut not_before, mut latest) = (Duration::ZERO, Duration::ZERO);
        while due < length {
            let now = started.elapsed();
            if now >= due.max(not_before) {
                let datagrams = hosts.read(host, collectd_time(epoch + due));
                self.feeder.send(datagrams, hosts::LISTS)?;
                latest = latest.max(now - due);
                not_before = now + step / CATCH_UP;
                (host, due) = ((host + 1) % hosts.count(), due + step);
            }
            self.sinks.wait(1)?;
            self.sinks.drain()?;
            self.interrupt.check()?;
            if half.is_none() && 2 * due >= length {
                half = Some(spent(&self.nodes)?);
            }
        }
        let in_half = spent(&self.nodes)?.into_iter().zip(half.unwrap_or_default());
        self.load = Load {
            length: started.elapsed(),
            latest,
            coco: self.coco.process.cpu()?.total - self.before.0.total,
            second_half: in_half.map(|(end, half)| end - half).collect(),
        };
        Ok(())
    }

    /// Waits until Coco and the nodes are done, and tells what became of all samples.
    fn account(&mut self) -> anyhow::Result<Account> {
        let load_end = Instant::now();
        let ledger = self.settled_ledger()?;
        let sent = |address: SocketAddr| sent(&ledger, address).context("a target is not listed");
        let to_nodes = self.nodes.iter().map(|node| sent(node.address));
        let to_nodes: Vec<u64> = to_nodes.collect::<anyhow::Result<_>>()?;
        let to_sinks =
            self.sinks.addresses()?.into_iter().map(sent).sum::<anyhow::Result<u64>>()?;
        let (mut moved, mut last) = (Duration::ZERO, None);
        wait(&mut self.sinks, self.interrupt, |sinks, since| {
            let mut left = to_sinks.saturating_sub(sinks.lists);
            for (node, &sent) in self.nodes.iter().zip(&to_nodes) {
                let gone = node.stats()?.updates + node.dropped()? * hosts::LISTS as u64;
                left += sent.saturating_sub(gone);
            }
            if last != Some(left) {
                (moved, last) = (since, Some(left));
            }
            Ok(left == 0 || since - moved > SILENCE_MAX)
        })?;
        let caught_up = load_end.elapsed();
        Account::of(self, &ledger, &to_nodes, to_sinks, caught_up)
    }

    /// Coco's ledger when it holds nothing more.
    fn settled_ledger(&mut self) -> anyhow::Result<Value> {
        let mut ledger = Value::Null;
        wait(&mut self.sinks, self.interrupt, |_, since| {
            ledger = self.coco.ledger()?;
            let held = sum(&ledger, &["queued", "in_flight"]);
            let seen = account::decoded(&ledger) >= self.feeder.expected;
            Ok((held == 0 && seen) || since > SILENCE_MAX)
        })?;
        Ok(ledger)
    }
}

/// Drains the sinks until `is_done` says so, which gets to know the time since the start.
fn wait(
    sinks: &mut DatagramSinks,
    interrupt: &Interrupt,
    mut is_done: impl FnMut(&DatagramSinks, Duration) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    while !is_done(sinks, started.elapsed())? {
        sinks.wait(100)?;
        sinks.drain()?;
        interrupt.check()?;
    }
    Ok(())
}

/// CPU time of each so far.
fn spent(nodes: &[Node]) -> anyhow::Result<Vec<Duration>> {
    nodes.iter().map(Node::cpu).collect()
}

/// Each tier has its share of the nodes and of the sinks; by their ids they own the same hosts in every run.
fn config(nodes: &[Node], sinks: &[SocketAddr]) -> String {
    let (real, counting) = (nodes.len() / TIERS.len(), sinks.len() / TIERS.len());
    let mut config = "[listen]\nbind = \"127.0.0.1:0\"\n".to_owned();
    for (at, tier) in TIERS.into_iter().enumerate() {
        let nodes = nodes.iter().skip(at * real).take(real).map(|node| node.address);
        let sinks = sinks.iter().skip(at * counting).take(counting).copied();
        let target =
            |(number, address)| format!("{{ address = \"{address}\", id = \"{tier}-{number}\" }}");
        let targets: Vec<_> = nodes.chain(sinks).enumerate().map(target).collect();
        config += &format!("[tiers.{tier}]\ntargets = [{}]\n", targets.join(", "));
    }
    config
}

/// Samples that Coco has sent to a target.
fn sent(ledger: &Value, target: SocketAddr) -> Option<u64> {
    let target = target.to_string();
    let tiers = ledger.get("tiers")?.as_array()?;
    let mut targets = tiers.iter().filter_map(|tier| tier.get("targets")?.as_array()).flatten();
    let is_it = |it: &&Value| it.get("target").and_then(Value::as_str) == Some(&target);
    targets.find(is_it)?.get("sent")?.as_u64()
}

/// In 2⁻³⁰ s.
fn collectd_time(since_epoch: Duration) -> u64 {
    let fraction = u64::from(since_epoch.subsec_nanos()) * TIME_UNITS_PER_SECOND / 1_000_000_000;
    since_epoch.as_secs() * TIME_UNITS_PER_SECOND + fraction
}
