//! Names, one by one, through every tier that both files have.
//!
//! Invariant: a name is forgotten once it is counted and listed, so memory does not grow with names.

use std::path::PathBuf;

use anyhow::{Context, bail};
use coco_ring::Key;

use super::{
    lines::Lines,
    moved::MovedList,
    names::Name,
    progress::Progress,
    source::{Rows, Source},
    tier::{Kept, Tier},
};
use crate::cli;

/// What was read, over all tiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Survey {
    /// Names read, in any tier or none.
    pub(super) names: u64,
    /// Empty lines, which were passed over.
    pub(super) empty: u64,
    /// What the lines were.
    pub(super) rows: Rows,
    /// Where the list is, and how many rows it has.
    pub(super) listed: Option<(PathBuf, u64)>,
}

/// What became of names in one tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Names that the tier carries before and after.
    pub(super) seen: u64,
    /// Of these, Graphite names, which the tier's `names` apply to.
    pub(super) lines: u64,
    /// Names that the store has under another name from then on.
    pub(super) renamed: u64,
    /// Names of which at least one copy must be made.
    pub(super) moved: u64,
    /// Copies to make.
    pub(super) copies_moved: u64,
    /// Of these, copies between two ids of one address, which are there already.
    pub(super) copies_staying: u64,
    /// All copies of these names under the new configuration.
    pub(super) copies: u64,
}

impl Counts {
    /// Copies to make, of all copies: 0..=1.
    pub(super) fn share(&self) -> f64 {
        super::figures::ratio(self.copies_moved, self.copies)
    }

    /// Names that get another name, of all names: 0..=1.
    pub(super) fn renamed_share(&self) -> f64 {
        super::figures::ratio(self.renamed, self.seen)
    }
}

/// Reads all names, counts them in each tier, and lists the copies to make if that was asked for.
pub(super) fn survey(
    source: Source,
    tiers: &mut [Tier<'_>],
    args: &cli::Plan,
) -> anyhow::Result<Survey> {
    let mut list = match &args.moved {
        Some(path) => Some(MovedList::create(path, args)?),
        None => None,
    };
    let Source { reader, what, bytes, rows } = source;
    let mut survey = Survey { names: 0, empty: 0, rows, listed: None };
    let mut lines = Lines::new(reader, rows.first_line());
    let mut progress = Progress::new(bytes);
    let read = read_all(&mut lines, &mut survey, &mut progress, tiers, list.as_mut());
    progress.finish();
    read.with_context(|| match &args.moved {
        Some(path) => {
            format!("{what}: line {} ({} is not complete)", lines.number(), path.display())
        }
        None => format!("{what}: line {}", lines.number()),
    })?;
    survey.listed = list.map(MovedList::finish).transpose()?;
    Ok(survey)
}

fn read_all(
    lines: &mut Lines<Box<dyn std::io::BufRead>>,
    survey: &mut Survey,
    progress: &mut Progress,
    tiers: &mut [Tier<'_>],
    mut list: Option<&mut MovedList>,
) -> anyhow::Result<()> {
    while let Some(line) = lines.next()? {
        progress.advance(line.len() + 1);
        if line.is_empty() {
            survey.empty += 1;
            continue;
        }
        survey.names += 1;
        let name = survey.rows.name(line).with_context(|| {
            format!("`{}` is no row of /series", String::from_utf8_lossy(line).escape_debug())
        })?;
        for tier in tiers.iter_mut() {
            if let Tier::Kept(kept) = tier {
                kept.count(&name, list.as_deref_mut())?;
            }
        }
    }
    match survey.rows {
        Rows::Series { known, .. } if survey.names < known => {
            bail!("ended after {} of {known} series", survey.names)
        }
        Rows::Series { .. } | Rows::Names => Ok(()),
    }
}

impl Kept<'_> {
    /// Counts a name, and lists the copies to make of it.
    fn count(&mut self, name: &Name<'_>, mut list: Option<&mut MovedList>) -> anyhow::Result<()> {
        // A host of before is no name of a line now.
        if self.starts_fresh() {
            return Ok(());
        }
        // A host alone does not tell which series it has.
        if self.is_rekeyed && !self.new.protocol.carries_lines() && matches!(name, Name::Either(_))
        {
            return Ok(());
        }
        let (mut old_scratch, mut new_scratch) = (Vec::new(), Vec::new());
        let before = name.in_tier(self.old, &mut old_scratch);
        let after = name.in_tier(self.new, &mut new_scratch);
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        self.counts.seen += 1;
        self.counts.copies += u64::try_from(self.new.ring.replicas()).unwrap_or_default();
        self.counts.lines +=
            u64::from(self.new.protocol.carries_lines() && !matches!(name, Name::Collectd { .. }));
        self.counts.renamed += u64::from(before.name != after.name);
        let (mut copies, mut staying) = (0, 0);
        for one in self.comparison.moves(&Key::new(before.key), &Key::new(after.key)) {
            copies += 1;
            let from = self.old.targets.get(usize::from(one.from));
            let to = self.new.targets.get(usize::from(one.to));
            let (Some(from), Some(to)) = (from, to) else { continue };
            if from.address == to.address {
                staying += 1;
            } else if let Some(list) = list.as_deref_mut() {
                // The name that the store has it under.
                list.row(&self.new.name, before.name, &from.label, &to.label)
                    .context("cannot write the list")?;
            }
        }
        self.counts.moved += u64::from(copies > 0);
        self.counts.copies_moved += copies;
        self.counts.copies_staying += staying;
        Ok(())
    }
}
