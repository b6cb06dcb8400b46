//! TCP in, line targets out.

use anyhow::ensure;

use super::{Outcome, Plan, check_owners, measure};
use crate::relay::{
    cases::Context,
    contender::Contender,
    corpus::{Load, ManyNames, Source},
    feed::{Ahead, Clients},
    scenario::{Input, Scenario},
    sink::{LineSinks, Options},
};

/// Samples under way at most, so that no queue of a target fills: 29 MB.
const UNDER_WAY_MAX: u64 = 400_000;

/// Of so many names of a block one is checked.
const CHECK_STEP: usize = 101;

pub(super) fn run(
    context: &Context,
    scenario: &Scenario,
    contender: Contender,
    traced: bool,
) -> anyhow::Result<Outcome> {
    let mut sinks = LineSinks::start(scenario.targets * scenario.tiers, Options::default())?;
    let targets = sinks.addresses().to_vec();
    let tiers: Vec<_> = targets.chunks(scenario.targets).collect();
    let (mut source, keys) = source(scenario)?;
    let running = contender.start(context, scenario, &tiers)?;
    let mut clients = Clients::connect(running.address, scenario.clients)?;
    let ahead = Ahead { samples_max: UNDER_WAY_MAX, copies: scenario.copies() };
    let plan = Plan::new(scenario, contender, source.samples(), traced);
    let mut pass = |sinks: &mut LineSinks| clients.pass(source.as_mut(), sinks, ahead);
    let outcome = measure(&running, plan, &mut sinks, &mut pass, |_| ())?;
    if contender.is_ours() {
        let due = (clients.samples * scenario.copies(), clients.line_bytes * scenario.copies());
        let arrived = sinks.arrived();
        ensure!(due == arrived, "{due:?} lines and bytes were due, {arrived:?} arrived");
        check_owners(&running, &sinks.places(), &keys, &targets)?;
    }
    Ok(outcome)
}

/// What is sent, and keys to check.
type Keyed = (Box<dyn Source>, Vec<Vec<u8>>);

fn source(scenario: &Scenario) -> anyhow::Result<Keyed> {
    let mut load = match scenario.input {
        Input::ManyLines => {
            let mut many = ManyNames::new(scenario.names);
            let lines = many.block(0).split(|&byte| byte == b'\n').step_by(CHECK_STEP);
            let names = lines.filter_map(|line| line.split(|&byte| byte == b' ').next());
            let keys = names.map(<[u8]>::to_vec).collect();
            return Ok((Box::new(many), keys));
        }
        Input::Pickles(each) => Load::pickles(scenario.names, each)?,
        Input::Lines(each) | Input::LineDatagrams(each) => Load::lines(scenario.names, each)?,
        other => anyhow::bail!("{other:?} does not come over TCP"),
    };
    let keys = std::mem::take(&mut load.keys);
    Ok((Box::new(load), keys))
}
