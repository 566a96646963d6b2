//! The roles of a process, started in order and drained in reverse.

use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::Bus;
use arborgate_contracts::InstanceId;
use arborgate_edge::{Bound, Surroundings};
use arborgate_runtime::master_key::MasterKey;
use arborgate_runtime::metrics::Registry;
use arborgate_runtime::ops::{CheckHandle, Health};
use arborgate_runtime::shutdown::Shutdown;
use arborgate_runtime::tls::Reloader;
use clap::ValueEnum;
use futures_util::future::{BoxFuture, FutureExt};

use crate::error::Error;
use crate::settings::Settings;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Users, keys, tokens.
    Auth,
    /// Rate limits.
    Limiter,
    /// Encryption.
    Crypto,
    /// Predictions.
    Inference,
    /// The API. Last, so that what it asks is there.
    Edge,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: [Self; 5] = [Self::Auth, Self::Limiter, Self::Crypto, Self::Inference, Self::Edge];

    /// As flags and checks call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Limiter => "limiter",
            Self::Crypto => "crypto",
            Self::Inference => "inference",
            Self::Edge => "edge",
        }
    }

    /// Whether it reads what the master key wraps.
    pub(crate) fn needs_master_key(self) -> bool {
        matches!(self, Self::Auth | Self::Crypto)
    }
}

/// What roles are given.
pub(crate) struct Process {
    pub settings: Settings,
    pub bus: Bus,
    pub health: Health,
    pub metrics: Registry,
    pub master: Option<Arc<MasterKey>>,
    pub edge: Option<EdgeProcess>,
}

/// What only an edge is given.
pub(crate) struct EdgeProcess {
    pub bound: Bound,
    pub certificate: Option<Arc<Reloader>>,
    pub hsts: bool,
}

type Drain = Box<dyn FnOnce(Duration) -> BoxFuture<'static, ()> + Send>;

/// Roles that run.
pub(crate) struct Running {
    /// Where clients connect, with an edge.
    pub address: Option<std::net::SocketAddr>,
    bus: Bus,
    health: Health,
    grace: Duration,
    drains: Vec<(Role, CheckHandle, Drain)>,
}

macro_rules! drain {
    ($running:expr) => {{
        let running = $running;
        Box::new(move |grace| running.drain(grace).boxed()) as Drain
    }};
}

/// A new name for a role of this process.
fn instance(role: Role) -> Result<InstanceId, Error> {
    let text = format!("{}-{:016x}", role.name(), rand::random::<u64>());
    text.parse().map_err(Error::service(role.name()))
}

/// Starts roles, each when the ones before are live.
pub(crate) async fn start(mut process: Process, roles: &[Role]) -> Result<Running, Error> {
    let (bus, health, grace) = (process.bus.clone(), process.health.clone(), *process.settings.shutdown.grace);
    let mut running = Running { address: None, bus, health, grace, drains: Vec::new() };
    let checks: Vec<CheckHandle> = roles.iter().map(|role| process.health.check(role.name())).collect();
    let mut ordered: Vec<(Role, CheckHandle)> = roles.iter().copied().zip(checks).collect();
    ordered.sort_by_key(|(role, _)| *role);
    for (role, check) in ordered {
        let mut registry = prometheus_client::registry::Registry::with_prefix("arborgate");
        let drain = start_one(&mut process, role, &mut registry, &mut running.address).await?;
        process.metrics.adopt(registry);
        check.ready();
        running.drains.push((role, check, drain));
    }
    Ok(running)
}

async fn start_one(
    process: &mut Process,
    role: Role,
    registry: &mut prometheus_client::registry::Registry,
    address: &mut Option<std::net::SocketAddr>,
) -> Result<Drain, Error> {
    let (settings, bus, id) = (process.settings.clone(), process.bus.clone(), instance(role)?);
    let name = role.name();
    Ok(match role {
        Role::Auth => {
            let master = process.master.clone().ok_or(Error::NoMasterKey)?;
            let started = arborgate_auth::start(settings.auth, bus, id, registry, master).await;
            drain!(started.map_err(Error::service(name))?)
        }
        Role::Limiter => {
            let started = arborgate_limiter::start(settings.limiter, bus, id, registry).await;
            drain!(started.map_err(Error::service(name))?)
        }
        Role::Crypto => {
            let master = process.master.clone().ok_or(Error::NoMasterKey)?;
            let started = arborgate_crypto::start(settings.crypto, bus, id, registry, master).await;
            drain!(started.map_err(Error::service(name))?)
        }
        Role::Inference => {
            let started = arborgate_inference::start(settings.inference, bus, id, registry).await;
            drain!(started.map_err(Error::service(name))?)
        }
        Role::Edge => {
            let Some(edge) = process.edge.take() else { return Err(Error::Refused("no address to listen on".into())) };
            let surroundings = Surroundings {
                bus,
                health: process.health.clone(),
                registry,
                certificate: edge.certificate,
                hsts: edge.hsts,
            };
            let started = arborgate_edge::start(settings.edge, edge.bound, surroundings).await;
            let started = started.map_err(Error::service(name))?;
            *address = Some(started.address);
            drain!(started)
        }
    })
}

impl Running {
    /// Until a signal, then drains.
    pub(crate) async fn until(self, signal: impl Future<Output = &'static str>, shutdown: &Shutdown) {
        let signal = signal.await;
        tracing::info!(signal, "draining");
        let (bus, grace) = (self.bus.clone(), self.grace);
        self.drain().await;
        bus.close().await;
        shutdown.drain(grace).await;
    }

    /// Drains in reverse: the edge first, so that what it has under way is answered by the others.
    async fn drain(mut self) {
        self.health.drain();
        while let Some((role, check, drain)) = self.drains.pop() {
            check.not_ready("draining");
            drain(self.grace).await;
            tracing::info!(role = role.name(), "drained");
        }
    }
}
