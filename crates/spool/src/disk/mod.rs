//! What a spool asks of a disk, so that tests can put one that fails in its place.
//!
//! Invariant: no path passed here comes from a name that others chose; see [`crate::Name`].

mod os;
#[cfg(any(test, feature = "sim"))]
mod sim;

use std::{fmt::Debug, io, path::Path};

pub use os::{LOCK_FILE, OsDisk, OsFile};
#[cfg(any(test, feature = "sim"))]
pub use sim::{Faults, SimDisk, SimFile, SimLock};

/// What a path is, without following it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link or anything else.
    Other,
}

/// The file system.
pub trait Disk: Clone + Debug {
    /// An open file.
    type File: DiskFile;
    /// Holds the lock of a folder until it is dropped.
    type Lock: Debug;

    /// Locks the folder against other processes, by the file `lock` in it.
    ///
    /// # Errors
    /// `WouldBlock` if another holds it; any other error of the system.
    fn lock(&self, folder: &Path) -> io::Result<Self::Lock>;

    /// What `path` is, `None` if it is not there.
    ///
    /// # Errors
    /// Any error of the system.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;

    /// Makes a folder with mode 0700. Its parent must exist.
    ///
    /// # Errors
    /// Any error of the system.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// Any error of the system.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Names in a folder and what they are, in any order. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// Any error of the system.
    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Kind)>>;

    /// Makes an empty file with mode 0600, to read and write.
    ///
    /// # Errors
    /// `AlreadyExists` if it is there; any other error of the system.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file to read, or to read and write.
    ///
    /// # Errors
    /// Any error of the system.
    fn open(&self, path: &Path, write: bool) -> io::Result<Self::File>;

    /// Gives a file another name, replacing what has it.
    ///
    /// # Errors
    /// Any error of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Any error of the system.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder safe from a crash.
    ///
    /// # Errors
    /// Any error of the system.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Debug {
    /// Length in bytes.
    ///
    /// # Errors
    /// Any error of the system.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// Any error of the system.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|length| length == 0)
    }

    /// Reads at `offset` into `bytes`; fewer than asked is fine, 0 is the end.
    ///
    /// # Errors
    /// Any error of the system.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset`; fewer than given is fine.
    ///
    /// # Errors
    /// Any error of the system.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes the file's bytes and length safe from a crash.
    ///
    /// # Errors
    /// Any error of the system. After one, what had been written may be lost although it is still read.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file to `length` bytes.
    ///
    /// # Errors
    /// Any error of the system.
    fn truncate(&self, length: u64) -> io::Result<()>;
}

/// Reads until `bytes` is full or the file ends; returns how many were read.
pub(crate) fn read_full(file: &impl DiskFile, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset.saturating_add(crate::bytes::wide(read))) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Writes all of `bytes`; on an error tells how many were written before it.
pub(crate) fn write_full(
    file: &impl DiskFile,
    bytes: &[u8],
    offset: u64,
) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset.saturating_add(crate::bytes::wide(written))) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}
