//! `relay`: whole-process comparisons of Coco with bare loops and peers.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use coco_benches::relay::{
    bare,
    cases::{self, Context},
    machine::{self, Cores},
    report::Report,
};

/// Measures Coco as a process of its own, next to bare loops that do the least a router has to do, and
/// next to peers that are installed.
///
/// Exit status: 0 all goals met, 1 one missed or a sample lost, 2 usage.
#[derive(Debug, Parser)]
#[command(name = "relay")]
struct Arguments {
    /// What to measure
    what: What,
    /// Targets of a bare loop
    #[arg(hide = true)]
    targets: Vec<SocketAddr>,
    /// The binary of Coco [default: builds it]
    #[arg(long, value_name = "PATH")]
    coco: Option<PathBuf>,
    /// Runs of each row, of which the median counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How long the platform's load lasts
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Of the four targets of each tier of the platform, so many are real storage nodes
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Also write the rows to this file
    #[arg(long, value_name = "PATH")]
    csv: Option<PathBuf>,
    /// Also write the rows to benches/record/CPU/DATE.csv
    #[arg(long)]
    record: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// All of the following
    All,
    /// Graphite lines: one TCP connection in, four targets out
    Line,
    /// collectd datagrams: UDP in, four targets out
    Collectd,
    /// 350,000 samples every ten seconds from 2,000 hosts to two tiers, with real storage nodes
    Platform,
    /// Memory with a million names and a thousand connections
    Memory,
    #[value(hide = true)]
    BareLines,
    #[value(hide = true)]
    BareDatagrams,
}

type Case = fn(&Context, &mut Report) -> anyhow::Result<()>;

const CASES: [(What, Case); 4] = [
    (What::Line, cases::line),
    (What::Collectd, cases::collectd),
    (What::Platform, cases::platform),
    (What::Memory, cases::memory),
];

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.what {
        What::BareLines => bare::lines(&arguments.targets).map(|()| ExitCode::SUCCESS),
        What::BareDatagrams => bare::datagrams(&arguments.targets).map(|()| ExitCode::SUCCESS),
        _ => measure(arguments),
    }
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn measure(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let coco = arguments.coco.map_or_else(machine::build_coco, Ok)?;
    let description = machine::description(&coco);
    let context = Context {
        coco,
        bench: env::current_exe()?,
        runs: arguments.runs,
        platform_seconds: arguments.seconds,
        platform_nodes: arguments.nodes,
        cores: Cores::take()?,
    };
    let mut report = Report::default();
    let cases = CASES.iter().filter(|(what, _)| [*what, What::All].contains(&arguments.what));
    for (_, case) in cases {
        case(&context, &mut report)?;
    }
    for (name, text) in &description {
        println!("{name:<16} {text}");
    }
    println!("\n{}", report.table());
    if let Some(file) = &arguments.csv {
        report.write_csv(file, &description)?;
    }
    if arguments.record {
        let date = description.iter().find(|(name, _)| *name == "date");
        let date = date.map_or("undated", |(_, date)| date);
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "benches".into());
        let folder = Path::new(&package).join("record").join(machine::cpu_folder());
        let file = folder.join(format!("{date}.csv"));
        report.write_csv(&file, &description)?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
