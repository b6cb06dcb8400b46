//! `coco`: parse the command line, do what it says, turn the result into an exit status.

use std::{io, path::PathBuf, process::ExitCode};

use clap::Parser;
use coco_server::{
    NotAsAsked, VERSION,
    check::check,
    cli::{Cli, Command},
    config::{Config, ConfigError},
    explain::explain,
    ks::{self, ks},
    lookup::lookup,
    plan::{Verdict, plan},
    run::run,
    spool::spool,
    stdout::print,
    verify::verify,
};

/// Failed while running.
const FAILED: u8 = 1;

/// A check or a gate was asked for, and what it watches is not so.
const NOT_AS_ASKED: u8 = 3;

/// `EX_CONFIG` of sysexits.h: faulty configuration.
const BAD_CONFIG: u8 = 78;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => act(cli).unwrap_or_else(|error| failed(&error)),
        Err(error) if ks::is_meant(std::env::args_os()) => ks::usage(&error, std::env::args_os()),
        Err(error) => error.exit(),
    }
}

/// Does what was typed.
fn act(cli: Cli) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match cli {
        Cli { command: Some(Command::Check(args)), .. } => check(&args).map(done),
        Cli { command: Some(Command::Lookup(args)), .. } => lookup(&args).map(done),
        Cli { command: Some(Command::Explain(args)), .. } => explain(&args).map(done),
        Cli { command: Some(Command::Plan(args)), .. } => {
            plan(&args).map(|verdict| match verdict {
                Verdict::Passed => ExitCode::SUCCESS,
                Verdict::Exceeded => ExitCode::from(NOT_AS_ASKED),
            })
        }
        Cli { command: Some(Command::Ks(args)), .. } => Ok(ks(&args)),
        Cli { command: Some(Command::Verify(args)), .. } => Ok(verify(&args)),
        Cli { command: Some(Command::Spool(args)), .. } => spool(&args).map(done),
        Cli { config, .. } => match config.or_else(file_of_1_x) {
            Some(path) => run(Config::load(&path)?, Some(path)).map(done),
            None => {
                // Whoever does not read it gets the demonstration none the less.
                let _printed: io::Result<()> = print(&welcome());
                run(Config::embedded_default(), None).map(done)
            }
        },
    }
}

/// The file that Coco 1.x reads when it is given none, if it is there: who starts it like this has data to carry.
fn file_of_1_x() -> Option<PathBuf> {
    let path = PathBuf::from("coco.conf");
    let is_there = path.is_file();
    if is_there {
        eprintln!("coco: no file is given; the coco.conf of this folder is run, as by Coco 1.x");
    }
    is_there.then_some(path)
}

/// Says why, and which exit status tells it.
fn failed(error: &anyhow::Error) -> ExitCode {
    if error.is::<ConfigError>() {
        eprintln!("{error}");
        return ExitCode::from(BAD_CONFIG);
    }
    if error.is::<NotAsAsked>() {
        eprintln!("{error:#}");
        return ExitCode::from(NOT_AS_ASKED);
    }
    eprintln!("coco: {error:#}");
    ExitCode::from(FAILED)
}

fn welcome() -> String {
    format!(
        "\
Coco {} with the embedded default: one tier of three targets in this process.
Try, in another terminal:

  echo \"web01.load 0.42 $(date +%s)\" | nc -q0 127.0.0.1 2003
  curl '127.0.0.1:9090/lookup?name=web01.load'
  curl '127.0.0.1:9090/embedded?name=web01.load'

collectd goes to 127.0.0.1:25826/udp, pickle to 127.0.0.1:2004; http://127.0.0.1:9090/ lists the API.
Ctrl-C stops. `coco --help` tells the rest.

",
        VERSION
    )
}
