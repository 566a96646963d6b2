//! The whole of Arborgate as processes: all in one, or roles of a cluster over a real NATS. It starts, asks and ends them;
//! what is right to answer is the tests' business.
//!
//! One system is shared by the tests of a binary that disturb nobody: they have users, keys and models of their own names.
//! A test that needs limits of its own, or to stop processes, starts one for itself.

mod cluster;
mod document;
mod http;
mod operator;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use http::{Answer, Credential};
pub use operator::Output;

use crate::nats::NatsServer;
use crate::process::{Process, Program};
use crate::watchdog;

/// The administrator's password in every system.
pub const ADMIN_PASSWORD: &str = "the administrator of the tests";

/// What a process prints before anything else once it is ready.
const READY: &str = "arborgate is ready";
const OPERATIONS: &str = "operations are answered address=";
/// For a start, on a machine that does much else.
const START_LIMIT: Duration = Duration::from_secs(120);
/// For any condition that holds soon.
const SOON: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One process, the in-process bus, state in a folder.
    AllInOne,
    /// A process for each replica of each role, over NATS.
    Nats,
}

/// How a system is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// A configuration file, over the defaults.
    pub config: String,
    /// Variables over the base below.
    pub env: Vec<(String, String)>,
    /// Over NATS, processes of each role that is no edge.
    pub replicas: usize,
    /// Over NATS, edges.
    pub edges: usize,
}

/// Limits that no test reaches.
pub const GENEROUS: &str = r#"
[[edge.policies]]
name = "token"
operations = ["token"]
by = "address"
permits = 1000000
window = "1m"

[[edge.policies]]
name = "predict"
operations = ["predict", "predict_model", "predict_rows", "predict_version", "explain_model", "explain_version"]
by = "principal"
permits = 1000000
window = "1m"
"#;

impl Default for Options {
    /// Two of each role, and [`GENEROUS`] limits.
    fn default() -> Self {
        Self { config: GENEROUS.to_owned(), env: Vec::new(), replicas: 2, edges: 2 }
    }
}

impl Options {
    /// With a configuration file.
    pub fn with_config(config: impl Into<String>) -> Self {
        Self { config: config.into(), ..Self::default() }
    }
}

/// Tokens that last, passwords that cost little, and all that the services say of requests.
const BASE: [(&str, &str); 5] = [
    ("ARBORGATE__AUTH__TOKEN_LIFE", "1h"),
    ("ARBORGATE__AUTH__ARGON2__MEMORY", "64KiB"),
    ("ARBORGATE__AUTH__ARGON2__PASSES", "1"),
    ("ARBORGATE__TELEMETRY__FILTER", "info,arborgate_edge=debug,arborgate_auth=debug,arborgate_bus=debug"),
    ("ARBORGATE__SHUTDOWN__GRACE", "10s"),
];

/// Processes that are one Arborgate. Dropped, all are killed and what they wrote is removed.
pub struct System {
    kind: Kind,
    options: Options,
    program: PathBuf,
    folder: TempDir,
    // After the processes in the order of dropping: they say nothing of a NATS that went first.
    processes: BTreeMap<String, Vec<Process>>,
    nats: Option<NatsServer>,
    edges: Vec<String>,
    client: reqwest::Client,
    tokens: Mutex<BTreeMap<String, String>>,
}

