//! The configuration: a TOML file in, one checked value out, or every fault of the file at once.
//!
//! It exists twice. What serde reads (`file`) may hold anything; [`Config`] holds only what can
//! run, and shares no type with it. A file of Coco 1.x is a good file. `deploy/coco.toml` documents
//! every key.

mod address;
mod check;
mod document;
mod error;
mod file;
mod findings;
mod keys;
mod path;
#[cfg(test)]
mod tests;
mod units;
mod words;

use std::{fs::File, io::Read, path::Path, time::Duration};

use coco_router::plan::{Address, Plan};

pub use error::{ConfigError, Fault};
pub(crate) use units::duration;

use document::Document;
use findings::Findings;
use path::{KeyPath, Step};

/// What the process does, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the router is built from.
    pub plan: Plan,
    /// Where the HTTP API listens.
    pub api: Address,
    /// Where HAProxy's agent check is answered.
    pub agent: Option<Address>,
    /// How long a stopping process may take to send what it holds.
    pub drain_timeout: Duration,
    /// How often the process records its own numbers.
    pub measure_interval: Duration,
    /// How long a process that was told to stop by SIGTERM goes on, while `/readyz` says that it stops.
    pub drain_delay: Duration,
    /// What an operator should know about this file, each on one line with its place; no faults.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file cannot be read, or with all its faults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        match read(path) {
            Ok(bytes) => Self::parse_bytes(&bytes, &name),
            Err(source) => Err(ConfigError::Read { name, source }),
        }
    }

    /// Checks a text; `name` stands before each fault and note.
    ///
    /// # Errors
    /// With all faults of the text.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let refuse = |faults| ConfigError::Faults { name: name.to_owned(), faults };
        let document = Document::parse(text).map_err(refuse)?;
        let (file, unknown) = document.read().map_err(|fault| refuse(vec![fault]))?;
        let mut findings = Findings::new(&document);
        for path in &unknown {
            unknown_key(path, &mut findings);
        }
        let config = check::check(&file, &mut findings);
        let notes = findings.finish().map_err(refuse)?;
        Ok(Self { notes: notes.iter().map(|note| note.in_file(name)).collect(), ..config })
    }

    /// What runs when no file is given: enough to try everything on one machine.
    ///
    /// # Panics
    /// Never: a test holds that the embedded text is good.
    #[must_use]
    pub fn embedded_default() -> Self {
        Self::parse(DEFAULT, "embedded default").expect("the embedded default is good: tested")
    }

    fn parse_bytes(bytes: &[u8], name: &str) -> Result<Self, ConfigError> {
        let error = match str::from_utf8(bytes) {
            Ok(text) => return Self::parse(text, name),
            Err(error) => error,
        };
        let fault = Fault {
            path: String::new(),
            line: Some(document::line_at(bytes, error.valid_up_to())),
            message: "not UTF-8 text from here on".to_owned(),
        };
        Err(ConfigError::Faults { name: name.to_owned(), faults: vec![fault] })
    }
}

/// The whole file, unless it is so large that it cannot be a configuration.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(std::io::Error::other("it is larger than 64 MiB"))
    }
}

fn unknown_key(path: &KeyPath, findings: &mut Findings<'_>) {
    match path.split_last() {
        // serde gives a date as a table with one key of the library's own.
        Some((at, Step::Key(key))) if key.starts_with("$__toml_private") => {
            findings.wrong_type(&at, "a table");
        }
        Some(_) | None => findings.fault(path, keys::unknown(path)),
    }
}

/// 64 tiers of 4,096 targets each, as tables with every key, fit.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The file that stands for no file.
const DEFAULT: &str = include_str!("../default.toml");
