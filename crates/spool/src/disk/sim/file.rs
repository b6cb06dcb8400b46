//! The simulated disk's files.

use std::{
    io::{self, ErrorKind},
    sync::MutexGuard,
};

use super::{Change, SimDisk, State, eio};
use crate::{
    bytes::{narrow, wide},
    disk::DiskFile,
};

/// A file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) id: u64,
    pub(super) life: u64,
}

impl SimFile {
    /// The state, if the machine has not stopped since the file was opened.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life == self.life { Ok(state) } else { Err(eio()) }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.alive()?.files.get(&self.id).map_or(0, |content| wide(content.view.len())))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.alive()?;
        if state.fails(|faults| faults.read) {
            return Err(eio());
        }
        let content = state.files.get(&self.id).ok_or(ErrorKind::NotFound)?;
        let rest = content.view.get(narrow(offset)..).unwrap_or_default();
        let read = rest.len().min(bytes.len());
        bytes[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.alive()?;
        if state.fails(|faults| faults.write) {
            return Err(eio());
        }
        let mut taken = bytes.len();
        if state.fails(|faults| faults.short_write) {
            taken = 1 + state.below(taken);
            taken = taken.min(bytes.len());
        }
        let left = if state.capacity == u64::MAX {
            usize::MAX
        } else {
            narrow(state.capacity.saturating_sub(state.used()))
        };
        let content = state.files.get_mut(&self.id).ok_or(ErrorKind::NotFound)?;
        let offset = narrow(offset);
        let within = content.view.len().saturating_sub(offset);
        taken = taken.min(within.saturating_add(left));
        if taken == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        let change = Change::Write(offset, bytes[..taken].to_vec());
        change.apply(&mut content.view);
        content.unsynced.push(change);
        Ok(taken)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.alive()?;
        if state.fails(|faults| faults.sync) {
            state.settle(self.id);
            return Err(eio());
        }
        let content = state.files.get_mut(&self.id).ok_or(ErrorKind::NotFound)?;
        for change in content.unsynced.drain(..) {
            change.apply(&mut content.safe);
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        state.names_fail()?;
        let content = state.files.get_mut(&self.id).ok_or(ErrorKind::NotFound)?;
        let change = Change::Truncate(narrow(length));
        change.apply(&mut content.view);
        content.unsynced.push(change);
        Ok(())
    }
}
