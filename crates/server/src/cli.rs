//! The command line: what may be typed, and nothing of what is then done.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{VERSION, client::ApiUrl, ks::Ks, plan::Percent, verify::Verify};

/// Carries every metric of a fleet to the storage node that owns it.
///
/// Takes collectd's binary protocol and Graphite lines and pickles, and sends each sample to its
/// owner in every tier.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "coco",
    version = VERSION,
    args_conflicts_with_subcommands = true,
    after_help = AFTER_HELP,
)]
pub struct Cli {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file (TOML) to run; without one, a small demonstration on this machine
    ///
    /// Without one, in a folder that has a `coco.conf`, that is run, as by Coco 1.x.
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
    /// Prints faults with their lines, or notes worth knowing and a digest of each ring: two routers
    /// with equal digests place every key alike. Exit status: 0 the file is good, 3 it differs from the
    /// Coco that --against names, 78 it has faults or cannot be read.
    Check(Check),
    /// Show which targets own a name, with the code that routes; nothing is started
    ///
    /// A name is the host of collectd samples, their identifier where a tier has key = "series", or the
    /// name of a Graphite series.
    Lookup(Lookup),
    /// Tell all that decides about a name, from a running Coco or a file
    ///
    /// Filter, cleaned name, key, hash, place on the ring, owners and their state.
    Explain(Explain),
    /// Show what moves when one configuration takes the place of another; nothing is started
    ///
    /// Tiers are matched by their names, targets by their ids. Shares are counted over the whole key
    /// space where that can be done. Exit status: 0 done, 3 `--fail-above` does not allow it.
    Plan(Plan),
    /// Look at what is held on disk; a running Coco is not disturbed
    ///
    /// Exit status: 0 done, 3 `verify` found damage.
    Spool(Spool),
    /// Has a rate changed, and is it wrong now? A check for Nagios and Consul
    ///
    /// Compares both halves of a window with a two-sample Kolmogorov-Smirnov test, and looks at the newest
    /// readings for errors that last, targets that get nothing of what is due to them, and a ledger that
    /// does not add up. Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    Ks(Ks),
    /// After a deploy: four questions to one router or a fleet, answered within half a minute
    ///
    /// Is it running? Does a simple query work? Are there bad log messages? Do the metrics deviate? All
    /// routers are asked at once, a canary sample goes through each listener, and the rings must agree.
    /// What cannot be judged is UNKNOWN, never passed. Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    Verify(Verify),
}

/// Arguments of `coco spool`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Spool {
    /// The folder of the spool: the `directory` of its section in the configuration
    pub directory: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub command: SpoolCommand,
}

/// What `coco spool` does.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum SpoolCommand {
    /// List what is held for each target
    Ls,
    /// Read every record and name the damaged ranges
    Verify,
    /// Print the lines that are held for one target
    Dump {
        /// Its folder, as `ls` names it
        folder: String,
    },
    /// Move what is held for targets that a configuration no longer has to the new owners of each sample;
    /// only while no Coco runs on it
    ///
    /// A line goes by its name, a collectd sample by its host or identifier, as the ring of its tier has it.
    /// What is moved stands behind what is there. After a crash in the middle some of it is there twice, and
    /// nothing is lost. Prints tier, old and new target, and samples. What its tier cannot take, as it speaks
    /// another protocol now or has no targets, stays as it is: that is said, and the exit status is 3.
    Reroute {
        /// Configuration file whose rings give the owners
        #[arg(short, long, value_name = "CONFIG")]
        config: PathBuf,
        /// Only what is held for targets of this tier
        #[arg(short, long)]
        tier: Option<String>,
        /// Only what is held for the target of this id, which the configuration may still have
        #[arg(long, value_name = "ID")]
        target: Option<String>,
    },
    /// Remove what is held for one target; only while no Coco runs on it
    Drop {
        /// Its folder, as `ls` names it
        folder: String,
    },
}

/// Arguments of `coco check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Check {
    /// Configuration file to check
    pub config: PathBuf,
    /// Compare its tiers and rings with those of the Coco that runs here; port 9090 unless it says another
    #[arg(long, value_name = "HOST[:PORT]")]
    pub against: Option<ApiUrl>,
}

/// Arguments of `coco explain`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Explain {
    /// Configuration file to ask, instead of a running Coco
    #[arg(short, long, value_name = "CONFIG", conflicts_with = "url")]
    pub config: Option<PathBuf>,
    /// The running Coco to ask; port 9090 unless it says another
    #[arg(short, long, value_name = "HOST[:PORT]", default_value = "127.0.0.1:9090")]
    pub url: ApiUrl,
    /// Print one JSON object for each name
    #[arg(long)]
    pub json: bool,
    /// Names to explain: hosts or identifiers of collectd samples, or Graphite names
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<OsString>,
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
    /// Hash each name byte for byte as it is given, without cleaning it or sorting its tags
    #[arg(long)]
    pub raw: bool,
    /// Print one JSON object for each name: the name, and its owners in each tier
    #[arg(long)]
    pub json: bool,
    /// Names to look up; without any, one on each line of standard input
    #[arg(value_name = "NAME")]
    pub names: Vec<OsString>,
}

