//! `coco plan`: what moves when one configuration takes the place of another.
//!
//! Invariant: shares and lists come from the rings that route, through [`coco_ring::Comparison`]; nothing
//! here decides where a key goes. Names are streamed: memory does not grow with their number. Nothing
//! is started, and no configuration is changed.

mod edits;
mod figures;
mod gate;
mod json;
mod lines;
mod live;
mod moved;
mod names;
mod progress;
mod report;
mod source;
mod survey;
mod table;
#[cfg(test)]
mod testing;
mod tier;
mod told;

use std::io::{self, IsTerminal};

use anyhow::Context;

pub use gate::{Percent, PercentError};

use crate::{cli, config::Config, screen::Screen, stdout::print};
use source::Source;
use survey::Survey;
use tier::Tier;

/// Whether a plan is within what was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No tier moves more than `--fail-above`, or nothing was asked.
    Passed,
    /// Some tier does; which one was said on standard error.
    Exceeded,
}

/// All that is known of a plan: what is printed, and judged.
#[derive(Debug)]
struct Findings<'p> {
    tiers: Vec<Tier<'p>>,
    survey: Option<Survey>,
}

/// Compares two configuration files and prints what moves.
///
/// # Errors
/// A faulty configuration; names that cannot be read or asked for; a list or standard output that
/// cannot be written. A reader that closes its end early is no error.
pub fn plan(args: &cli::Plan) -> anyhow::Result<Verdict> {
    let old = Config::load(&args.old)?;
    let new = Config::load(&args.new)?;
    let mut tiers = tier::matched(&old.plan.tiers, &new.plan.tiers);
    let survey = match Source::open(args)? {
        Some(source) => Some(survey::survey(source, &mut tiers, args)?),
        None => None,
    };
    let findings = Findings { tiers, survey };
    let exceeded = gate::exceeded(&findings.tiers, args.fail_above);
    let text = if args.json {
        format!("{}\n", json::object(&findings, !exceeded.is_empty()))
    } else {
        report::report(&findings, Screen::of_stdout())
    };
    print(&text).context("cannot write the report")?;
    for line in &exceeded {
        eprintln!("coco: {line}");
    }
    Ok(if exceeded.is_empty() { Verdict::Passed } else { Verdict::Exceeded })
}

/// Whether a person watches standard error.
fn is_watched() -> bool {
    io::stderr().is_terminal()
}
