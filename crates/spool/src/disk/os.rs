//! The real file system, through `std` alone.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};

use super::{Disk, DiskFile, Kind};

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

/// A file of it.
#[derive(Debug)]
pub struct OsFile(File);

impl From<fs::FileType> for Kind {
    fn from(kind: fs::FileType) -> Self {
        if kind.is_file() {
            Self::File
        } else if kind.is_dir() {
            Self::Folder
        } else {
            Self::Other
        }
    }
}

/// The file by which a folder of spools is locked; without one a folder has never been in use.
pub const LOCK_FILE: &str = "lock";

impl Disk for OsDisk {
    type File = OsFile;
    type Lock = File;

    fn lock(&self, folder: &Path) -> io::Result<File> {
        let path = folder.join(LOCK_FILE);
        // A link there could make us create or lock a file elsewhere.
        if !matches!(self.kind(&path)?, None | Some(Kind::File)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the lock is not a plain file",
            ));
        }
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(metadata.file_type().into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, Kind)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push((name, entry.file_type()?.into()));
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<OsFile> {
        let mut options = OpenOptions::new();
        options.create_new(true).read(true).write(true).mode(0o600).open(path).map(OsFile)
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<OsFile> {
        OpenOptions::new().read(true).write(write).open(path).map(OsFile)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}
