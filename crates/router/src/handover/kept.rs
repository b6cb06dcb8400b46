//! What is on disk when a process hands over: the next one must find it, and be able to send it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    plan::{Plan, TargetProtocol},
    shared::Shared,
    target::Target,
};

/// What a process has on disk, or is about to put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Folder of all spools.
    pub directory: PathBuf,
    /// Samples.
    pub samples: u64,
    /// The tiers that they are for, and what their targets speak.
    pub tiers: BTreeMap<String, TargetProtocol>,
}

/// What is on disk would stay there for good.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Astray {
    /// Nobody would look for it.
    #[error(
        "{samples} samples are on disk in {}, or on their way there, and `[spool]` has another directory now, or is \
         gone: change that when nothing is on disk any more, or stop coco and move the folder",
        directory.display()
    )]
    Elsewhere {
        /// Where it is.
        directory: PathBuf,
        /// How much it is.
        samples: u64,
    },
    /// It is for targets of another protocol.
    #[error(
        "what is on disk for tier {0} is in the protocol that it had: give a tier with another protocol another name"
    )]
    Protocol(String),
}

impl Kept {
    /// What these targets hold on disk; `None` if that is nothing.
    pub(super) fn of(plan: &Plan, shared: &Shared) -> Option<Self> {
        let directory = plan.spool.as_ref()?.directory.clone();
        let mut kept = Self { directory, samples: 0, tiers: BTreeMap::new() };
        for target in shared.roll.load().holders() {
            let samples = spools(target);
            if samples > 0 {
                kept.samples += samples;
                kept.tiers.insert(target.tier.clone(), target.protocol);
            }
        }
        (kept.samples > 0).then_some(kept)
    }

    /// Whether a process with this plan goes on with all of it.
    ///
    /// # Errors
    /// [`Astray`]: it would leave some.
    pub fn goes_on_with(&self, plan: &Plan) -> Result<(), Astray> {
        let is_here = |next: &Path| {
            let real = |path: &Path| path.canonicalize().ok();
            next == self.directory || real(next).is_some_and(|at| Some(at) == real(&self.directory))
        };
        if !plan.spool.as_ref().is_some_and(|next| is_here(&next.directory)) {
            let (directory, samples) = (self.directory.clone(), self.samples);
            return Err(Astray::Elsewhere { directory, samples });
        }
        let is_refused = |(name, protocol): &(&String, &TargetProtocol)| {
            let mut tiers = plan.tiers.iter().filter(|tier| tier.name == **name);
            tiers.any(|tier| !tier.protocol.carries_all_of(**protocol))
        };
        match self.tiers.iter().find(is_refused) {
            Some((name, _)) => Err(Astray::Protocol(name.clone())),
            None => Ok(()),
        }
    }
}

/// Samples of a target on disk, and in a queue that goes there.
fn spools(target: &Target) -> u64 {
    let Some(link) = &target.link else { return 0 };
    let queued = if target.queue.is_spooling() { target.queue.held().queued } else { 0 };
    link.held() + queued
}
