//! `coco spool`: what is held on disk, from its files alone; a running Coco is not disturbed. Only `drop` and
//! `reroute` change anything, and not while a Coco runs.

use std::{
    io::Write,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use coco_router::{offline, plan::Plan};
use coco_spool::{
    Budget, Listing, Name, Now, Root, Verdict,
    disk::{LOCK_FILE, OsDisk},
};

use crate::{
    NotAsAsked,
    cli::{Spool, SpoolCommand},
    config::Config,
};

/// Record formats as the router writes them: Graphite lines.
const LINES: u8 = 0;

/// Does what the command says.
///
/// # Errors
/// Whatever the files or standard output say; [`NotAsAsked`] when `verify` finds damage, or something that
/// `reroute` was to move stays.
pub fn spool(args: &Spool) -> anyhow::Result<()> {
    let directory = &args.directory;
    let done = match &args.command {
        SpoolCommand::Ls => ls(directory),
        SpoolCommand::Verify => verify(directory),
        SpoolCommand::Dump { folder } => dump(directory, folder),
        SpoolCommand::Reroute { config, tier, target } => {
            // A faulty file is told as such.
            let config = Config::load(config)?;
            reroute(directory, &config.plan, tier.as_deref(), target.as_deref())
        }
        SpoolCommand::Drop { folder } => drop_folder(directory, folder),
    };
    match done {
        // Who has seen enough, as `head`, reads no more.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        done => done.with_context(|| format!("spool {}", directory.display())),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn ls(directory: &Path) -> anyhow::Result<()> {
    is_spool(directory)?;
    let listings = coco_spool::ls(&OsDisk, directory)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "folder\ttier\ttarget\tsamples\tbytes\toldest_unix_ms")?;
    for listing in listings {
        let (tier, target) = names(listing.name.as_ref());
        let oldest = listing.oldest_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
        let (folder, samples, bytes) = (listing.folder, listing.samples, listing.bytes);
        writeln!(out, "{folder}\t{tier}\t{target}\t{samples}\t{bytes}\t{oldest}")?;
    }
    Ok(())
}

/// A folder in which no Coco has been looks as if nothing were held.
fn is_spool(directory: &Path) -> anyhow::Result<()> {
    if !directory.join(LOCK_FILE).exists() && coco_spool::ls(&OsDisk, directory)?.is_empty() {
        anyhow::bail!(
            "this is no spool: it should be the `directory` of [spool] in the configuration"
        );
    }
    Ok(())
}

fn verify(directory: &Path) -> anyhow::Result<()> {
    is_spool(directory)?;
    let verdicts = coco_spool::verify(&OsDisk, directory)?;
    let mut out = std::io::stdout().lock();
    let mut damaged = 0;
    // One that is empty tells no name, and there is nothing to say of it.
    let is_told = |verdict: &Verdict| verdict.name.is_some() || !verdict.damage.is_empty();
    for verdict in verdicts.into_iter().filter(is_told) {
        let (tier, target) = names(verdict.name.as_ref());
        let (folder, records, samples) = (verdict.folder, verdict.records, verdict.samples);
        writeln!(out, "{folder}\t{tier}\t{target}\t{records} records\t{samples} samples")?;
        for damage in &verdict.damage {
            let (segment, from, to) = (damage.segment, damage.from, damage.to);
            writeln!(out, "{folder}\tdamaged\t{segment:016x}.seg\tbytes {from} to {to}")?;
        }
        damaged += verdict.damage.len();
    }
    if damaged > 0 {
        anyhow::bail!(NotAsAsked(format!(
            "{damaged} damaged ranges; what is around them is read all the same"
        )));
    }
    Ok(())
}

/// Lines as they are; of other units only how much there is, on standard error.
fn dump(directory: &Path, folder: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let (mut records, mut samples) = (0_u64, 0_u64);
    let held = coco_spool::dump(&OsDisk, directory, folder);
    for record in
        held.with_context(|| format!("folder {folder}; `ls` names those that there are"))?
    {
        if record.head.format == LINES {
            out.write_all(&record.payload)?;
        } else {
            records += 1;
            samples += u64::from(record.head.samples);
        }
    }
    if records > 0 {
        eprintln!("{records} records of datagrams or pickles with {samples} samples are not shown");
    }
    Ok(())
}

/// Opens the spool to change it. Locks the whole of it: a running Coco keeps its own.
fn open(directory: &Path) -> anyhow::Result<Root<OsDisk>> {
    let owner = std::fs::metadata(directory)?.uid();
    // What another user writes there, its Coco could not read.
    if rustix::process::geteuid().as_raw() != owner {
        anyhow::bail!(
            "it belongs to the user {owner}; do this as that user, as by runuser -u coco"
        );
    }
    Ok(Root::open(OsDisk, directory, Arc::new(Budget::new(u64::MAX)))?)
}

fn drop_folder(directory: &Path, folder: &str) -> anyhow::Result<()> {
    let folders = coco_spool::ls(&OsDisk, directory)?;
    if !folders.iter().any(|listing| listing.folder == folder) {
        anyhow::bail!("there is no folder {folder}; `ls` names those that there are");
    }
    let root = open(directory)?;
    root.remove(folder).with_context(|| format!("folder {folder}"))
}

/// Moves what is held for targets that are not in the plan, or for the one named, to its owners.
fn reroute(
    directory: &Path,
    plan: &Plan,
    tier: Option<&str>,
    target: Option<&str>,
) -> anyhow::Result<()> {
    is_spool(directory)?;
    let root = open(directory)?;
    let listings = coco_spool::ls(&OsDisk, directory)?;
    is_held(&listings, tier, target)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "tier\tfrom\tto\tsamples")?;
    let mut left = 0;
    for listing in listings {
        let Some(name) = listing.name.filter(|_| listing.samples > 0) else { continue };
        let (its_tier, id) = (name.tier(), name.target());
        let known = plan.tiers.iter().find(|tier| tier.name == its_tier);
        let stays = known.is_some_and(|tier| tier.targets.iter().any(|target| target.id == id));
        let asked = target.map_or(!stays, |target| target == id);
        if !asked || tier.is_some_and(|tier| tier != its_tier) {
            continue;
        }
        if known.is_none() {
            let samples = listing.samples;
            let why = match plan.ringless.iter().any(|tier| tier.name == its_tier) {
                true => format!("tier {its_tier:?} has no targets in the configuration"),
                false => format!("no tier {its_tier:?} in the configuration"),
            };
            eprintln!("{why}: {samples} samples for {id} stay");
            left += samples;
            continue;
        }
        let stayed = move_on(&root, plan, &name, &mut out)?;
        if !stays && stayed == 0 {
            root.remove(&listing.folder)?;
        }
        left += stayed;
    }
    match left {
        0 => Ok(()),
        left => Err(NotAsAsked(format!("{left} samples stay where they are")).into()),
    }
}

