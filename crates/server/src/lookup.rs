//! `coco lookup`: the owners of names under a configuration file, by the code that routes.

use std::{
    io::{self, BufRead, BufWriter, Write},
    os::unix::ffi::OsStrExt,
};

use anyhow::{Context, bail};
use coco_router::{Routes, TierOwners, telemetry::Registry};
use serde_json::{Value, json};

use crate::{api::owners_as_object, cli::Lookup, config::Config};

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
    match answer_all(args, &routes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot go on"),
    }
}

fn answer_all(args: &Lookup, routes: &Routes) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if args.names.is_empty() {
        for line in io::stdin().lock().split(b'\n') {
            answer(args, routes, &line?, &mut out)?;
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
    for TierOwners { tier, targets } in owners {
        out.write_all(name)?;
        writeln!(out, "\t{tier}\t{}", targets.join(","))?;
    }
    Ok(())
}
