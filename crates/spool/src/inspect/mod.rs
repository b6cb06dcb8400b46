//! What an operator may see and read of a spool folder, without its lock and without changing it.
//!
//! Beside a running owner the answers are of a moment: files come and go, and a record just being
//! written looks like damage at the end of the last segment.

mod walk;

use std::{collections::HashSet, io, path::Path};

use walk::Walk;

use crate::{
    Name,
    disk::Disk,
    name::Digest,
    position::{Mark, Tally},
    record::RecordHead,
    survey::{Found, Survey, is_folder, name_of, survey, tail},
};

/// A target's folder, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Name of the folder within the root.
    pub folder: String,
    /// Tier and target, if any segment tells them.
    pub name: Option<Name>,
    /// Least and greatest epoch that segment heads and the last record tell.
    pub epochs: Option<(u64, u64)>,
    /// Records not acknowledged.
    pub records: u64,
    /// Samples not acknowledged.
    pub samples: u64,
    /// Bytes on disk, foreign segments included.
    pub bytes: u64,
    /// When the oldest record was spooled, in milliseconds since the Unix epoch.
    pub oldest_ms: Option<u64>,
    /// Segments that are another target's or of another version.
    pub foreign: u64,
}

/// A range that holds no intact record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u64,
    /// First damaged byte.
    pub from: u64,
    /// First byte behind.
    pub to: u64,
}

/// What a whole reading of a target's folder found, acknowledged records included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Name of the folder within the root.
    pub folder: String,
    /// Tier and target, if any segment tells them.
    pub name: Option<Name>,
    /// Intact records.
    pub records: u64,
    /// Samples in them.
    pub samples: u64,
    /// Damaged ranges, in order.
    pub damage: Vec<Damage>,
    /// Segments that are another target's or of another version.
    pub foreign: u64,
}

/// A record of a [`Dump`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedRecord {
    /// Number, samples, times, format.
    pub head: RecordHead,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// Lists the folders of all targets, in the order of their names on disk.
///
/// # Errors
/// Any error of the system; damage is none.
pub fn ls<D: Disk>(disk: &D, root: &Path) -> io::Result<Vec<Listing>> {
    folders(disk, root)?
        .into_iter()
        .map(|(folder, digest)| list(disk, root, folder, digest))
        .collect()
}

/// Those of [`ls`] that hold samples and are none of these targets'.
///
/// # Errors
/// Any error of the system; damage is none.
pub fn strangers<D: Disk>(disk: &D, root: &Path, known: &[Name]) -> io::Result<Vec<Listing>> {
    let known: HashSet<String> = known.iter().map(|name| name.digest().to_string()).collect();
    let others = folders(disk, root)?.into_iter().filter(|(folder, _)| !known.contains(folder));
    let listings = others.map(|(folder, digest)| list(disk, root, folder, digest));
    Ok(listings.collect::<io::Result<Vec<_>>>()?.into_iter().filter(|l| l.samples > 0).collect())
}

/// Reads all records of all targets.
///
/// # Errors
/// Any error of the system; what cannot be read is damage.
pub fn verify<D: Disk>(disk: &D, root: &Path) -> io::Result<Vec<Verdict>> {
    folders(disk, root)?
        .into_iter()
        .map(|(folder, digest)| examine(disk, root, folder, digest))
        .collect()
}

/// The records of one target that are not acknowledged, by the folder's name within the root.
///
/// # Errors
/// `NotFound` if it is not a folder of a spool; any other error of the system.
pub fn dump<D: Disk>(disk: &D, root: &Path, folder: &str) -> io::Result<Dump<D>> {
    let digest = Digest::parse(folder).ok_or(io::ErrorKind::NotFound)?;
    let path = root.join(folder);
    if !is_folder(disk, &path)? {
        return Err(io::ErrorKind::NotFound.into());
    }
    let survey = survey(disk, &path, digest)?;
    let from = survey.position.unwrap_or_default();
    let mut files = Vec::new();
    for found in survey.segments.iter().filter(|found| found.number >= from.segment) {
        files.push(Walk::new(disk, &path, digest, found, from)?);
    }
    files.reverse();
    Ok(Dump { files })
}

