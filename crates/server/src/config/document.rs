//! The text of a file as a tree that knows its lines.
//!
//! serde reads values without their places; whoever finds a fault names a [`KeyPath`], and the line
//! is looked up here, once, for the message.

use serde_ignored::Path;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer, Error},
};

use super::{
    error::Fault,
    file::File,
    path::{KeyPath, Step},
    words,
};

/// A file that is valid TOML.
#[derive(Debug)]
pub(super) struct Document<'t> {
    text: &'t str,
    tree: Spanned<DeTable<'t>>,
}

impl<'t> Document<'t> {
    /// Parses the text; what is not TOML is a fault each.
    pub(super) fn parse(text: &'t str) -> Result<Self, Vec<Fault>> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            Ok(Self { text, tree })
        } else {
            Err(errors.iter().map(|error| syntax_fault(text, error)).collect())
        }
    }

    /// The file as serde sees it, and the paths of all keys that it does not know.
    pub(super) fn read(&self) -> Result<(File, Vec<KeyPath>), Fault> {
        let mut unknown = Vec::new();
        let deserializer = Deserializer::from(self.tree.clone());
        serde_ignored::deserialize(deserializer, |path| unknown.push(key_path(&path)))
            .map(|file| (file, unknown))
            .map_err(|error| syntax_fault(self.text, &error))
    }

    /// Where the key or element at `path` begins; where it is missing, what should hold it.
    pub(super) fn offset(&self, path: &KeyPath) -> Option<usize> {
        self.find(path).0
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        line_at(self.text.as_bytes(), offset)
    }

    /// What stands at `path`, in words: "text", "an integer", …
    pub(super) fn kind(&self, path: &KeyPath) -> &'static str {
        match self.find(path).1 {
            Some(DeValue::String(_)) => "text",
            Some(DeValue::Integer(_)) => "an integer",
            Some(DeValue::Float(_)) => "a float",
            Some(DeValue::Boolean(_)) => "a boolean",
            Some(DeValue::Datetime(_)) => "a date",
            Some(DeValue::Array(_)) => "an array",
            Some(DeValue::Table(_)) => "a table",
            None => "nothing",
        }
    }

    /// How deep `path` leads: the offset of the last step that exists, and the value at its end.
    fn find(&self, path: &KeyPath) -> (Option<usize>, Option<&DeValue<'t>>) {
        let (mut offset, mut value) = (None, None);
        for (depth, step) in path.steps().iter().enumerate() {
            let table = match depth {
                0 => Some(self.tree.get_ref()),
                _ => value.and_then(DeValue::as_table),
            };
            let next = match step {
                Step::Key(key) => table
                    .and_then(|table| table.get_key_value(key.as_str()))
                    .map(|(key, value)| (key.span().start, value)),
                Step::Index(index) => value
                    .and_then(DeValue::as_array)
                    .and_then(|array| array.get(*index))
                    .map(|value| (value.span().start, value)),
            };
            let Some((start, found)) = next else { return (offset, None) };
            offset = Some(start);
            value = Some(found.get_ref());
        }
        (offset, value)
    }

    /// The whole tree, for questions about which keys a file has.
    pub(super) fn tree(&self) -> &DeTable<'t> {
        self.tree.get_ref()
    }
}

/// The number of the line that holds the byte at `offset`, from 1.
pub(super) fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// A fault of TOML itself, with its column, because a line alone seldom shows it.
fn syntax_fault(text: &str, error: &Error) -> Fault {
    let Some(span) = error.span() else {
        return Fault { path: String::new(), line: None, message: error.message().to_owned() };
    };
    let before = text.get(..span.start).unwrap_or(text);
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let seen = match text.get(span.clone()) {
        None | Some("") => String::new(),
        Some(seen) => format!(", at {}", words::quoted(seen)),
    };
    let reason = error.message().trim_end_matches(", expected nothing");
    // `bind = 127.0.0.1:2003` begins like a number.
    let hint = if reason.starts_with("invalid float") || reason.starts_with("invalid integer") {
        "; text needs quotes"
    } else {
        ""
    };
    Fault {
        path: String::new(),
        line: Some(line_at(text.as_bytes(), span.start)),
        message: format!("column {column}: {reason}{seen}{hint}"),
    }
}

/// serde's path without the steps that are not written in the file.
fn key_path(path: &Path<'_>) -> KeyPath {
    let mut steps = Vec::new();
    let mut here = path;
    loop {
        here = match here {
            Path::Root => break,
            Path::Map { parent, key } => {
                steps.push(Step::Key(key.clone()));
                parent
            }
            Path::Seq { parent, index } => {
                steps.push(Step::Index(*index));
                parent
            }
            Path::Some { parent }
            | Path::NewtypeStruct { parent }
            | Path::NewtypeVariant { parent } => parent,
        };
    }
    steps.into_iter().rev().collect()
}
