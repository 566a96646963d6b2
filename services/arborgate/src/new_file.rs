//! A file that appears whole or not at all: it is written beside its place, and then gets its name.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::Error;

/// A file that is being written. It is removed unless it is kept.
#[derive(Debug)]
pub(crate) struct NewFile {
    part: NamedTempFile,
    out: PathBuf,
    force: bool,
}

/// Whether a file may be written there. That nothing takes its place meanwhile is seen to in the end.
pub(crate) fn check_place(out: &Path, force: bool) -> Result<(), Error> {
    match out.symlink_metadata() {
        Ok(there) if !there.is_file() => Err(Error::NoFile { path: out.to_owned() }),
        Ok(_) if !force => Err(Error::Exists { path: out.to_owned() }),
        _ => Ok(()),
    }
}

impl NewFile {
    /// Begins one; `force`: it takes the place of one that is there.
    pub(crate) fn create(out: &Path, force: bool) -> Result<Self, Error> {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // what the umask leaves of it, as any new file
        let permissions = Permissions::from_mode(0o666);
        let mut beside = tempfile::Builder::new();
        beside.prefix(".arborgate-").suffix(".part").permissions(permissions);
        let part = beside.tempfile_in(folder).map_err(|source| failed(out, source))?;
        Ok(Self { part, out: out.to_owned(), force })
    }

    /// What it is written by.
    pub(crate) fn file(&self) -> Result<std::fs::File, Error> {
        self.part.as_file().try_clone().map_err(|source| failed(&self.out, source))
    }

    /// Gives it its name, once it is on the disk.
    pub(crate) fn keep(self) -> Result<(), Error> {
        let Self { part, out, force } = self;
        part.as_file().sync_all().map_err(|source| failed(&out, source))?;
        let persisted = if force { part.persist(&out) } else { part.persist_noclobber(&out) };
        persisted.map(drop).map_err(|error| failed(&out, error.error))
    }
}

fn failed(out: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: out.to_owned() },
        _ => Error::File { what: "write", path: out.to_owned(), source },
    }
}