/// What is mistyped would look as if nothing were held any more.
fn is_held(listings: &[Listing], tier: Option<&str>, target: Option<&str>) -> anyhow::Result<()> {
    let held = || listings.iter().filter_map(|listing| listing.name.as_ref());
    if let Some(tier) = tier.filter(|tier| held().all(|name| name.tier() != *tier)) {
        anyhow::bail!("there is no spool of tier {tier:?}; `ls` names those that there are");
    }
    if let Some(id) = target.filter(|id| held().all(|name| name.target() != *id)) {
        anyhow::bail!("there is no spool of target {id:?}; `ls` names those that there are");
    }
    Ok(())
}

/// Gives what is held under a name to its owners, and tells who got how much; returns how much stays because its
/// tier does not take it.
fn move_on(
    root: &Root<OsDisk>,
    plan: &Plan,
    name: &Name,
    out: &mut impl Write,
) -> anyhow::Result<u64> {
    let (tier, id) = (name.tier(), name.target());
    let mut done = offline::reroute(root, plan, name, now)
        .with_context(|| format!("what is held for {id} in {tier}"))?;
    if let Some(own) = done.moved.remove(id) {
        eprintln!("{own} samples for {id} in {tier} are its own, and stay with it");
    }
    for (to, samples) in &done.moved {
        writeln!(out, "{tier}\t{id}\t{to}\t{samples}")?;
    }
    for (reason, samples) in &done.shed {
        writeln!(out, "{tier}\t{id}\tnobody: {reason}\t{samples}")?;
    }
    for (to, samples) in &done.refused {
        eprintln!(
            "what is on disk for {to} is in another protocol than tier {tier:?} speaks now: {samples} samples for it \
             stay with {id}"
        );
    }
    let barred = done.left.saturating_sub(done.refused.values().sum());
    if barred > 0 {
        eprintln!("tier {tier:?} speaks another protocol now: {barred} samples for {id} stay");
    }
    Ok(done.left)
}

fn now() -> Now {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    // Nothing here waits: the wall clock does for both.
    Now { unix_ms, monotonic: now }
}

fn names(name: Option<&Name>) -> (&str, &str) {
    name.map_or(("?", "?"), |name| (name.tier(), name.target()))
}
