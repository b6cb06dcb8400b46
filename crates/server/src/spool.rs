//! `coco spool`: what is held on disk, from its files alone; a running Coco is not disturbed.

use std::{io::Write, path::Path, sync::Arc};

use anyhow::Context;
use coco_spool::{Budget, Name, Root, disk::OsDisk};

use crate::{
    NotAsAsked,
    cli::{Spool, SpoolCommand},
};

/// Record formats as the router writes them: Graphite lines.
const LINES: u8 = 0;

/// Does what the command says.
///
/// # Errors
/// Whatever the files or standard output say; [`NotAsAsked`] when `verify` finds damage.
pub fn spool(args: &Spool) -> anyhow::Result<()> {
    let directory = &args.directory;
    let done = match &args.command {
        SpoolCommand::Ls => ls(directory),
        SpoolCommand::Verify => verify(directory),
        SpoolCommand::Dump { folder } => dump(directory, folder),
        SpoolCommand::Drop { folder } => drop_folder(directory, folder),
    };
    done.with_context(|| format!("spool {}", directory.display()))
}

fn ls(directory: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "folder\ttier\ttarget\tsamples\tbytes\toldest_unix_ms")?;
    for listing in coco_spool::ls(&OsDisk, directory)? {
        let (tier, target) = names(listing.name.as_ref());
        let oldest = listing.oldest_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
        let (folder, samples, bytes) = (listing.folder, listing.samples, listing.bytes);
        writeln!(out, "{folder}\t{tier}\t{target}\t{samples}\t{bytes}\t{oldest}")?;
    }
    Ok(())
}

fn verify(directory: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut damaged = 0;
    for verdict in coco_spool::verify(&OsDisk, directory)? {
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
    for record in coco_spool::dump(&OsDisk, directory, folder)? {
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

fn drop_folder(directory: &Path, folder: &str) -> anyhow::Result<()> {
    // Locks the whole spool: a running Coco keeps its own.
    let root = Root::open(OsDisk, directory, Arc::new(Budget::new(u64::MAX)))?;
    root.remove(folder).with_context(|| format!("folder {folder}"))
}

fn names(name: Option<&Name>) -> (&str, &str) {
    name.map_or(("?", "?"), |name| (name.tier(), name.target()))
}
