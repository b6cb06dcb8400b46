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
    cases::{self, Context, Filter},
    machine::{self, Cores},
    plot,
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
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Of the four targets of each tier of the platform, so many are real storage nodes
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Of the rows and of scale, only those whose name has this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Also write the rows to this file, and pictures beside it
    #[arg(long, value_name = "PATH")]
    csv: Option<PathBuf>,
    /// Also write the rows to benches/record/CPU/DATE.csv, and pictures beside it
    #[arg(long)]
    record: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// All of the following
    All,
    /// Every input and shape, floods and a slow target
    Rows,
    /// Of the rows: one TCP connection of lines in, four targets out, beside others
    Line,
    /// Of the rows: collectd datagrams
    Collectd,
    /// How long a line is under way
    Latency,
    /// What a line costs with more targets, tiers, names, connections, cores
    Scale,
    /// 350,000 samples every ten seconds from 2,000 hosts to two tiers, with real storage nodes
    Platform,
    /// What the spool costs while it is not used, and when all goes to disk
    Spool,
    /// Memory with a million names and a thousand connections, and of an idle connection
    Memory,
    #[value(hide = true)]
    BareLines,
    #[value(hide = true)]
    BareDatagrams,
}

type Case = fn(&Context, &mut Report) -> anyhow::Result<()>;

const CASES: [(What, Case); 8] = [
    (What::Rows, cases::rows),
    (What::Line, cases::rows),
    (What::Collectd, cases::rows),
    (What::Latency, cases::latency),
    (What::Scale, cases::scale),
    (What::Platform, cases::platform),
    (What::Spool, cases::spool),
    (What::Memory, cases::memory),
];

impl What {
    /// `All` leaves out what is part of the rows.
    fn takes(self, case: Self) -> bool {
        self == case || (self == Self::All && ![Self::Line, Self::Collectd].contains(&case))
    }

    fn filter(self, only: Option<String>) -> Filter {
        match self {
            Self::Line => Filter { exact: Some("line"), part: only, slow_peers: false },
            Self::Collectd => {
                let part = only.or_else(|| Some("collectd".to_owned()));
                Filter { exact: None, part, slow_peers: false }
            }
            _ => Filter { exact: None, part: only, slow_peers: true },
        }
    }
}

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
        filter: arguments.what.filter(arguments.only),
    };
    machine::raise_open_files()?;
    let mut report = Report::default();
    let cases = CASES.iter().filter(|(what, _)| arguments.what.takes(*what));
    for (_, case) in cases {
        case(&context, &mut report)?;
    }
    if report.is_empty() {
        report.remark("no row has such a name".to_owned());
    }
    for (name, text) in &description {
        println!("{name:<16} {text}");
    }
    println!("\n{}", report.table());
    let recorded = arguments.record.then(|| record_file(&description));
    for file in arguments.csv.iter().chain(&recorded) {
        report.write_csv(file, &description)?;
        plot::write(&report, file, &caption(&description))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told<'a>(description: &'a [(&str, String)], name: &str) -> &'a str {
    description.iter().find(|(key, _)| *key == name).map_or("unknown", |(_, text)| text)
}

fn record_file(description: &[(&'static str, String)]) -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "benches".into());
    let folder = Path::new(&package).join("record").join(machine::cpu_folder());
    folder.join(format!("{}.csv", told(description, "date")))
}

/// What stands below the title of a picture.
fn caption(description: &[(&'static str, String)]) -> String {
    let of = |name| told(description, name);
    format!("{}, {}, commit {}", of("machine"), of("date"), of("commit"))
}
