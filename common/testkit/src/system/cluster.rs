//! A cluster: NATS, certificates and a master key, `init`, then every process at the same time.

use std::io;

use super::{ADMIN_PASSWORD, READY, START_LIMIT, System};
use crate::nats::{NatsOptions, NatsServer};
use crate::process::{Process, Program};

const WORKERS: [&str; 4] = ["auth", "limiter", "crypto", "inference"];
const EDGE: &str = "edge";

impl System {
    pub(super) async fn start_cluster(&mut self) -> io::Result<()> {
        self.nats = Some(NatsServer::start(NatsOptions::default()).await?);
        self.run(self.plain().arg("certs").arg(self.certs())).await?;
        let init = self.clustered("init").arg("--master-key-file").arg(self.master_key());
        self.run(init.env("ARBORGATE_ADMIN_PASSWORD", ADMIN_PASSWORD)).await?;
        let replicas = WORKERS.iter().flat_map(|role| (0..self.options.replicas).map(move |_| *role));
        let roles: Vec<&str> = replicas.chain((0..self.options.edges).map(|_| EDGE)).collect();
        // Together: what waits for another waits by itself.
        let mut started = Vec::new();
        for role in roles {
            started.push((role, self.role(role).start()?));
        }
        for (role, process) in started {
            self.keep(role, process).await?;
        }
        Ok(())
    }

    /// Starts one more process of a role and waits until it is ready; its number.
    ///
    /// # Errors
    /// As [`System::start`].
    pub async fn start_more(&mut self, role: &str) -> io::Result<usize> {
        let process = self.role(role).start()?;
        self.keep(role, process).await?;
        Ok(self.processes.get(role).map_or(0, |list| list.len().saturating_sub(1)))
    }

    /// Starts an edge on a port, where one was killed, and waits until it is ready.
    ///
    /// # Errors
    /// As [`System::start`].
    pub async fn start_edge_at(&mut self, port: u16) -> io::Result<()> {
        let process = self.listening(EDGE, port).start()?;
        self.keep(EDGE, process).await
    }

    async fn keep(&mut self, role: &str, mut process: Process) -> io::Result<()> {
        let said = process.until_line(READY, START_LIMIT).await?;
        if role == EDGE {
            let url = said.trim_start().strip_prefix("at ").and_then(|text| text.split(' ').next());
            let absent = || io::Error::other(format!("an edge does not say where it is: '{said}'"));
            self.edges.push(url.ok_or_else(absent)?.to_owned());
        }
        self.processes.entry(role.to_owned()).or_default().push(process);
        Ok(())
    }

    fn clustered(&self, command: &str) -> Program {
        let url = self.nats.as_ref().map(NatsServer::url).unwrap_or_default();
        self.plain()
            .arg(command)
            .args(["--nats", &url, "--ops-listen", "127.0.0.1:0", "--config"])
            .arg(self.config_file())
    }

    fn role(&self, role: &str) -> Program {
        self.listening(role, 0)
    }

    fn listening(&self, role: &str, port: u16) -> Program {
        let program = self.clustered("serve").args(["--roles", role]);
        match role {
            "auth" | "crypto" => program.arg("--master-key-file").arg(self.master_key()),
            EDGE => program
                .args(["--listen", &format!("127.0.0.1:{port}")])
                .env("ARBORGATE__EDGE__TLS__CERT", self.certs().join("server.pem"))
                .env("ARBORGATE__EDGE__TLS__KEY", self.certs().join("server.key")),
            _ => program,
        }
    }

    /// Runs a command that ends by itself.
    async fn run(&self, program: Program) -> io::Result<()> {
        let mut process = program.start()?;
        let end = std::time::Instant::now() + START_LIMIT;
        loop {
            match process.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("{status}: {}", process.stderr()))),
                None if std::time::Instant::now() > end => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, process.stderr()));
                }
                None => tokio::time::sleep(super::POLL).await,
            }
        }
    }
}
