//! A server of this repository, all in one on a free port with a data folder of its own, for what needs one running.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use arborgate_testkit::process::{Process, Program, READY};
use tempfile::TempDir;

use crate::error::{Error, Result};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running server. Dropped, it is killed and its data removed.
pub(crate) struct Server {
    process: Process,
    data: TempDir,
    url: String,
    password: String,
}

impl Server {
    /// Starts the binary and waits until it is ready.
    pub(crate) fn start(binary: &Path) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("arborgate-data-").tempdir();
        let data = data.map_err(Error::io("can not make a data folder"))?;
        let password = password().map_err(Error::io("can not make a password"))?;
        let mut process = Program::new(binary)
            .args(["up", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--data-dir"])
            .arg(data.path())
            .env("ARBORGATE_ADMIN_PASSWORD", &password)
            .start()
            .map_err(Error::io("the server does not start"))?;
        let url = process.wait_for_line(READY, START_LIMIT).map_err(Error::io("the server does not start"))?;
        Ok(Self { process, data, url, password })
    }

    /// Its certificate authority, PEM.
    pub(crate) fn ca(&self) -> PathBuf {
        self.data.path().join("tls/ca.pem")
    }

    /// Tells a program where the server is and how to sign in.
    pub(crate) fn introduce<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("BASE_URL", &self.url).env("CA_FILE", self.ca()).env("ADMIN_PASSWORD", &self.password)
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(mut self) -> Result {
        let status = self.process.stop(STOP_LIMIT).map_err(Error::io("the server does not stop"))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Wrong(format!("the server ended with {status}\n{}", self.process.stderr())))
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        self.process.stderr()
    }
}

/// 32 hexadecimal digits from the system.
fn password() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
