//! `coco`: parse the command line, do what it says, turn the result into an exit status.

#![expect(clippy::print_stdout, reason = "a command line tool answers on standard output")]

use std::process::ExitCode;

use clap::Parser;
use coco_server::{
    cli::{Cli, Command},
    config::{Config, ConfigError},
    lookup::lookup,
    run::run,
};

/// Failed while running.
const FAILED: u8 = 1;

/// `EX_CONFIG` of sysexits.h: faulty configuration.
const BAD_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let result = match Cli::parse() {
        Cli { command: Some(Command::Check(args)), .. } => check(&args.config),
        Cli { command: Some(Command::Lookup(args)), .. } => lookup(&args),
        Cli { config: Some(path), .. } => Config::load(&path).map_err(Into::into).and_then(run),
        Cli { config: None, .. } => {
            print_welcome();
            run(Config::embedded_default())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ConfigError>() => {
            eprintln!("{error}");
            ExitCode::from(BAD_CONFIG)
        }
        Err(error) => {
            eprintln!("coco: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn check(path: &std::path::Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    for note in &config.notes {
        println!("note: {note}");
    }
    println!("{}: good", path.display());
    Ok(())
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
        env!("CARGO_PKG_VERSION")
    );
}
