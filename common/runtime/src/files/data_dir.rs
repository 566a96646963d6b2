//! The folder in which a process keeps its state, held by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{SECRET_MODE, create_private_dir};
use crate::Error;

const LOCK: &str = "arborgate.lock";

/// An open data folder. The lock is held until this is dropped, and by the system's own doing if the process is killed.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if it is missing, for this user only, and takes it. That the lock file can be written shows that
    /// the folder can.
    ///
    /// # Errors
    /// [`Error::Locked`] with the process that holds it, or [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        create_private_dir(path)?;
        warn_of_others(path)?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(SECRET_MODE)
            .open(&lock_path)
            .map_err(Error::io("write to the data folder, at", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked { path: path.to_owned(), pid: holder(&mut lock) });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &lock_path)(error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(Error::io("write to the data folder, at", &lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

// not refused: a volume that an orchestrator made may be open to all, and not this process's to close
fn warn_of_others(path: &Path) -> Result<(), Error> {
    let mode = fs::metadata(path).map_err(Error::io("read", path))?.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        tracing::warn!(folder = %path.display(), mode = %format_args!("{mode:04o}"), "others may write to the data folder: run `chmod 700` on it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let held = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(held.join("x"), held.path().join("x"));
        let error = DataDir::open(&path).unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{told}");
        assert!(told.contains(&path.display().to_string()) && told.contains(&std::process::id().to_string()), "{told}");
        drop(held);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_longer_pid_of_before_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LOCK), "99999999999999\n").unwrap();
        let _held = DataDir::open(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(LOCK)).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn what_is_no_folder_or_can_not_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(DataDir::open(&file).unwrap_err().to_string().contains("file"));
        // a lock that is a folder can not be opened for writing, by whomever
        fs::create_dir(dir.path().join(LOCK)).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("can not write to the data folder"), "{error}");
    }
}
