//! One run of one scenario by one contender: warm up, measure, check.

mod datagram;
mod stream;

use std::time::Instant;

use anyhow::ensure;

use super::{
    cases::Context,
    contender::{Contender, Running},
    feed::settle,
    scenario::Scenario,
    sink::{Arrivals, Places},
    subject::CpuTime,
    syscalls::Trace,
};

/// Samples before anything is measured, at least.
const WARM_UP: u64 = 100_000;

/// Samples while system calls are counted, at least.
const TRACED: u64 = 300_000;

/// What a run has cost.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Nanoseconds of CPU for each sample.
    pub nanos: f64,
    /// Part of it in user mode.
    pub user_percent: f64,
    /// Samples in a second of wall time.
    pub rate: f64,
    /// Of all that was due.
    pub lost_percent: f64,
    /// Memory at most, in MiB.
    pub peak_mib: f64,
    /// System calls for each sample, if they were counted.
    pub syscalls: Option<f64>,
}

/// Runs it; with `traced`, also counts system calls, after all else.
///
/// # Errors
/// Something cannot be started; what must not lose anything did, or did not send it to its owners.
pub fn run(
    context: &Context,
    scenario: &Scenario,
    contender: Contender,
    traced: bool,
) -> anyhow::Result<Outcome> {
    let drive = match scenario.input {
        input if input.is_collectd() => datagram::collectd,
        input if input.is_datagrams() => datagram::lines,
        _ => stream::run,
    };
    drive(context, scenario, contender, traced)
}

/// How often the input is sent.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Samples of one pass.
    pass: u64,
    warm: u64,
    measured: u64,
    traced: u64,
    /// Copies of each sample that should arrive.
    copies: u64,
}

impl Plan {
    fn new(scenario: &Scenario, contender: Contender, pass: u64, traced: bool) -> Self {
        let slowness = contender.slowness();
        let passes = |samples: u64| (samples / slowness / pass).max(1);
        Self {
            pass,
            warm: passes(WARM_UP * slowness.min(10)),
            measured: passes(scenario.samples),
            traced: if traced { passes(TRACED) } else { 0 },
            copies: scenario.copies(),
        }
    }
}

/// Sends the passes and measures what they cost the subject.
fn measure<S: Arrivals>(
    running: &Running,
    plan: Plan,
    sinks: &mut S,
    pass: &mut dyn FnMut(&mut S) -> anyhow::Result<()>,
    warmed: impl FnOnce(&mut S),
) -> anyhow::Result<Outcome> {
    let Plan { pass: samples, warm, measured, traced, copies } = plan;
    let subject = running.process();
    let mut due = 0;
    let mut send = |times: u64, sinks: &mut S| {
        for _ in 0..times {
            pass(sinks)?;
        }
        due += times * samples * copies;
        anyhow::Ok((due, settle(sinks, due)?))
    };
    let (_, before) = send(warm, sinks)?;
    warmed(sinks);
    let (cpu, started) = (subject.cpu()?, Instant::now());
    let (due, arrived) = send(measured, sinks)?;
    let seconds = started.elapsed().as_secs_f64();
    let units = (arrived - before) as f64 / copies as f64;
    ensure!(units > 0.0, "nothing arrived");
    let (nanos, user_percent) = spent(cpu, subject.cpu()?);
    let peak_mib = subject.memory_mib("VmHWM")?;
    let lost_percent = 100.0 * due.abs_diff(arrived) as f64 / due as f64;
    let trace = if traced == 0 { None } else { Trace::start(subject.pid())? };
    let syscalls = match trace {
        None => None,
        Some(trace) => {
            send(traced, sinks)?;
            Some(trace.finish()? / (traced * samples) as f64)
        }
    };
    let (nanos, rate) = (nanos / units, units / seconds);
    Ok(Outcome { nanos, user_percent, rate, lost_percent, peak_mib, syscalls })
}

/// Nanoseconds between two times, and the percentage of them in user mode.
fn spent(before: CpuTime, now: CpuTime) -> (f64, f64) {
    let (user, system) = (now.ticks.0 - before.ticks.0, now.ticks.1 - before.ticks.1);
    let user_percent = 100.0 * user as f64 / (user + system).max(1) as f64;
    ((now.total - before.total).as_secs_f64() * 1e9, user_percent)
}

/// Checks that the keys arrived at their owners and nowhere else, and that the account adds up.
fn check_owners(
    running: &Running,
    places: &Places,
    keys: &[Vec<u8>],
    targets: &[std::net::SocketAddr],
) -> anyhow::Result<()> {
    for key in keys {
        if let Some(owners) = running.owners(key, targets)? {
            places.check([key], |_| Ok(owners.clone()))?;
        }
    }
    if let Some(coco) = running.coco() {
        coco.balanced_ledger()?;
    }
    Ok(())
}
