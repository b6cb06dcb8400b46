//! The disk half of all queues, as planned.

use std::{path::PathBuf, time::Duration};

pub use coco_spool::Sync;

/// The disk half of all queues.
#[derive(Debug, Clone, PartialEq)]
pub struct SpoolPlan {
    /// Folder of all spools; its parent exists.
    pub directory: PathBuf,
    /// Bytes on disk of all spools together.
    pub bytes_max: u64,
    /// Bytes on disk of one target's spool.
    pub target_bytes_max: u64,
    /// Samples spooled longer ago are shed; `None` keeps them.
    pub max_age: Option<Duration>,
    /// When what was written is made safe from a crash of the machine.
    pub sync: Sync,
    /// How fast what is on disk goes to a target that takes it.
    pub replay_rate: ReplayRate,
    /// What becomes of what is on disk for a target that a reload takes out.
    pub on_change: OnChange,
}

impl SpoolPlan {
    /// Whether the two differ only in what may change while it is open.
    pub(crate) fn opens_as(&self, other: &Self) -> bool {
        let Self { replay_rate, on_change, .. } = *other;
        Self { replay_rate, on_change, ..self.clone() } == *other
    }
}

/// What becomes of what is on disk for a target that a reload takes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// The target gets it, for as long as that takes.
    Keep,
    /// Each sample goes to its owner under the ring then in force.
    Reroute,
}

/// How fast what is on disk goes to a target that takes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReplayRate {
    /// So many times as fast as samples come for it.
    TimesLive(f64),
    /// As fast as it takes them.
    Unlimited,
}