/// Arguments of `coco plan`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Plan {
    /// Configuration file in force
    pub old: PathBuf,
    /// Configuration file that is to take its place
    pub new: PathBuf,
    /// Names to try, one a line, as for `coco lookup`; `-` is standard input
    #[arg(long, value_name = "FILE", group = "source")]
    pub names: Option<PathBuf>,
    /// Try the live series of a running Coco; port 9090 unless it says another
    #[arg(long, value_name = "HOST[:PORT]", group = "source")]
    pub from: Option<ApiUrl>,
    /// Write a row for each copy to make: tier, name, old target, new target, with tabs between them
    ///
    /// The first line is `#tier`, `name`, `from`, `to`. A name is the one that the old target has it
    /// under, byte for byte; but backslash, tab, LF and CR in it are written `\\`, `\t`, `\n` and `\r`.
    #[arg(long, value_name = "FILE", requires = "source")]
    pub moved: Option<PathBuf>,
    /// Exit with status 3 when some tier moves more than this share of its copies, 0 to 100
    ///
    /// A tier that is gone, that carries another kind of samples, or that treats names otherwise and no
    /// names were given to tell what moves, is too much in any case.
    #[arg(long, value_name = "PERCENT")]
    pub fail_above: Option<Percent>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  coco                                 try it: everything on this machine
  coco check /etc/coco/coco.toml       name every fault before a restart does
  coco /etc/coco/coco.toml             run
  coco lookup -c coco.toml web-17      who owns web-17, in each tier
  coco plan coco.toml next.toml        what moves when next.toml takes its place
  coco explain web-17.load             all that decides about it, from the running Coco
  coco verify coco-1 coco-2 --since 5m all well, 5 minutes after a deploy?
  coco ks send --host coco-1           has the rate to a target changed?

Exit status: 0 done, 1 failed while running, 2 usage, 3 not as asked, 78 faulty configuration.";

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
        let config = Some(PathBuf::from("/etc/coco/coco.toml"));
        assert_eq!(parse("coco /etc/coco/coco.toml").unwrap(), Cli { command: None, config });
    }

    #[test]
    fn check_takes_one_file() {
        let check = |against: Option<&str>| {
            let config = PathBuf::from("c.toml");
            let against = against.map(|url| url.parse().unwrap());
            Some(Command::Check(Check { config, against }))
        };
        assert_eq!(parse("coco check c.toml").unwrap().command, check(None));
        for at in ["http://a:9090", "a:9090", "a"] {
            let line = format!("coco check c.toml --against {at}");
            assert_eq!(parse(&line).unwrap().command, check(Some("http://a:9090")));
        }
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
    fn plan_takes_two_files_and_one_source_of_names() {
        let plan = Plan {
            old: PathBuf::from("a.toml"),
            new: PathBuf::from("b.toml"),
            names: None,
            from: None,
            moved: None,
            fail_above: None,
            json: false,
        };
        let seen = |line: &str| parse(line).unwrap().command;
        assert_eq!(seen("coco plan a.toml b.toml"), Some(Command::Plan(plan.clone())));
        assert_eq!(
            seen("coco plan a.toml b.toml --names - --moved m.tsv --fail-above 12.5% --json"),
            Some(Command::Plan(Plan {
                names: Some(PathBuf::from("-")),
                moved: Some(PathBuf::from("m.tsv")),
                fail_above: Some("12.5".parse().unwrap()),
                json: true,
                ..plan.clone()
            }))
        );
        assert_eq!(
            seen("coco plan a.toml b.toml --from http://[::1]:9090"),
            Some(Command::Plan(Plan { from: Some("http://[::1]:9090/".parse().unwrap()), ..plan }))
        );
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for (line, kind) in [
            ("coco plan a.toml", ErrorKind::MissingRequiredArgument),
            ("coco plan a.toml b.toml --moved m.tsv", ErrorKind::MissingRequiredArgument),
            ("coco plan a b --names n --from http://a:1", ErrorKind::ArgumentConflict),
            ("coco plan a b --from https://a:1", ErrorKind::ValueValidation),
            ("coco explain --url 127.0.0.1:99999 a", ErrorKind::ValueValidation),
            ("coco verify 127.0.0.1:", ErrorKind::ValueValidation),
            ("coco plan a b --fail-above 101", ErrorKind::ValueValidation),
            ("coco check", ErrorKind::MissingRequiredArgument),
            ("coco lookup web-17", ErrorKind::MissingRequiredArgument),
            ("coco explain", ErrorKind::MissingRequiredArgument),
            ("coco explain -c c.toml --url http://a a", ErrorKind::ArgumentConflict),
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
