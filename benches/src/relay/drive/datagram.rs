//! UDP in, paced by what arrives; lines go to line targets, collectd's datagrams to UDP targets.

use anyhow::{bail, ensure};

use super::{Outcome, Plan, check_owners, measure};
use crate::relay::{
    cases::Context,
    contender::Contender,
    corpus::{Fleet, LISTS, Load, Source},
    feed::{DatagramFeeder, Pace},
    scenario::{Input, Scenario},
    sink::{DatagramSinks, LineSinks, Options},
};

pub(super) fn lines(
    context: &Context,
    scenario: &Scenario,
    contender: Contender,
    traced: bool,
) -> anyhow::Result<Outcome> {
    let Input::LineDatagrams(each) = scenario.input else { bail!("no lines over UDP") };
    let mut sinks = LineSinks::start(scenario.targets * scenario.tiers, Options::default())?;
    let targets = sinks.addresses().to_vec();
    let tiers: Vec<_> = targets.chunks(scenario.targets).collect();
    let load = Load::lines(scenario.names, each)?;
    let running = contender.start(context, scenario, &tiers)?;
    let mut feeder = DatagramFeeder::connect(running.address, scenario.copies())?;
    let plan = Plan::new(scenario, contender, load.samples(), traced);
    let pace = match contender {
        peer if !peer.is_ours() => Pace::PEER,
        _ if each == 1 => Pace::SMALL,
        _ => Pace::FULL,
    };
    let mut pass = |sinks: &mut LineSinks| feeder.send_paced(&load.blocks, load.each, sinks, pace);
    let outcome = measure(&running, plan, &mut sinks, &mut pass, |_| ())?;
    if contender.is_ours() {
        feeder.finish(&mut sinks)?;
        let passes = feeder.expected / (load.samples() * scenario.copies());
        let (_, bytes) = sinks.arrived();
        let due = passes * load.line_bytes() * scenario.copies();
        ensure!(due == bytes, "{due} bytes of lines were due, {bytes} arrived");
        check_owners(&running, &sinks.places(), &load.keys, &targets)?;
    }
    Ok(outcome)
}

pub(super) fn collectd(
    context: &Context,
    scenario: &Scenario,
    contender: Contender,
    traced: bool,
) -> anyhow::Result<Outcome> {
    let mut sinks = DatagramSinks::start(scenario.targets * scenario.tiers)?;
    let targets = sinks.addresses()?;
    let tiers: Vec<_> = targets.chunks(scenario.targets).collect();
    let fleet = match scenario.input {
        Input::Collectd => Fleet::single(scenario.names)?,
        Input::CollectdMixed => Fleet::mixed(scenario.names)?,
        Input::CollectdSigned => Fleet::single(scenario.names)?.signed(),
        other => bail!("{other:?} is not collectd's"),
    };
    let load = Load::fleet(fleet, LISTS);
    let running = contender.start(context, scenario, &tiers)?;
    let mut feeder = DatagramFeeder::connect(running.address, scenario.copies())?;
    let plan = Plan::new(scenario, contender, load.samples(), traced);
    let mut pass =
        |sinks: &mut DatagramSinks| feeder.send_paced(&load.blocks, load.each, sinks, Pace::FULL);
    // Noting where hosts arrive is for the warm-up.
    let warmed = |sinks: &mut DatagramSinks| sinks.watching = false;
    let outcome = measure(&running, plan, &mut sinks, &mut pass, warmed)?;
    feeder.finish(&mut sinks)?;
    check_owners(&running, &sinks.places, &load.keys, &targets)?;
    Ok(outcome)
}
