//! Files that are written whole or not at all, with their mode from the first moment; secrets read only where nobody
//! else can; the data folder of a process.
//!
//! Blocking: for the start of a process and for blocking threads.

mod data_dir;
mod socket;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::Error;
use crate::config::SecretBytes;

pub use data_dir::DataDir;
pub use socket::SocketPath;

/// For files that only this user may read.
pub const SECRET_MODE: u32 = 0o600;
/// For files that everybody may read.
pub const PUBLIC_MODE: u32 = 0o644;

const SECRET_LIMIT: u64 = 64 * 1024;

/// Writes a file that does not exist yet, and syncs it and its folder. Others see it whole or not at all; its mode is
/// `mode`, less what the umask takes.
///
/// # Errors
/// [`Error::Io`]; its source is `AlreadyExists` where the file exists, which is left as it was.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    place(path, bytes, mode, |temporary| {
        // unlike a rename, a link never replaces
        fs::hard_link(temporary, path)?;
        fs::remove_file(temporary)
    })
}

/// As [`write_new`], but in the place of a file that exists.
///
/// # Errors
/// [`Error::Io`]; the old file is left as it was.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    place(path, bytes, mode, |temporary| fs::rename(temporary, path))
}

fn place(path: &Path, bytes: &[u8], mode: u32, publish: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    let temporary = temporary(path)?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| publish(&temporary))
        .and_then(|()| File::open(folder(path))?.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        Error::io("write", path)(error)
    })
}

/// A name beside the file that no crash before left behind.
fn temporary(path: &Path) -> Result<PathBuf, Error> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| Error::io("write", path)(io::Error::other("no random numbers")))?;
    let name = path.file_name().ok_or_else(|| Error::io("write", path)(io::ErrorKind::InvalidFilename.into()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{:016x}.tmp", u64::from_ne_bytes(random)));
    Ok(path.with_file_name(hidden))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder, and those above it that are missing, for this user only. One that exists is left as it is.
///
/// # Errors
/// [`Error::Io`].
pub fn create_private_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("create the folder", path))
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`], [`Error::TooLarge`].
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    read_from(file, path, limit).map(|mut bytes| std::mem::take(&mut *bytes))
}

fn read_from(file: File, path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Error> {
    // room for what is there, so that growing leaves no copies behind
    let expected = file.metadata().map_or(0, |metadata| metadata.len()).min(limit) as usize + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Reads a secret of at most 64 KiB, as it is, with a line's end where it has one. It must belong to this process's
/// user and be closed to all others, or belong to root and be closed to all but root's group (PostgreSQL's rule for
/// its key, which mounted secrets satisfy).
///
/// # Errors
/// [`Error::SecretExposed`], [`Error::SecretOwner`], [`Error::TooLarge`], [`Error::Io`].
pub fn read_secret(path: &Path) -> Result<SecretBytes, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    check_owner(path, metadata.uid(), metadata.mode(), rustix::process::geteuid().as_raw())?;
    Ok(SecretBytes::from(read_from(file, path, SECRET_LIMIT)?.as_slice()))
}

fn check_owner(path: &Path, owner: u32, mode: u32, user: u32) -> Result<(), Error> {
    let forbidden = match owner {
        _ if owner == user => 0o077,
        0 => 0o037,
        _ => return Err(Error::SecretOwner { path: path.to_owned(), owner, user }),
    };
    if mode & forbidden != 0 {
        return Err(Error::SecretExposed { path: path.to_owned(), mode: mode & 0o7777 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_written_once_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_new(&path, b"one", SECRET_MODE).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (b"one".as_slice(), 0o600));
        let error = write_new(&path, b"two", PUBLIC_MODE).unwrap_err();
        assert!(matches!(&error, Error::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists), "{error}");
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (b"one".as_slice(), 0o600));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        replace(&path, b"two", SECRET_MODE).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (b"two".as_slice(), 0o600));
        // nothing is left beside it, also not of what failed
        assert!(replace(dir.path(), b"x", SECRET_MODE).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/key");
        let error = write_new(&path, b"x", SECRET_MODE).unwrap_err().to_string();
        assert!(error.contains("missing/key"), "{error}");
        assert!(write_new(Path::new("/"), b"x", SECRET_MODE).is_err());
    }

    #[test]
    fn an_exposed_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_new(&path, b"secret", SECRET_MODE).unwrap();
        assert_eq!(read_secret(&path).unwrap().expose(), b"secret");
        for exposed in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).unwrap();
            let error = read_secret(&path).unwrap_err();
            assert!(matches!(error, Error::SecretExposed { mode, .. } if mode == exposed), "{exposed:o}: {error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_mounted_secret_of_root_may_be_open_to_a_group() {
        let path = Path::new("key");
        assert!(check_owner(path, 0, 0o100_640, 1000).is_ok());
        assert!(check_owner(path, 1000, 0o100_400, 1000).is_ok());
        assert!(matches!(check_owner(path, 0, 0o100_644, 1000), Err(Error::SecretExposed { mode: 0o644, .. })));
        assert!(matches!(check_owner(path, 1000, 0o100_640, 1000), Err(Error::SecretExposed { .. })));
        assert!(matches!(check_owner(path, 1001, 0o100_600, 1000), Err(Error::SecretOwner { owner: 1001, .. })));
    }

    #[test]
    fn large_and_missing_secrets_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_new(&path, &vec![b'x'; SECRET_LIMIT as usize + 1], SECRET_MODE).unwrap();
        assert!(matches!(read_secret(&path), Err(Error::TooLarge { limit: SECRET_LIMIT, .. })));
        assert_eq!(read_bounded(&path, SECRET_LIMIT + 1).unwrap().len() as u64, SECRET_LIMIT + 1);
        assert!(matches!(read_secret(&dir.path().join("none")), Err(Error::Io { .. })));
    }

    #[test]
    fn a_private_folder_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        create_private_dir(&path).unwrap();
        create_private_dir(&path).unwrap();
        assert_eq!((mode(&path), mode(&dir.path().join("a"))), (0o700, 0o700));
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(create_private_dir(&dir.path().join("file")).is_err());
    }
}
