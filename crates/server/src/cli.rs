//! The command line: what may be typed, and nothing of what is then done.

use std::{ffi::OsString, path::PathBuf};

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
    /// Print one JSON object for each name: the name, and its owners in each tier
    #[arg(long)]
    pub json: bool,
    /// Names to look up; without any, one on each line of standard input
    #[arg(value_name = "NAME")]
    pub names: Vec<OsString>,
}

const AFTER_HELP: &str = "\
Examples:
  coco                                        try it: everything on this machine
  coco check /etc/coco.toml                   name every fault before a restart does
  coco /etc/coco.toml                         run
  coco lookup --config /etc/coco.toml web-17  who owns web-17, in each tier

Exit status: 0 done, 1 failed while running, 2 usage, 78 faulty configuration.";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_file_runs_and_so_does_no_file() {
        assert_eq!(parse("coco").unwrap(), Cli { command: None, config: None });
        let config = Some(PathBuf::from("/etc/coco.toml"));
        assert_eq!(parse("coco /etc/coco.toml").unwrap(), Cli { command: None, config });
    }

    #[test]
    fn check_takes_one_file() {
        let check = Command::Check(Check { config: PathBuf::from("c.toml") });
        assert_eq!(parse("coco check c.toml").unwrap().command, Some(check));
    }

    #[test]
    fn lookup_takes_any_number_of_names() {
        let lookup = |names: &[&str]| Lookup {
            config: PathBuf::from("c.toml"),
            tier: None,
            raw: false,
            json: false,
            names: names.iter().map(Into::into).collect(),
        };
        let seen = |line: &str| parse(line).unwrap().command;
        assert_eq!(seen("coco lookup --config c.toml"), Some(Command::Lookup(lookup(&[]))));
        assert_eq!(
            seen("coco lookup --config c.toml --tier short --raw --json a b"),
            Some(Command::Lookup(Lookup {
                tier: Some("short".to_owned()),
                raw: true,
                json: true,
                ..lookup(&["a", "b"])
            }))
        );
        assert_eq!(
            seen("coco lookup -c c.toml -- --raw"),
            Some(Command::Lookup(lookup(&["--raw"])))
        );
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for (line, kind) in [
            ("coco check", ErrorKind::MissingRequiredArgument),
            ("coco lookup web-17", ErrorKind::MissingRequiredArgument),
            ("coco a.toml b.toml", ErrorKind::ArgumentConflict),
            ("coco --port 1", ErrorKind::UnknownArgument),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}");
        }
        for (line, kind) in [
            ("coco --version", ErrorKind::DisplayVersion),
            ("coco --help", ErrorKind::DisplayHelp),
            ("coco help lookup", ErrorKind::DisplayHelp),
        ] {
            let shown = parse(line).unwrap_err();
            assert_eq!((shown.kind(), shown.exit_code()), (kind, 0), "{line}");
        }
    }
}
