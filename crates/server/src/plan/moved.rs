//! The list of copies to make, as a file.
//!
//! Invariant: one row a copy, `tier TAB name TAB from TAB to`, after a header line; targets by their
//! labels. Names are escaped as in `/series`, so that every row has four fields and names can be read back. Rows
//! are written while names are read, never collected.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

use crate::{cli, rows::escape};

/// An open list.
#[derive(Debug)]
pub(super) struct MovedList<W: Write = File> {
    path: PathBuf,
    out: BufWriter<W>,
    rows: u64,
}

impl MovedList {
    /// Creates the file; what it held before is lost, unless it is one of the files to be read.
    pub(super) fn create(path: &Path, args: &cli::Plan) -> anyhow::Result<Self> {
        let real = fs::canonicalize(path).ok();
        let read = [Some(&args.old), Some(&args.new), args.names.as_ref()];
        let is_read = |other: &PathBuf| real.is_some() && fs::canonicalize(other).ok() == real;
        if read.into_iter().flatten().any(is_read) {
            bail!("{}: is read as well; write the list to another file", path.display());
        }
        let created = File::create(path).and_then(|file| Self::new(path, file));
        created.with_context(|| format!("{}: cannot write the list", path.display()))
    }
}

impl<W: Write> MovedList<W> {
    fn new(path: &Path, out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
        out.write_all(b"#tier\tname\tfrom\tto\n")?;
        Ok(Self { path: path.to_owned(), out, rows: 0 })
    }

    /// One copy to make.
    pub(super) fn row(&mut self, tier: &str, name: &[u8], from: &str, to: &str) -> io::Result<()> {
        self.rows += 1;
        self.out.write_all(tier.as_bytes())?;
        self.out.write_all(b"\t")?;
        self.out.write_all(&escape(name))?;
        writeln!(self.out, "\t{from}\t{to}")
    }

    /// Writes what is left; where the list is, and its rows.
    pub(super) fn finish(mut self) -> anyhow::Result<(PathBuf, u64)> {
        let cannot = || format!("{}: cannot write the list", self.path.display());
        self.out.flush().with_context(cannot)?;
        Ok((self.path, self.rows))
    }
}

const BUFFER_BYTES: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_four_fields_whatever_the_name_holds() {
        let mut list = MovedList::new(Path::new("list"), Vec::new()).unwrap();
        list.row("short", b"a\tb\xff\\", "a:1", "b:1").unwrap();
        assert_eq!(list.rows, 1);
        let bytes = list.out.into_inner().unwrap();
        assert_eq!(bytes, b"#tier\tname\tfrom\tto\nshort\ta\\tb\xff\\\\\ta:1\tb:1\n");
    }
}
