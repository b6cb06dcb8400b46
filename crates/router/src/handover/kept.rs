//! Where a process that hands over keeps what waits: the next one must find it, and be able to send it.
//!
//! By the plan, not by what is on disk at the moment: until the old process has ended, any target may give the
//! disk what it holds.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{
    plan::{OnFull, Plan, TargetProtocol},
    shared::Shared,
};

/// Where a process keeps what waits, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Folder of all spools.
    pub directory: PathBuf,
    /// The tiers that spool, with what their targets speak; one with targets that were taken out and have not got
    /// all that they are due may be there in another protocol too.
    pub tiers: Vec<(String, TargetProtocol)>,
}

/// What is on disk would stay there for good.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Astray {
    /// Nobody would look for it.
    #[error(
        "`[spool]` has another directory now, or is gone, and what waits is kept in {}: that takes a restart, and \
         what is there then is to be moved by hand",
        .0.display()
    )]
    Elsewhere(PathBuf),
    /// It is for targets of another protocol.
    #[error(
        "what is on disk for tier {0}, or goes there, is in the protocol that it had: give a tier with another \
         protocol another name"
    )]
    Protocol(String),
    /// Nobody would read it.
    #[error(
        "tier {0} does not spool any more, and what is on disk for it would stay there: reload that first"
    )]
    NoSpool(String),
}

impl Kept {
    /// What this process keeps; `None` if it has no spool.
    pub(super) fn of(plan: &Plan, shared: &Shared) -> Option<Self> {
        let directory = plan.spool.as_ref()?.directory.clone();
        let spooling = plan.tiers.iter().filter(|tier| tier.on_full == OnFull::Spool);
        let mut kept: Vec<_> = spooling.map(|tier| (tier.name.clone(), tier.protocol)).collect();
        for target in shared.roll.load().holders() {
            let of = (target.tier.clone(), target.protocol);
            if target.link.as_ref().is_some_and(|link| link.held() > 0) && !kept.contains(&of) {
                kept.push(of);
            }
        }
        Some(Self { directory, tiers: kept })
    }

    /// Whether a process with this plan goes on with it. What is kept for a tier that is gone may stay: it is told
    /// of at the start.
    ///
    /// # Errors
    /// [`Astray`]: some would stay there unsaid.
    pub fn goes_on_with(&self, plan: &Plan) -> Result<(), Astray> {
        let is_here = |next: &Path| {
            let real = |path: &Path| path.canonicalize().ok();
            next == self.directory || real(next).is_some_and(|at| Some(at) == real(&self.directory))
        };
        if !plan.spool.as_ref().is_some_and(|next| is_here(&next.directory)) {
            return Err(Astray::Elsewhere(self.directory.clone()));
        }
        for (name, protocol) in &self.tiers {
            let Some(tier) = plan.tiers.iter().find(|tier| tier.name == *name) else { continue };
            if !tier.protocol.carries_all_of(*protocol) {
                return Err(Astray::Protocol(name.clone()));
            }
            if tier.on_full != OnFull::Spool {
                return Err(Astray::NoSpool(name.clone()));
            }
        }
        Ok(())
    }
}
