//! Where names come from: a file, standard input, or a running Coco.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use anyhow::Context;

use super::{live, names::Name};
use crate::cli;

/// Names, opened and not yet read.
pub(super) struct Source {
    pub(super) reader: Box<dyn BufRead>,
    /// For messages: a path, or what was asked.
    pub(super) what: String,
    /// Size in bytes, where it is known.
    pub(super) bytes: Option<u64>,
    /// What its lines are.
    pub(super) rows: Rows,
}

/// What the lines of a source are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Names.
    Names,
    /// Rows of `/series`; so many of so many series are among them.
    Series { known: u64, total: u64 },
}

impl Source {
    /// Opens what the command line names; `None` if it names nothing.
    pub(super) fn open(args: &cli::Plan) -> anyhow::Result<Option<Self>> {
        match (&args.names, &args.from) {
            (_, Some(url)) => live::ask(url).map(Some),
            (Some(path), None) if path == Path::new("-") => Ok(Some(Self {
                reader: Box::new(io::stdin().lock()),
                what: "standard input".to_owned(),
                bytes: None,
                rows: Rows::Names,
            })),
            (Some(path), None) => Self::file(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn file(path: &Path) -> anyhow::Result<Self> {
        let what = path.display().to_string();
        let cannot = || format!("{what}: cannot read the names");
        let file = File::open(path).with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        let bytes = metadata.is_file().then_some(metadata.len());
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, file));
        Ok(Self { reader, what, bytes, rows: Rows::Names })
    }
}

impl Rows {
    /// The number of the first line that is left to read: the header of `/series` was read.
    pub(super) fn first_line(self) -> u64 {
        match self {
            Self::Names => 1,
            Self::Series { .. } => 2,
        }
    }

    /// Reads one line; `None` if it is none of these.
    pub(super) fn name(self, line: &[u8]) -> Option<Name<'_>> {
        match self {
            Self::Names => Some(Name::Either(line)),
            Self::Series { .. } => Name::from_series(line),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("what", &self.what).finish_non_exhaustive()
    }
}

/// Read at once from a file.
const BUFFER_BYTES: usize = 1 << 18;