impl System {
    /// Starts `program` and waits until each process is ready.
    ///
    /// # Errors
    /// What does not start, with the end of its log.
    pub async fn start(program: impl Into<PathBuf>, kind: Kind, options: Options) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("arborgate-system-").tempdir()?;
        watchdog::folder(folder.path())?;
        let mut system = Self {
            kind,
            options,
            program: program.into(),
            folder,
            processes: BTreeMap::new(),
            nats: None,
            edges: Vec::new(),
            client: reqwest::Client::new(),
            tokens: Mutex::default(),
        };
        std::fs::write(system.config_file(), &system.options.config)?;
        match kind {
            Kind::AllInOne => system.start_all_in_one().await?,
            Kind::Nats => system.start_cluster().await?,
        }
        system.trust()?;
        Ok(system)
    }

    /// Makes the client anew, to trust the CA that is there now, and forgets the administrator's token.
    ///
    /// # Errors
    /// The CA can not be read.
    pub fn trust(&mut self) -> io::Result<()> {
        self.client = self.new_client()?;
        self.tokens = Mutex::default();
        Ok(())
    }

    /// A client with connections of its own, as [`System::client`] else: for what may cost it its connection, which others
    /// share.
    ///
    /// # Errors
    /// The CA can not be read.
    pub fn new_client(&self) -> io::Result<reqwest::Client> {
        let ca = reqwest::Certificate::from_pem_bundle(&std::fs::read(self.ca())?).map_err(io::Error::other)?;
        let client = reqwest::Client::builder().tls_certs_only(ca).redirect(reqwest::redirect::Policy::none());
        client.build().map_err(io::Error::other)
    }

    /// Which bus.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The binary.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The CA that signed the edges' certificates.
    pub fn ca(&self) -> PathBuf {
        match self.kind {
            Kind::AllInOne => self.data_dir().join("tls/ca.pem"),
            Kind::Nats => self.certs().join("ca.pem"),
        }
    }

    /// The master key's file.
    pub fn master_key(&self) -> PathBuf {
        match self.kind {
            Kind::AllInOne => self.data_dir().join("master.key"),
            Kind::Nats => self.certs().join("master.key"),
        }
    }

    /// The data folder of an all-in-one.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for a test's own files, which goes with the system.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The bus's server, over NATS.
    pub fn nats(&mut self) -> Option<&mut NatsServer> {
        self.nats.as_mut()
    }

    /// How many edges there are: 1 all in one.
    pub fn edges(&self) -> usize {
        self.edges.len()
    }

    /// The base URL of an edge, from 0; counted round, so that a test may name more than an all-in-one has.
    pub fn edge(&self, number: usize) -> &str {
        self.edges.get(number % self.edges.len().max(1)).map_or("", String::as_str)
    }

    /// A process of a role, from 0: `edge`, `auth`, `limiter`, `crypto`, `inference`; all in one each role is the one.
    ///
    /// # Errors
    /// There is no such process.
    pub fn process(&mut self, role: &str, number: usize) -> io::Result<&mut Process> {
        let (role, number) = if self.kind == Kind::AllInOne { ("all-in-one", 0) } else { (role, number) };
        let found = self.processes.get_mut(role).and_then(|processes| processes.get_mut(number));
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no process {role} {number}")))
    }

    /// What every process logged so far, by role and number.
    pub fn logs(&self) -> Vec<(String, String)> {
        let of = |(role, list): (&String, &Vec<Process>)| {
            let role = role.clone();
            list.iter()
                .enumerate()
                .map(move |(n, process)| (format!("{role} {n}"), process.stderr()))
                .collect::<Vec<_>>()
        };
        self.processes.iter().flat_map(of).collect()
    }

    /// Where each process answers `/livez`, `/readyz` and `/metrics`, by role and number.
    ///
    /// # Errors
    /// A process that does not say.
    pub fn operations(&self) -> io::Result<Vec<(String, SocketAddr)>> {
        let told = |log: &str| log.lines().find_map(|l| l.split_once(OPERATIONS)?.1.trim().parse().ok());
        let silent = |name: &str| io::Error::other(format!("{name} does not say where its operations listener is"));
        self.logs().into_iter().map(|(name, log)| told(&log).ok_or_else(|| silent(&name)).map(|a| (name, a))).collect()
    }

    /// Waits until every edge predicts with the demonstration model.
    ///
    /// # Errors
    /// One does not.
    pub async fn settle(&self) -> io::Result<()> {
        let admin = self.admin().await?;
        let row = serde_json::json!({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2});
        for edge in &self.edges {
            eventually("every edge predicts", async || {
                let url = format!("{edge}/v1/models/iris/predict");
                let answer = self.send(admin.apply(self.client.post(url)).json(&row)).await?;
                Ok(answer.status == 200)
            })
            .await?;
        }
        Ok(())
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("arborgate.toml")
    }

    fn certs(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    fn plain(&self) -> Program {
        let base = BASE.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        base.chain(self.options.env.iter().cloned())
            .fold(Program::new(&self.program), |program, (name, value)| program.env(name, value))
    }

    async fn start_all_in_one(&mut self) -> io::Result<()> {
        let mut process = self.all_in_one().start()?;
        let url = process.until_line(&format!("{READY} at "), START_LIMIT).await?;
        self.processes.insert("all-in-one".to_owned(), vec![process]);
        self.edges = vec![url];
        Ok(())
    }

    fn all_in_one(&self) -> Program {
        self.plain()
            .args(["up", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir"])
            .arg(self.data_dir())
            .arg("--config")
            .arg(self.config_file())
            .env("ARBORGATE_ADMIN_PASSWORD", ADMIN_PASSWORD)
    }

    /// Starts an all-in-one again that was stopped or killed, on its data folder.
    ///
    /// # Errors
    /// As [`System::start`].
    pub async fn restart_all_in_one(&mut self) -> io::Result<()> {
        self.processes.clear();
        self.start_all_in_one().await
    }
}

/// Waits until a condition holds.
///
/// # Errors
/// The condition's, or that it did not hold soon.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> io::Result<bool>) -> io::Result<()> {
    let end = Instant::now() + SOON;
    while !holds().await? {
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("not in time: {what}")));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
