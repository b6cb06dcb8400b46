//! Memory with a million distinct names and a thousand idle connections.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use super::{Context, quoted};
use crate::relay::{
    bare,
    corpus::Lines,
    feed::LineFeeder,
    report::{Measure, Report},
    sink::LineSinks,
    subject::Coco,
};

const NAMES: usize = 1_000_000;

/// Names in one block of lines.
const BLOCK: usize = 10_000;

/// How often each name is sent.
const ROUNDS: usize = 2;

/// Clients that have sent one line and then nothing.
const IDLE_CLIENTS: usize = 1000;

/// Lines under way at most: so many that Coco is busy, so few that its queues do not fill.
const UNDER_WAY_MAX: u64 = 50_000;

/// Lines over TCP in, four TCP targets out.
///
/// # Errors
/// A line was lost, or Coco cannot be started.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    for _ in 0..context.runs {
        one(context, report)?;
    }
    Ok(())
}

fn one(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let sinks = LineSinks::start(bare::TARGETS)?;
    let config = format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n\
         [tiers.bench]\nprotocol = \"graphite\"\ntargets = [{}]\n",
        quoted(&sinks.addresses())
    );
    let mut coco = Coco::start(context.coco.as_ref(), &config, context.cores.subject)?;
    let address = coco.process.address(&["listening", "line-tcp"])?;
    let mut feeder = LineFeeder::connect(address, &sinks)?;
    let idle = |at| {
        let mut client = TcpStream::connect(address)?;
        let line = format!("idle.client{at} 1 1700000000\n");
        client.write_all(line.as_bytes())?;
        feeder.sent.0 += 1;
        feeder.sent.1 += line.len() as u64;
        Ok(client)
    };
    let idle = (0..IDLE_CLIENTS).map(idle).collect::<io::Result<Vec<_>>>()?;
    feeder.wait(0);
    let row =
        |what, at_most| Measure { case: "memory", subject: "coco", what, unit: "MiB", at_most };
    report.note(row("with 1,000 clients", None), coco.process.memory_mib("VmRSS")?);
    for _ in 0..ROUNDS {
        for first in (0..NAMES).step_by(BLOCK) {
            feeder.wait(UNDER_WAY_MAX);
            feeder.send(&Lines::new(first, BLOCK))?;
        }
    }
    feeder.finish()?;
    coco.balanced_ledger()?;
    report.note(row("and 1 M names", Some(96.0)), coco.process.memory_mib("VmRSS")?);
    report.note(row("at most", Some(96.0)), coco.process.memory_mib("VmHWM")?);
    drop(idle);
    Ok(())
}
