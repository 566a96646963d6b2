//! A server of this repository, all in one on a free port with a data folder of its own, for what needs one running.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use arborgate_testkit::process::{Process, Program, READY};
use tempfile::TempDir;

use crate::command::{program, run_quietly};
use crate::error::{Error, Result};
use crate::workspace;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running server. Dropped, it is killed and its data removed.
pub(crate) struct Server {
    process: Process,
    data: TempDir,
    url: String,
    password: String,
    binary: PathBuf,
}

/// How often one may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limits {
    /// As often as the defaults say.
    Default,
    /// As often as one likes: for tests that ask more than anybody would.
    None,
}

/// No policies, and no guard against floods; tokens last as long as any test.
const UNLIMITED: &str = "[edge]\npolicies = []\n\n[edge.flood]\nper_second = 0\n\n[auth]\ntoken_life = \"2h\"\n";

impl Server {
    /// Starts the binary and waits until it is ready.
    pub(crate) fn start(binary: &Path) -> Result<Self> {
        Self::start_with(binary, Limits::Default)
    }

    /// The same, with limits.
    pub(crate) fn start_with(binary: &Path, limits: Limits) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("arborgate-data-").tempdir();
        let data = data.map_err(Error::io("can not make a data folder"))?;
        let password = password().map_err(Error::io("can not make a password"))?;
        let mut program = Program::new(binary)
            .args(["up", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--data-dir"])
            .arg(data.path())
            .env("ARBORGATE_ADMIN_PASSWORD", &password);
        let config = tempfile::Builder::new().suffix(".toml").tempfile().map_err(Error::io("can not configure"))?;
        if limits == Limits::None {
            fs::write(config.path(), UNLIMITED).map_err(Error::io("can not configure"))?;
            program = program.arg("--config").arg(config.path());
        }
        let mut process = program.start().map_err(Error::io("the server does not start"))?;
        let url = process.wait_for_line(READY, START_LIMIT).map_err(Error::io("the server does not start"))?;
        Ok(Self { process, data, url, password, binary: binary.to_owned() })
    }

    /// Adds a model with categories, and with names that are no identifiers: `awkward`.
    pub(crate) fn add_awkward_model(&self) -> Result {
        let file = |path| workspace::root().join(path);
        let mut command = program(&self.binary);
        command.args(["models", "add", "awkward"]).arg(file("services/arborgate/tests/it/boosted/xgboost.json"));
        command.args(["--version", "1", "--signature"]).arg(file("openapi/clients/awkward.toml"));
        run_quietly(START_LIMIT, command.arg("--data-dir").arg(self.data.path()))
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
