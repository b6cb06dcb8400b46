//! Standard output of a command that answers there.

use std::io::{self, Write};

/// Writes all of it. A reader that has closed its end has read what it wants: that is no error, and what the
/// command says by its exit status still counts.
///
/// # Errors
/// Standard output that takes nothing, as one that goes to a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    unless_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The result of writing, where a reader that has closed its end is no error.
pub(crate) fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
