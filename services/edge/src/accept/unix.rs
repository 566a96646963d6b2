//! The owner-only socket of an all-in-one, for the operator's commands on the same machine.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use arborgate_runtime::files::SocketPath;
use tokio::net::UnixListener;

use super::Listener;
use super::connection::Serving;
use crate::front::address::Peer;

/// A socket in the data folder, which only its owner may enter.
#[derive(Debug)]
pub struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OperatorSocket {
    /// Binds. The caller holds the folder's lock, so a socket that is there is left from a process that was killed.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(SocketPath::of(path)?.as_path())?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Accepts until told to stop.
    pub async fn serve(self, shared: Listener) {
        loop {
            let accepted = tokio::select! {
                () = shared.stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let serving = Serving { shared: shared.clone(), peer: Peer::Operator, secure: false };
                    shared.tasks.spawn(serving.run(stream));
                }
                Err(error) => super::pause_after(&error).await,
            }
        }
        // The next start removes it as well.
        let _ = std::fs::remove_file(&self.path);
    }
}
