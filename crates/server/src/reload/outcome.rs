//! What came of a reload, in words and as JSON.

use coco_router::{Change, Changes, TargetChange};
use serde_json::{Value, json};

use crate::config::{ConfigError, Fault};

/// What came of a reload.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The file is in force.
    Done {
        /// What is otherwise than before.
        changes: Box<Changes>,
        /// What an operator should know about the file.
        notes: Vec<String>,
    },
    /// The file cannot be used; nothing has changed.
    Faulty(ConfigError),
    /// The file is good and could not be put in force; nothing has changed.
    Failed(String),
    /// No file was given at the start.
    NoFile,
}

impl Outcome {
    /// It in one line.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Done { .. } => "reloaded".to_owned(),
            Self::Faulty(ConfigError::Faults { name, faults }) => {
                format!("{name} has {} faults; nothing has changed", faults.len())
            }
            Self::Faulty(error @ ConfigError::Read { .. }) => error.to_string(),
            Self::Failed(why) => why.clone(),
            Self::NoFile => {
                "coco was started without a configuration file: there is nothing to read again"
                    .to_owned()
            }
        }
    }

    /// As `POST /reload` answers it.
    pub(crate) fn as_json(&self) -> Value {
        match self {
            Self::Done { changes, notes } => done(changes, notes),
            Self::Faulty(error) => {
                let faults = match error {
                    ConfigError::Faults { faults, .. } => faults.iter().map(fault).collect(),
                    ConfigError::Read { .. } => Vec::new(),
                };
                json!({ "error": self.message(), "faults": faults })
            }
            Self::Failed(_) | Self::NoFile => json!({ "error": self.message() }),
        }
    }
}

fn fault(fault: &Fault) -> Value {
    json!({ "path": fault.path, "line": fault.line, "message": fault.message })
}

fn done(changes: &Changes, notes: &[String]) -> Value {
    json!({
        "changed": !changes.is_empty(),
        "epoch": changes.epoch,
        "targets": change(&changes.targets, target),
        "tiers": change(&changes.tiers, |name| name.clone().into()),
        "listeners": change(&changes.listeners, |text| text.clone().into()),
        "filter": changes.filter,
        "limits": changes.limits,
        "restart": changes.restart,
        "notes": notes,
    })
}

fn change<T>(change: &Change<T>, one: impl Fn(&T) -> Value) -> Value {
    let list = |all: &[T]| all.iter().map(&one).collect::<Vec<_>>();
    json!({
        "added": list(&change.added),
        "removed": list(&change.removed),
        "changed": list(&change.changed),
    })
}

fn target(target: &TargetChange) -> Value {
    json!({ "tier": target.tier, "id": target.id, "target": target.label })
}
