//! The folder of all spools of one process.
//!
//! Invariant: while a [`Root`] or a spool of it lives, no other process opens the folder to write.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Budget, Config, Name, Now, Spool,
    disk::{Disk, Kind},
    name::Digest,
    position,
    segment::number_of,
};

/// Why a root or a spool was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the root.
    #[error("the spool folder {0} is in use by another process")]
    Locked(PathBuf),
    /// A link or a file stands where a folder should be.
    #[error("{0} is not a folder, or a link: a spool is kept in plain folders only")]
    NotAFolder(PathBuf),
    /// The system said no.
    #[error("cannot open the spool in {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// The locked folder of all spools.
#[derive(Debug)]
pub struct Root<D: Disk> {
    disk: D,
    path: PathBuf,
    lock: Arc<D::Lock>,
    budget: Arc<Budget>,
}

impl<D: Disk> Root<D> {
    /// Makes the folder if it is missing (its parent must exist), and locks it. `budget` bounds all
    /// spools together.
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, not a folder, or the system refuses.
    pub fn open(disk: D, path: &Path, budget: Arc<Budget>) -> Result<Self, OpenError> {
        plain_folder(&disk, path)?;
        let lock = disk.lock(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked(path.to_owned()),
            _ => OpenError::Io(path.to_owned(), error),
        })?;
        Ok(Self { disk, path: path.to_owned(), lock: Arc::new(lock), budget })
    }

    /// Opens the spool of one target and recovers what is in it. At most one per target may be open.
    ///
    /// # Errors
    /// [`OpenError`] if its folder is not one, or the system refuses. Damage is not an error.
    pub fn spool(&self, name: &Name, config: Config, now: Now) -> Result<Spool<D>, OpenError> {
        let folder = self.path.join(name.digest().to_string());
        let new = plain_folder(&self.disk, &folder)?;
        let failed = |error| OpenError::Io(folder.clone(), error);
        if new {
            self.disk.sync_folder(&self.path).map_err(failed)?;
        }
        let (lock, budget) = (Arc::clone(&self.lock), Arc::clone(&self.budget));
        Spool::recover(self.disk.clone(), lock, budget, folder.clone(), name, config, now)
            .map_err(failed)
    }

    /// Removes a target's folder with all that it holds, foreign segments excepted, by the name that
    /// [`ls`](crate::ls) tells. Its spool must not be open.
    ///
    /// # Errors
    /// `NotFound` if it is not a folder of a spool; `DirectoryNotEmpty` if something of others is in it;
    /// any other error of the system.
    pub fn remove(&self, folder: &str) -> io::Result<()> {
        let digest = Digest::parse(folder).ok_or(io::ErrorKind::NotFound)?;
        let path = self.path.join(folder);
        if !crate::survey::is_folder(&self.disk, &path)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        let survey = crate::survey::survey(&self.disk, &path, digest)?;
        let ours = |number: u64| {
            survey.segments.iter().chain(&survey.torn).any(|found| found.number == number)
        };
        for (name, kind) in self.disk.list(&path)? {
            let segment = number_of(&name).is_some_and(ours);
            let position = name == position::FILE || name == position::NEW_FILE;
            if kind == Kind::File && (segment || position) {
                self.disk.unlink(&path.join(name))?;
            }
        }
        self.disk.remove_folder(&path)?;
        self.disk.sync_folder(&self.path)
    }
}

/// Makes sure that `path` is a folder and no link; tells whether it was made.
fn plain_folder<D: Disk>(disk: &D, path: &Path) -> Result<bool, OpenError> {
    let failed = |error| OpenError::Io(path.to_owned(), error);
    match disk.kind(path).map_err(failed)? {
        Some(Kind::Folder) => Ok(false),
        Some(Kind::File | Kind::Other) => Err(OpenError::NotAFolder(path.to_owned())),
        None => disk.create_folder(path).map(|()| true).map_err(failed),
    }
}
