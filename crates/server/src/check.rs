//! `coco check`: is a file good, what are its rings, and are they those of a running Coco?

use std::collections::BTreeMap;

use anyhow::Context;
use coco_router::plan::{KeyRule, TierPlan};
use coco_wire::names::Names;
use serde_json::Value;

use crate::{
    NotAsAsked,
    api::{key_name, protocol_name, transport},
    cli::Check,
    client,
    config::Config,
    explain::names_text,
    stdout::print,
};

/// Prints the notes about a file and a line for each tier.
///
/// # Errors
/// A faulty file; [`NotAsAsked`] when a running Coco that it is compared with has other tiers or rings.
pub fn check(args: &Check) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    print(&report(args, &config)).context("cannot write the report")?;
    let Some(url) = &args.against else { return Ok(()) };
    let body = client::get(url, "/tiers")?;
    let running: Vec<Value> = serde_json::from_reader(body)
        .with_context(|| format!("{url}/tiers is not that of a Coco"))?;
    let differences = differences(&config, &running);
    if differences.is_empty() {
        let text = format!("{url}: the same tiers, rings and targets\n");
        return print(&text).context("cannot write the report");
    }
    let (file, count) = (args.config.display(), differences.len());
    let list = differences.join("\n  ");
    let message = format!("{file} differs from {url} in {count} points:\n  {list}");
    Err(NotAsAsked(message).into())
}

/// A line for each note and each tier, and one for the file.
fn report(args: &Check, config: &Config) -> String {
    let Config { plan, notes, .. } = config;
    let notes = notes.iter().map(|note| format!("note: {note}\n"));
    let tiers = plan.tiers.iter().map(|tier| format!("tier {}: {}\n", tier.name, ring(tier)));
    let none =
        plan.ringless.iter().map(|tier| format!("tier {}: no targets, no ring\n", tier.name));
    let mut report: String = notes.chain(tiers).chain(none).collect();
    report.push_str(&format!("{}: good\n", args.config.display()));
    report
}

fn ring(tier: &TierPlan) -> String {
    let (ring, targets) = (&tier.ring, tier.targets.len());
    format!(
        "{}, {targets} targets, replicas {}{}, digest {}",
        ring.algorithm(),
        ring.replicas(),
        rules(tier),
        ring.digest()
    )
}

/// What decides beside the ring, where it is not the default.
fn rules(tier: &TierPlan) -> String {
    let mut rules = String::new();
    if tier.key == KeyRule::Series {
        rules.push_str(", key series");
    }
    if tier.names != Names::Sorted {
        rules.push_str(&format!(", names {}", names_text(&tier.names)));
    }
    rules
}

/// What a running Coco has otherwise than the file, in words.
pub(crate) fn differences(config: &Config, running: &[Value]) -> Vec<String> {
    let (tiers, ringless) = (&config.plan.tiers, &config.plan.ringless);
    let mut differences = Vec::new();
    // There a tier without a ring is listed too, with nothing in it.
    let is_meant = |other: &&Value| {
        other["digest"].is_null()
            && ringless.iter().any(|meant| other["name"] == meant.name.as_str())
    };
    let running = || running.iter().filter(|other| !is_meant(other));
    for tier in tiers {
        let name = &tier.name;
        match running().find(|other| other["name"] == name.as_str()) {
            None => differences.push(format!("tier {name} is not there")),
            Some(other) => differences.extend(difference(tier, other)),
        }
    }
    let known = |other: &&Value| tiers.iter().any(|tier| other["name"] == tier.name.as_str());
    for other in running().filter(|other| !known(other)) {
        differences.push(format!("tier {} is there, and not in the file", text(&other["name"])));
    }
    differences
}

/// What decides about a sample and is otherwise there.
fn difference(tier: &TierPlan, other: &Value) -> Vec<String> {
    let name = &tier.name;
    let mut differences = Vec::new();
    if other["digest"] != tier.ring.digest().as_str() {
        let there = format!("{}, digest {}", text(&other["hash"]), text(&other["digest"]));
        let what = format!("tier {name}: the file has {}, there runs {there}", ring(tier));
        differences.push(what);
    }
    for (what, here) in [
        ("protocol", protocol_name(tier.protocol)),
        ("proto", transport(tier.protocol)),
        ("key", key_name(tier.key)),
        ("names", names_text(&tier.names).as_str()),
    ] {
        let there = text(&other[what]);
        if there != here {
            let what = format!("tier {name}: `{what}` is {here} in the file, and {there} there");
            differences.push(what);
        }
    }
    // By id, in any order: where that counts, the digest tells.
    let here = tier.targets.iter().map(|target| (target.id.as_str(), target.label.as_str()));
    let there = texts(&other["ids"]).zip(texts(&other["targets"])).collect::<BTreeMap<_, _>>();
    for (id, address) in here {
        if let Some(other) = there.get(id).filter(|other| **other != address) {
            let what =
                format!("tier {name}: target {id} is at {address} in the file, at {other} there");
            differences.push(what);
        }
    }
    differences
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}
