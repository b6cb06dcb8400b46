//! The command line: what may be typed, and nothing of what is then done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Carries every metric of a fleet to the storage node that owns it.
///
/// Takes collectd's binary protocol and Graphite lines and pickles, and sends each sample to its
/// owner in every tier.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "coco",
    version,
    args_conflicts_with_subcommands = true,
    after_help = AFTER_HELP,
)]
pub struct Cli {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file (TOML) to run; without one, a small demonstration on this machine
    ///
    /// The demonstration listens on 127.0.0.1 only: collectd on 25826/udp, Graphite on 2003 (lines)
    /// and 2004 (pickle), the HTTP API on 9090. Its one tier keeps recent samples in memory.
    pub config: Option<PathBuf>,
}

/// What `coco` does besides running.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Check a configuration file and name every fault in it; nothing is started
    ///
    /// Prints faults with their lines, or notes worth knowing. Exit status: 0 the file is good, 78 it
    /// has faults or cannot be read.
    Check(Check),
    /// Show which targets own a name, with the code that routes; nothing is started
    ///
    /// A name is the host of collectd samples or the name of a Graphite series.
    Lookup(Lookup),
}

/// Arguments of `coco check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Check {
    /// Configuration file to check
    pub config: PathBuf,
}

/// Arguments of `coco lookup`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Lookup {
    /// Configuration file whose tiers are asked
    #[arg(short, long, value_name = "CONFIG")]
    pub config: PathBuf,
    /// Ask only this tier, instead of all of them
    #[arg(short, long)]
    pub tier: Option<String>,
    /// Hash each name byte for byte as it is given, without sorting the tags of a Graphite name
    #[arg(long)]
    pub raw: bool,
    /// Print one JSON object for each name, as the API's /lookup does
    #[arg(long)]
    pub json: bool,
    /// Names to look up; without any, one on each line of standard input
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

const AFTER_HELP: &str = "\
Examples:
  coco                                        try it: everything on this machine
  coco check /etc/coco.toml                   name every fault before a restart does
  coco /etc/coco.toml                         run
  coco lookup --config /etc/coco.toml web-17  who owns web-17, in each tier

Exit status: 0 done, 1 failed while running, 2 usage, 78 faulty configuration.";
