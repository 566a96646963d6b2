//! Names of Unix sockets, of which the kernel takes about a hundred bytes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::folder;

/// Below the 108 bytes of Linux and the 104 of the BSDs, with a final zero.
const LONGEST: usize = 100;

/// A path by which a socket can be bound or connected, however long its own is; only while this is held.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    _folder: Option<File>,
}

impl SocketPath {
    /// # Errors
    /// Where the path is long and its folder can not be opened.
    pub fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let folder = File::open(folder(path))?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path: short, _folder: Some(folder) })
    }

    pub fn as_path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_has_a_name_of_any_length() {
        let dir = tempfile::tempdir().unwrap();
        for length in [1, LONGEST, 200] {
            let folder = dir.path().join("x".repeat(length));
            std::fs::create_dir(&folder).unwrap();
            let path = folder.join("socket");
            let name = SocketPath::of(&path).unwrap();
            let _listener = UnixListener::bind(name.as_path()).unwrap();
            assert!(std::fs::symlink_metadata(&path).is_ok(), "it is where it was meant to be");
            UnixStream::connect(SocketPath::of(&path).unwrap().as_path()).unwrap();
        }
        assert!(SocketPath::of(&dir.path().join("y".repeat(200)).join("socket")).is_err(), "its folder is not there");
    }
}
