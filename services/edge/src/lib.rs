//! The edge: Arborgate's HTTP API. It authenticates, authorizes, limits and validates requests and asks the services
//! over the bus; it computes nothing and keeps nothing. The only crate that names poem.
//!
//! | module | what |
//! |---|---|
//! | [`accept`] | connections: TLS, time limits, caps, draining |
//! | [`front`] | the way of each request: who? may they? how often? and of each answer |
//! | [`operations`] | the one table of operations and permissions |
//! | [`identity`] | access tokens, API keys, revocation |
//! | [`limits`] | rate-limit policies |
//! | `jobs` | large work: taken in, told of, handed out |
//! | [`models`] | the catalog, rows from JSON, CSV and Arrow, the way to the workers |
//! | [`grpc`] | the same protocol's calls over gRPC |
//! | `api` | the handlers, and the OpenAPI document |
//! | `document` | the OpenAPI document, with the models that its reader may see |
//! | `protocol` | what the Open Inference Protocol asks, for its handlers over HTTP and gRPC |
//! | `docs` | the documentation page |

pub mod accept;
mod api;
pub mod backup;
pub mod config;
mod docs;
mod document;
pub mod front;
pub mod grpc;
pub mod identity;
mod jobs;
pub mod limits;
pub mod models;
pub mod operations;
mod protocol;
mod upload;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::{Bus, BusError, Client, Directory, StoreError};
use arborgate_contracts::Service;
use arborgate_contracts::bucket::ARTIFACTS;
use arborgate_runtime::ops::Health;
use arborgate_runtime::tls::Reloader;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use api::document;
pub use config::Config;

use accept::{Listener, OperatorSocket};
use front::Front;
use front::body::BodyLimits;
use models::gather;

/// How large bodies may be, and how long they may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodySizes {
    plain: usize,
    prediction: usize,
    upload: u64,
    job: u64,
    timeout: Duration,
}

impl BodySizes {
    fn new(config: &Config) -> Self {
        let job = config.jobs.max_bytes.bytes();
        let config = &config.requests;
        Self {
            job,
            plain: config.max_body.as_usize(),
            prediction: config.max_predict_body.as_usize(),
            upload: config.max_upload.bytes(),
            timeout: *config.body_timeout,
        }
    }

    fn of(self, prediction: bool) -> BodyLimits {
        BodyLimits { bytes: if prediction { self.prediction } else { self.plain }, timeout: self.timeout }
    }
}

