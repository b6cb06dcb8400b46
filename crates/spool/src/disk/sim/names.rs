//! The simulated disk's folders, names and locks.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::{Content, SimDisk, SimFile, eio, split};
use crate::disk::{Disk, Kind};

/// The lock of a folder of a [`SimDisk`].
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    folder: PathBuf,
    life: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.folder);
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn lock(&self, folder: &Path) -> io::Result<SimLock> {
        let mut state = self.state();
        if !state.locks.insert(folder.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(SimLock { disk: self.clone(), folder: folder.to_owned(), life: state.life })
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let state = self.state();
        if state.folders.contains_key(path) {
            return Ok(Some(Kind::Folder));
        }
        Ok(state.file(path).ok().map(|_| Kind::File))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.names_fail()?;
        state.folders.entry(path.to_owned()).or_default();
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.names_fail()?;
        match state.folders.get(path) {
            None => Err(ErrorKind::NotFound.into()),
            Some(folder) if !folder.view.is_empty() => Err(ErrorKind::DirectoryNotEmpty.into()),
            Some(_) => {
                state.folders.remove(path);
                Ok(())
            }
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Kind)>> {
        let state = self.state();
        let names = &state.folders.get(folder).ok_or(ErrorKind::NotFound)?.view;
        let files = names.keys().map(|name| (name.clone(), Kind::File));
        let below = state.folders.keys().filter(|path| path.parent() == Some(folder));
        let name = |path: &PathBuf| path.file_name()?.to_str().map(str::to_owned);
        Ok(files.chain(below.filter_map(name).map(|name| (name, Kind::Folder))).collect())
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.state();
        state.names_fail()?;
        if state.file(path).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let (folder, name) = split(path)?;
        let id = state.next_file;
        state.next_file += 1;
        state.change(folder, vec![(name.to_owned(), Some(id))])?;
        state.files.insert(id, Content::default());
        Ok(SimFile { disk: self.clone(), id, life: state.life })
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<SimFile> {
        let mut state = self.state();
        let id = state.file(path)?;
        state.names_fail()?;
        Ok(SimFile { disk: self.clone(), id, life: state.life })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.names_fail()?;
        let id = state.file(from)?;
        let ((folder, from), (_, to)) = (split(from)?, split(to)?);
        state.change(folder, vec![(from.to_owned(), None), (to.to_owned(), Some(id))])
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.file(path)?;
        state.names_fail()?;
        let (folder, name) = split(path)?;
        state.change(folder, vec![(name.to_owned(), None)])
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.fails(|faults| faults.sync) {
            return Err(eio());
        }
        let folder = state.folders.get_mut(folder).ok_or(ErrorKind::NotFound)?;
        folder.unsynced.clear();
        folder.safe = folder.view.clone();
        Ok(())
    }
}