/// Gives the intact records of one target in order; see [`dump`].
#[derive(Debug)]
pub struct Dump<D: Disk> {
    /// Those to come, last first.
    files: Vec<Walk<D::File>>,
}

impl<D: Disk> Iterator for Dump<D> {
    type Item = DumpedRecord;

    fn next(&mut self) -> Option<DumpedRecord> {
        loop {
            let walk = self.files.last_mut()?;
            match walk.next() {
                Some(Ok((head, payload))) => return Some(DumpedRecord { head, payload }),
                Some(Err(_)) => {}
                None => {
                    self.files.pop();
                }
            }
        }
    }
}

/// Folders of the root with the name of a digest; links are left out.
fn folders<D: Disk>(disk: &D, root: &Path) -> io::Result<Vec<(String, Digest)>> {
    let mut folders: Vec<_> = disk
        .list(root)?
        .into_iter()
        .filter(|(_, kind)| *kind == crate::disk::Kind::Folder)
        .filter_map(|(name, _)| Digest::parse(&name).map(|digest| (name, digest)))
        .collect();
    folders.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(folders)
}

fn list<D: Disk>(disk: &D, root: &Path, folder: String, digest: Digest) -> io::Result<Listing> {
    let path = root.join(&folder);
    let survey = survey(disk, &path, digest)?;
    let from = survey.position.unwrap_or_default();
    let held: Vec<_> = survey.segments.iter().filter(|f| f.number >= from.segment).collect();
    let mut epochs: Vec<u64> =
        held.iter().filter_map(|found| found.head.as_ref()).map(|head| head.epoch).collect();
    let (mut start, mut end, mut oldest_ms) = (from.tally, from.tally, None);
    if let (Some(first), Some(last)) = (held.first(), held.last()) {
        if first.number != from.segment {
            start = start.max(first.start.tally);
        }
        let scanned = tail(disk, &path, digest, last, last.start)?;
        end = scanned.end.tally.max(start);
        epochs.extend(scanned.last.map(|record| record.epoch));
        oldest_ms = oldest(disk, &path, digest, &held, from)?;
    }
    let Tally { sequence, sample } = start;
    epochs.sort_unstable();
    let bytes: u64 = survey.segments.iter().chain(&survey.torn).map(|found| found.bytes).sum();
    Ok(Listing {
        name: name_of(&survey),
        folder,
        epochs: epochs.first().copied().zip(epochs.last().copied()),
        records: end.sequence - sequence,
        samples: end.sample.saturating_sub(sample),
        bytes: bytes + survey.foreign_bytes,
        oldest_ms,
        foreign: survey.foreign,
    })
}

/// Time of the first record behind the acknowledged position.
fn oldest<D: Disk>(
    disk: &D,
    path: &Path,
    digest: Digest,
    held: &[&Found],
    from: Mark,
) -> io::Result<Option<u64>> {
    for found in held {
        let first = Walk::new(disk, path, digest, found, from)?.find_map(Result::ok);
        if let Some((head, _)) = first {
            return Ok(Some(head.unix_ms));
        }
    }
    Ok(None)
}

fn examine<D: Disk>(disk: &D, root: &Path, folder: String, digest: Digest) -> io::Result<Verdict> {
    let path = root.join(&folder);
    let survey: Survey = survey(disk, &path, digest)?;
    let name = name_of(&survey);
    let mut verdict = Verdict {
        folder,
        name,
        records: 0,
        samples: 0,
        damage: Vec::new(),
        foreign: survey.foreign,
    };
    for found in survey.segments.iter().chain(&survey.torn) {
        for step in Walk::new(disk, &path, digest, found, Mark::default())? {
            match step {
                Ok((head, _)) => {
                    verdict.records += 1;
                    verdict.samples += u64::from(head.samples);
                }
                Err(damage) => verdict.note(damage),
            }
        }
    }
    Ok(verdict)
}

impl Verdict {
    /// Adds a range, joined to the last if they touch.
    fn note(&mut self, damage: Damage) {
        let touches = |last: &&mut Damage| last.segment == damage.segment && last.to >= damage.from;
        match self.damage.last_mut().filter(touches) {
            Some(last) => last.to = last.to.max(damage.to),
            None => self.damage.push(damage),
        }
    }
}