/// Why the edge does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port.
    #[error("can not listen on {address}; is it in use? give another {with}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// How another is given.
        with: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The operator's socket.
    #[error("can not listen on the operator's socket {path}")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate.
    #[error("the certificate can not be used")]
    Tls(#[from] arborgate_runtime::Error),
    /// The state.
    #[error("reading the state failed")]
    Store(#[from] StoreError),
    /// The bus.
    #[error("the bus failed")]
    Bus(#[from] BusError),
    /// What callers are told by.
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    /// The models.
    #[error(transparent)]
    Catalog(#[from] models::catalog::CatalogError),
}

/// What the edge is given beside its configuration.
pub struct Surroundings<'a> {
    /// The bus.
    pub bus: Bus,
    /// Of the process.
    pub health: Health,
    /// Of the process.
    pub registry: &'a mut Registry,
    /// The certificate in force; `None`: plain HTTP.
    pub certificate: Option<Arc<Reloader>>,
    /// Whether to tell browsers to insist on HTTPS.
    pub hsts: bool,
}

/// A running edge.
pub struct Running {
    /// Where clients connect.
    pub address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Connections that the kernel completes before they are accepted; it cuts this to its own limit.
const BACKLOG: u32 = 1024;

/// A port that is held: who connects is refused until it listens.
struct Held {
    socket: TcpSocket,
    address: SocketAddr,
    /// How another is given.
    with: &'static str,
}

impl Held {
    fn bind(address: SocketAddr, with: &'static str) -> Result<Self, Error> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // As `TcpListener::bind` has it: a port whose last connections are still ending is free.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok((socket.local_addr()?, socket))
        };
        let (address, socket) = bind().map_err(|source| Error::Listen { address, with, source })?;
        Ok(Self { socket, address, with })
    }

    fn listen(self) -> Result<TcpListener, Error> {
        let Self { socket, address, with } = self;
        socket.listen(BACKLOG).map_err(|source| Error::Listen { address, with, source })
    }
}

/// The ports of the configuration. Held before anything else starts: one in use is found at once. Nobody is let in before
/// there is an answer: who connects while the edge waits for NATS is refused, and may try another.
pub struct Bound {
    clients: Held,
    redirect: Option<Held>,
    operator: Option<OperatorSocket>,
}

impl Bound {
    /// Binds; the operator's socket only of an all-in-one, in a data folder that the caller holds.
    pub fn bind(config: &Config, operator_socket: Option<&Path>) -> Result<Self, Error> {
        let clients = Held::bind(config.listen, "with --listen")?;
        let redirect =
            config.redirect_listen.map(|address| Held::bind(address, "as edge.redirect_listen")).transpose()?;
        let operator = operator_socket.map(|path| {
            let bound = OperatorSocket::bind(path);
            bound.map_err(|source| Error::Socket { path: path.to_owned(), source })
        });
        Ok(Self { clients, redirect, operator: operator.transpose()? })
    }
}

/// Starts answering; returns when requests are answered.
pub async fn start(config: Config, bound: Bound, surroundings: Surroundings<'_>) -> Result<Running, Error> {
    let Surroundings { bus, health, registry, certificate, hsts } = surroundings;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let front = build_front(&config, &bus, health, registry, hsts, stop.clone()).await?;
    let shared = Listener {
        front: Arc::new(front),
        config: Arc::new(config.connections.clone()),
        stop: stop.clone(),
        tasks: tasks.clone(),
    };
    let tls = certificate.as_deref().map(accept::tls).transpose()?;
    if let Some(socket) = bound.operator {
        tasks.spawn(socket.serve(shared.clone()));
    }
    let address = bound.clients.address;
    if let Some(redirect) = bound.redirect {
        tasks.spawn(accept::redirect(redirect.listen()?, address.port(), shared.clone()));
    }
    tasks.spawn(accept::serve(bound.clients.listen()?, tls, shared));
    Ok(Running { address, stop, tasks })
}

async fn build_front(
    config: &Config,
    bus: &Bus,
    health: Health,
    registry: &mut Registry,
    hsts: bool,
    stop: CancellationToken,
) -> Result<Front, Error> {
    let client = async |service| Ok::<_, Error>(Client::new(bus.clone(), Directory::start(bus, service).await?));
    let auth = client(Service::Auth).await?;
    let limits = gather::Limits {
        attempt: *config.inference.attempt_timeout,
        message_rows: config.inference.message_rows,
        waiting_rows: config.inference.waiting_rows,
        in_flight: config.inference.in_flight,
    };
    let catalog = models::catalog::Catalog::start(bus, limits, models::shadow::Metrics::new(registry)).await?;
    let sticky = catalog.sticky_headers();
    let shared = Arc::new(api::Shared {
        config: config.clone(),
        catalog,
        bus: bus.clone(),
        objects: bus.objects(ARTIFACTS).await?,
        jobs: jobs::Jobs::open(bus, config.jobs.clone(), stop).await?,
        auth: auth.clone(),
        crypto: client(Service::Crypto).await?,
        inference: client(Service::Inference).await?,
        health,
    });
    let documents = document::Documents::new(shared.catalog.clone(), config.inference.max_rows).await;
    Ok(Front {
        authenticator: identity::Authenticator::start(bus, auth, config.remember).await?,
        limits: limits::Limits::new(&config.policies, client(Service::Limiter).await?, config.remember),
        flood: front::flood::Guard::new(&config.flood),
        proxies: front::address::Proxies::new(config.trusted_proxies.clone()),
        grpc: grpc::Calls::new(Arc::clone(&shared)),
        api: api::endpoint(shared),
        docs: docs::Docs::new(),
        documents,
        queries: front::query::Queries::new(api::queries()),
        sticky,
        metrics: front::metrics::Metrics::new(registry),
        hsts,
        timeout: *config.requests.timeout,
        sizes: BodySizes::new(config),
        operator: front::operator(),
    })
}

impl Running {
    /// Accepts nothing new and waits until what is under way is answered, or `grace` is over.
    pub async fn drain(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "connections were still open when the grace time ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_held_and_nobody_is_let_in_before_it_listens() {
        let held = Held::bind("127.0.0.1:0".parse().unwrap(), "as x").unwrap();
        let address = held.address;
        let connect = tokio::net::TcpStream::connect;
        assert_eq!(connect(address).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        let _listener = held.listen().unwrap();
        connect(address).await.unwrap();
        let taken = Held::bind(address, "as edge.redirect_listen").err().unwrap();
        assert!(taken.to_string().ends_with("give another as edge.redirect_listen"), "{taken}");
    }
}
