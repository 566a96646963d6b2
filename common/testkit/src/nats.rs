//! A real nats-server for a test: a free port, JetStream in a folder of its own, ended when dropped. It knows nothing of
//! what is said over it.

use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::watchdog;

/// Where the binary is, when it is in neither of the other places.
pub const BINARY_VARIABLE: &str = "ARBORGATE_NATS_SERVER";

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(5);

/// What kind of server to start. The default: JetStream, and anyone may do anything.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// Core NATS only.
    pub without_jetstream: bool,
    /// Appended to the configuration file, in nats-server's own format: `authorization`, `tls`, `max_payload`.
    pub config: String,
}

/// A running nats-server. Dropped, it is killed and its folder removed.
pub struct NatsServer {
    binary: PathBuf,
    folder: TempDir,
    options: NatsOptions,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server on a free port of the loopback and waits until it listens.
    ///
    /// # Errors
    /// No binary (the text says how to get one), or a server that does not start (the text holds its log).
    pub async fn start(options: NatsOptions) -> io::Result<Self> {
        let binary = find_binary()?;
        let folder = tempfile::Builder::new().prefix("arborgate-nats-").tempdir()?;
        watchdog::folder(folder.path())?;
        let mut server = Self { binary, folder, options, port: 0, child: None };
        server.spawn().await?;
        Ok(server)
    }

    /// `nats://127.0.0.1:PORT`; the same after a restart.
    pub fn url(&self) -> String {
        format!("nats://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// The port; the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its files, for certificates that the configuration names.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Ends it as an operator does, with SIGTERM, and waits until it is gone.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let limit = Instant::now() + STOP_LIMIT;
        while child.try_wait()?.is_none() {
            if Instant::now() > limit {
                self.child = Some(child);
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nats-server did not end after SIGTERM"));
            }
            tokio::time::sleep(POLL).await;
        }
        watchdog::ended(child.id());
        Ok(())
    }

    /// Ends it as a lost machine does.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => {
                child.kill()?;
                child.wait()?;
                watchdog::ended(child.id());
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Starts it again, after [`NatsServer::stop`] or [`NatsServer::kill`], on the same port and store.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub async fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.spawn().await
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("nats.log")
    }

    fn write_config(&self) -> io::Result<PathBuf> {
        let folder = self.folder.path().display();
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut config = format!(
            "server_name: test\nlisten: \"127.0.0.1:{port}\"\nports_file_dir: \"{folder}\"\nlog_file: \"{}\"\n",
            self.log_path().display()
        );
        if !self.options.without_jetstream {
            // Writing to a String can not fail.
            let _ = writeln!(config, "jetstream {{ store_dir: \"{folder}/store\" }}");
        }
        config.push_str(&self.options.config);
        let path = self.folder.path().join("nats.conf");
        std::fs::write(&path, config)?;
        Ok(path)
    }

    async fn spawn(&mut self) -> io::Result<()> {
        let config = self.write_config()?;
        let errors = std::fs::File::create(self.folder.path().join("stderr"))?;
        let child = Command::new(&self.binary)
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()?;
        let (pid, ports) = (child.id(), self.folder.path().join(format!("nats-server_{}.ports", child.id())));
        self.child = Some(child);
        watchdog::child(pid)?;
        let limit = Instant::now() + START_LIMIT;
        loop {
            if let Some(port) = read_port(&ports) {
                self.port = port;
                return Ok(());
            }
            let ended = match self.child.as_mut() {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if ended.is_some() || Instant::now() > limit {
                let said = std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
                return Err(io::Error::other(format!("nats-server did not start: {said}{}", self.log())));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kill();
    }
}

/// The port of clients in the file that nats-server writes once it listens; `None` while that is not whole.
fn read_port(path: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(path).ok()?;
    let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
    ports.get("nats")?.get(0)?.as_str()?.rsplit_once(':')?.1.parse().ok()
}

/// Where nats-server is: [`BINARY_VARIABLE`], else `.tools/bin` of the workspace, else on `PATH`.
///
/// # Errors
/// It is nowhere; the text says what to run.
pub fn find_binary() -> io::Result<PathBuf> {
    let absent = |wanted: &str| {
        io::Error::new(io::ErrorKind::NotFound, format!("{wanted} is not there: run `cargo xtask setup`"))
    };
    if let Some(named) = std::env::var_os(BINARY_VARIABLE) {
        let path = PathBuf::from(named);
        return if path.is_file() { Ok(path) } else { Err(absent(&format!("{BINARY_VARIABLE}={}", path.display()))) };
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin");
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(workspace)
        .chain(std::env::split_paths(&on_path))
        .map(|folder| folder.join("nats-server"))
        .find(|path| path.is_file())
        .ok_or_else(|| absent("nats-server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_starts_again_on_its_port_and_ends_when_dropped() {
        let mut server = NatsServer::start(NatsOptions::default()).await.unwrap();
        let port = server.port();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        server.stop().await.unwrap();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
        server.restart().await.unwrap();
        assert_eq!(server.port(), port);
        let folder = server.folder().to_owned();
        drop(server);
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_wrong_configuration_is_told_with_the_server_s_words() {
        let options = NatsOptions { config: "no_such_field: 1\n".to_owned(), ..NatsOptions::default() };
        let error = NatsServer::start(options).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("no_such_field"), "{error}");
    }
}
