//! `coco lookup`: the owners of names under a configuration file, by the code that routes.

use std::{
    io::{self, BufRead, BufWriter, Write},
    os::unix::ffi::OsStrExt,
};

use anyhow::{Context, bail};
use coco_router::{Routes, TierOwners, telemetry::Registry};
use serde_json::{Value, json};

use crate::{api::owners_as_object, cli::Lookup, config::Config, stdout::unless_closed};

/// Prints the owners of each name; without names, of each line of standard input.
///
/// # Errors
/// A faulty configuration, an unknown tier, or standard output or input that fails. A reader that
/// closes its end early is no error.
pub fn lookup(args: &Lookup) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let routes = Routes::new(&config.plan, &Registry::default());
    if let Some(tier) = &args.tier
        && !config.plan.tiers.iter().any(|known| known.name == *tier)
    {
        let known: Vec<_> = config.plan.tiers.iter().map(|tier| tier.name.as_str()).collect();
        bail!("no tier `{tier}` in {}; it has {}", args.config.display(), known.join(", "));
    }
    unless_closed(answer_all(args, &routes)).context("cannot go on")
}

fn answer_all(args: &Lookup, routes: &Routes) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if args.names.is_empty() {
        for line in io::stdin().lock().split(b'\n') {
            let line = line?;
            // To the byte, if that is what was asked for.
            let name = if args.raw { &line } else { without_cr(&line) };
            answer(args, routes, name, &mut out)?;
        }
    } else {
        for name in &args.names {
            answer(args, routes, name.as_bytes(), &mut out)?;
        }
    }
    out.flush()
}

fn answer(args: &Lookup, routes: &Routes, name: &[u8], out: &mut impl Write) -> io::Result<()> {
    let owners = if args.raw { routes.owners_raw(name) } else { routes.owners(name) };
    let asked = |owners: &TierOwners<'_>| args.tier.as_ref().is_none_or(|t| t == owners.tier);
    let owners: Vec<_> = owners.into_iter().filter(asked).collect();
    if args.json {
        let name = String::from_utf8_lossy(name);
        let object: Value = json!({ "name": name, "owners": owners_as_object(&owners) });
        return writeln!(out, "{object}");
    }
    let mut rows = Vec::new();
    write_rows(name, &owners, &mut rows);
    out.write_all(&rows)
}

/// A line of a file that was written on Windows has one CR too many, and no name ends in one.
pub(crate) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Appends name, tier and targets, parted by tabs, a line for each tier.
pub(crate) fn write_rows(name: &[u8], owners: &[TierOwners<'_>], out: &mut Vec<u8>) {
    for TierOwners { tier, targets } in owners {
        out.extend_from_slice(name);
        out.extend_from_slice(format!("\t{tier}\t{}\n", targets.join(",")).as_bytes());
    }
}
