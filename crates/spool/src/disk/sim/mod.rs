//! A disk in memory that fails and crashes as its seed says.
//!
//! Invariant: what was synced with success survives a crash; of everything else any part may. A failed
//! sync loses some of what it should have kept, and later syncs do not bring it back, as on Linux.
//! Folders themselves are safe at once: only the names in them are not.

mod file;
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use file::SimFile;
pub use names::SimLock;

use crate::bytes::{narrow, wide};

/// How often an operation fails, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Reads: `EIO`.
    pub read: u32,
    /// Writes: `EIO` after none or some of the bytes.
    pub write: u32,
    /// Writes that take only some of the bytes, without an error.
    pub short_write: u32,
    /// Syncs of files and folders: `EIO`.
    pub sync: u32,
    /// Creates, opens, renames, unlinks and truncations: `EIO`.
    pub names: u32,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the bytes: a failed assertion would be unreadable.
        let state = self.state();
        f.debug_struct("SimDisk").field("life", &state.life).field("faults", &state.faults).finish()
    }
}

#[derive(Debug, Default)]
struct State {
    random: u64,
    faults: Faults,
    capacity: u64,
    /// Crashes so far; a file of an earlier life is dead.
    life: u64,
    folders: BTreeMap<PathBuf, Folder>,
    files: BTreeMap<u64, Content>,
    next_file: u64,
    locks: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Folder {
    view: BTreeMap<String, u64>,
    safe: BTreeMap<String, u64>,
    /// Names that each change gives or takes.
    unsynced: Vec<Vec<(String, Option<u64>)>>,
}

#[derive(Debug, Default)]
struct Content {
    view: Vec<u8>,
    safe: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
            Self::Truncate(length) => bytes.resize(*length, 0),
        }
    }
}

impl State {
    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, 0 if that is 0.
    fn below(&mut self, bound: usize) -> usize {
        narrow(self.random() % wide(bound).max(1))
    }

    fn fails(&mut self, rate: impl Fn(&Faults) -> u32) -> bool {
        let thousandths = rate(&self.faults);
        thousandths > 0 && self.random() % 1000 < u64::from(thousandths)
    }

    fn names_fail(&mut self) -> io::Result<()> {
        if self.fails(|faults| faults.names) { Err(eio()) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<_> = self.folders.values().flat_map(|f| f.view.values()).collect();
        let length = |id: &&u64| self.files.get(id).map_or(0, |file| wide(file.view.len()));
        named.iter().map(length).sum()
    }

    fn file(&self, path: &Path) -> io::Result<u64> {
        let (folder, name) = split(path)?;
        let id = self.folders.get(folder).and_then(|folder| folder.view.get(name));
        id.copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn change(&mut self, folder: &Path, change: Vec<(String, Option<u64>)>) -> io::Result<()> {
        let folder = self.folders.get_mut(folder).ok_or(ErrorKind::NotFound)?;
        rename(&mut folder.view, &change);
        folder.unsynced.push(change);
        Ok(())
    }

    /// Keeps a random part of what was not synced.
    fn settle(&mut self, id: u64) {
        let Some(mut content) = self.files.remove(&id) else { return };
        for change in content.unsynced.drain(..) {
            match (self.below(3), &change) {
                (0, _) => {}
                (1, Change::Write(offset, data)) => {
                    let torn = data[..self.below(data.len() + 1)].to_vec();
                    Change::Write(*offset, torn).apply(&mut content.safe);
                }
                _ => change.apply(&mut content.safe),
            }
        }
        self.files.insert(id, content);
    }
}

fn rename(names: &mut BTreeMap<String, u64>, change: &[(String, Option<u64>)]) {
    for (name, id) in change {
        match id {
            Some(id) => names.insert(name.clone(), *id),
            None => names.remove(name),
        };
    }
}

fn eio() -> io::Error {
    io::Error::other("simulated EIO")
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    path.parent().zip(name).ok_or_else(|| ErrorKind::InvalidInput.into())
}

impl SimDisk {
    /// An empty disk with one folder, `root`.
    pub fn new(seed: u64, root: &Path) -> Self {
        let folders = BTreeMap::from([(root.to_owned(), Folder::default())]);
        let state = State { random: seed, capacity: u64::MAX, folders, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, operations fail that often.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// From now on, writes that make all files longer than this together fail with `ENOSPC`.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// The machine stops: what was not synced is lost, kept, or torn; open files and locks are gone.
    pub fn crash(&self) {
        let mut state = self.state();
        state.life += 1;
        state.locks.clear();
        let mut folders = std::mem::take(&mut state.folders);
        for folder in folders.values_mut() {
            for change in folder.unsynced.drain(..) {
                if state.below(2) == 0 {
                    rename(&mut folder.safe, &change);
                }
            }
            folder.view = folder.safe.clone();
        }
        state.folders = folders;
        let ids: Vec<_> = state.files.keys().copied().collect();
        for id in ids {
            state.settle(id);
        }
        let named: BTreeSet<_> =
            state.folders.values().flat_map(|folder| folder.view.values().copied()).collect();
        state.files.retain(|id, _| named.contains(id));
        for content in state.files.values_mut() {
            content.view = content.safe.clone();
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state();
        let id = state.file(path)?;
        Ok(state.files.get(&id).map(|content| content.view.clone()).unwrap_or_default())
    }

    /// Replaces the bytes of a file, safely, as decay does.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_bytes(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let id = state.file(path)?;
        let content = Content { view: bytes.to_vec(), safe: bytes.to_vec(), unsynced: Vec::new() };
        state.files.insert(id, content);
        Ok(())
    }
}
