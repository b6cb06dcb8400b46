//! Graphite lines: one TCP connection in, four TCP targets out.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
};

use anyhow::Context as _;

use super::{Context, Cost, note_ratio, quoted};
use crate::relay::{
    bare,
    corpus::Lines,
    feed::LineFeeder,
    machine::first_line,
    report::{Measure, Report},
    sink::LineSinks,
    subject::{Coco, Subject},
};

const CASE: &str = "line";
const PER_LINE: &str = "ns/line";

/// Distinct names.
const NAMES: usize = 10_000;

/// How often each of them is sent before anything is measured.
const WARM_UP: usize = 10;

/// How often each of them is sent while it is.
const ROUNDS: usize = 1500;

/// The same for a peer, which takes longer.
const ROUNDS_PEER: usize = 300;

/// Of so many names one is checked to be at its owner.
const CHECK_STEP: usize = 101;

/// Coco, the bare loop, and carbon-c-relay if it is installed.
///
/// # Errors
/// Coco or the bare loop lost a line, or something cannot be started.
pub fn run(context: &Context, report: &mut Report) -> anyhow::Result<()> {
    let lines = Lines::new(0, NAMES);
    let with_peer = first_line("carbon-c-relay", &["-v"]).is_some();
    for _ in 0..context.runs {
        let coco = coco(context, &lines).context("coco")?;
        coco.note(report, CASE, "coco", PER_LINE);
        let bare = bare_loop(context, &lines).context("the bare loop")?;
        bare.note(report, CASE, "bare", PER_LINE);
        note_ratio(report, CASE, coco, bare);
        if with_peer {
            let (cost, lost) = carbon_c_relay(context, &lines).context("carbon-c-relay")?;
            let subject = "carbon-c-relay";
            cost.note(report, CASE, subject, PER_LINE);
            let row = Measure { case: CASE, subject, what: "lost", unit: "%", at_most: None };
            report.note(row, lost);
        }
    }
    Ok(())
}

fn coco(context: &Context, lines: &Lines) -> anyhow::Result<Cost> {
    let sinks = LineSinks::start(bare::TARGETS)?;
    let targets = sinks.addresses();
    let config = format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n\
         [tiers.bench]\nprotocol = \"graphite\"\ntargets = [{}]\n",
        quoted(&targets)
    );
    let mut coco = Coco::start(context.coco.as_ref(), &config, context.cores.subject)?;
    let address = coco.process.address(&["listening", "line-tcp"])?;
    let mut feeder = LineFeeder::connect(address, &sinks)?;
    let cost = measure(&coco.process, &mut feeder, lines, ROUNDS)?;
    feeder.finish()?;
    let owner = |name: &[u8]| coco.owner("bench", name, &targets);
    sinks.places().check(lines.names(CHECK_STEP), owner)?;
    coco.balanced_ledger()?;
    Ok(cost)
}

fn bare_loop(context: &Context, lines: &Lines) -> anyhow::Result<Cost> {
    let sinks = LineSinks::start(bare::TARGETS)?;
    let mut command = Command::new(&context.bench);
    command.arg("bare-lines").args(sinks.addresses().iter().map(SocketAddr::to_string));
    let mut subject = Subject::start(&mut command, &[context.cores.subject])?;
    let address = subject.address(&["listening"])?;
    let mut feeder = LineFeeder::connect(address, &sinks)?;
    let cost = measure(&subject, &mut feeder, lines, ROUNDS)?;
    feeder.finish()?;
    sinks.places().check(lines.names(CHECK_STEP), |name| Ok(bare::owner(name)))?;
    Ok(cost)
}

/// On both cores, as its threads wait busily for each other on one; with one worker, and a queue that
/// does not overflow. Also tells the percentage that was lost.
fn carbon_c_relay(context: &Context, lines: &Lines) -> anyhow::Result<(Cost, f64)> {
    let sinks = LineSinks::start(bare::TARGETS)?;
    // It does not tell which port the kernel chose.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let members = sinks.addresses().into_iter().zip('a'..);
    let members: String = members.map(|(target, name)| format!(" {target}={name}")).collect();
    let config = format!(
        "listen type linemode 127.0.0.1:{port} proto tcp;\n\
         cluster bench carbon_ch replication 1{members};\nmatch * send to bench stop;\n"
    );
    let mut command = Command::new("carbon-c-relay");
    command.args(["-s", "-w", "1", "-q", "2500000", "-f"]);
    let subject = Subject::start_with_file(&mut command, &config, &context.cores.both())?;
    let mut feeder = LineFeeder::connect((Ipv4Addr::LOCALHOST, port).into(), &sinks)?;
    let cost = measure(&subject, &mut feeder, lines, ROUNDS_PEER)?;
    let (sent, arrived) = (feeder.sent.0 as f64, feeder.wait(0) as f64);
    Ok((cost, 100.0 * (sent - arrived) / sent))
}

fn measure(
    subject: &Subject,
    feeder: &mut LineFeeder<'_>,
    lines: &Lines,
    rounds: usize,
) -> anyhow::Result<Cost> {
    for _ in 0..WARM_UP {
        feeder.send(lines)?;
    }
    let warm = feeder.wait(0);
    let before = subject.cpu()?;
    for _ in 0..rounds {
        feeder.send(lines)?;
    }
    let arrived = feeder.wait(0);
    Cost::since(before, subject, arrived - warm)
}
