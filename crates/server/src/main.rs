//! `coco`: parse the command line, do what it says, turn the result into an exit status.

#![expect(clippy::print_stdout, reason = "a command line tool answers on standard output")]

use std::process::ExitCode;

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
    verify::{self, verify},
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
        Err(error) if std::env::args_os().nth(1).is_some_and(|word| word == "verify") => {
            verify::usage(&error, std::env::args_os())
        }
        Err(error) if ks::is_meant(std::env::args_os()) => ks::usage(&error),
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
        Cli { config: Some(path), .. } => {
            let run = |config| run(config, Some(path.clone()));
            Config::load(&path).map_err(Into::into).and_then(run).map(done)
        }
        Cli { config: None, .. } => {
            print_welcome();
            run(Config::embedded_default(), None).map(done)
        }
    }
}

/// Says why, and which exit status tells it.
fn failed(error: &anyhow::Error) -> ExitCode {
    if error.is::<ConfigError>() {
        eprintln!("{error}");
        return ExitCode::from(BAD_CONFIG);
    }
    if error.is::<NotAsAsked>() {
        eprintln!("{error}");
        return ExitCode::from(NOT_AS_ASKED);
    }
    eprintln!("coco: {error:#}");
    ExitCode::from(FAILED)
}

fn print_welcome() {
    println!(
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
    );
}
