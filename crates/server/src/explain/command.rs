//! `coco explain`: asks a running Coco, or a configuration file.

use std::{
    io::{self, Write},
    os::unix::ffi::OsStrExt,
};

use anyhow::Context;
use coco_router::{Routes, telemetry::Registry};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::{Origin, json, text};
use crate::{cli::Explain, client, config::Config};

/// Prints all that decides about each name.
///
/// # Errors
/// A faulty configuration, a Coco that does not answer, or standard output that fails. A reader that
/// closes its end early is no error.
pub fn explain(args: &Explain) -> anyhow::Result<()> {
    let routes = match &args.config {
        Some(config) => Some(Routes::new(&Config::load(config)?.plan, &Registry::default())),
        None => None,
    };
    let mut out = io::stdout().lock();
    for (at, name) in args.names.iter().enumerate() {
        let answer = match &routes {
            Some(routes) => from_file(args, routes, name.as_bytes()),
            None => from_running(args, name.as_bytes())?,
        };
        let gap = if at > 0 && !args.json { "\n" } else { "" };
        match write!(out, "{gap}{answer}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.context("cannot write the answer")?,
        }
    }
    Ok(())
}

fn from_file(args: &Explain, routes: &Routes, name: &[u8]) -> String {
    let explained = routes.explain(name);
    if args.json {
        format!("{}\n", json(name, &explained, Origin::File))
    } else {
        text(name, &explained, Origin::File)
    }
}

fn from_running(args: &Explain, name: &[u8]) -> anyhow::Result<String> {
    let format = if args.json { "json" } else { "text" };
    let name = percent_encode(name, NON_ALPHANUMERIC);
    let answer = client::get(&args.url, &format!("/explain?format={format}&name={name}"))?;
    io::read_to_string(answer).context("the answer broke off")
}
