//! What a person reads when a file is refused.

use std::{fmt, io};

/// A file that cannot be used; nothing was started.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Read {
        /// The file as it was asked for.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file has faults; these are all of them, in the order of its lines.
    Faults {
        /// The file as it was asked for.
        name: String,
        /// Never empty.
        faults: Vec<Fault>,
    },
}

/// One thing to correct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, as `tiers.short.targets[1]`; empty for the file as a whole.
    pub path: String,
    /// The line, from 1; `None` for what the file lacks.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Fault {
    /// The fault on one line, with its place before it: `coco.toml:12: listen.bind: …`.
    pub(crate) fn in_file(&self, name: &str) -> String {
        let mut text = name.to_owned();
        if let Some(line) = self.line {
            text.push_str(&format!(":{line}"));
        }
        if !self.path.is_empty() {
            text.push_str(&format!(": {}", self.path));
        }
        text.push_str(&format!(": {}", self.message));
        text
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { name, source } => write!(f, "{name}: cannot read the file: {source}"),
            Self::Faults { name, faults } => {
                let lines: Vec<String> = faults.iter().map(|fault| fault.in_file(name)).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
