//! The auth service: users and their passwords, API keys, access tokens and the keys that sign them, and what of all
//! that was revoked. It answers the operations of [`arborgate_contracts::auth`]; who may ask for them is the edge's
//! business, and so is verifying tokens.
//!
//! | module | what |
//! |---|---|
//! | `service` | the operations |
//! | `users`, `admins` | users, signing in; who the administrators are, so that the last one stays |
//! | `api_keys` | API keys |
//! | `standings` | what is revoked, and in which order things are written |
//! | `password` | Argon2id on bounded threads |
//! | `signer`, `token` | the actor that owns this replica's signing key; access tokens |
//! | `record` | what is stored |
//! | `operator` | the first administrator, a forgotten password |
//!
//! Every replica is the same: all state is in buckets and changed by compare-and-set, but for the private signing key,
//! which is in memory only.

mod admins;
mod api_keys;
mod clock;
mod config;
mod error;
mod metrics;
mod operator;
mod password;
mod random;
mod record;
mod service;
mod signer;
mod standings;
mod token;
mod users;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_actor::Address;
use arborgate_bus::{Bus, Presence, Serving};
use arborgate_contracts::bucket::{API_KEYS, SIGNING_KEYS, STANDINGS, USERS};
use arborgate_contracts::{InstanceId, Service as ServiceName};
use arborgate_runtime::master_key::MasterKey;
use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use tokio::task::AbortHandle;

pub use config::{Argon2Config, Config, HashingConfig, PasswordConfig};
pub use error::Error;
pub use operator::{FIRST_ADMINISTRATOR, Seeded, reset_password, seed};
pub use token::PASSWORD_CLIENT;

use admins::Admins;
use api_keys::ApiKeys;
use clock::Clock;
use error::chain;
use metrics::Metrics;
use password::Hasher;
use service::{Service, serve_all};
use signer::{Message, Parts};
use standings::Standings;
use token::{CurrentKey, Issuer};
use users::Users;

/// How long the first signing key may take to be published.
const FIRST_KEY: Duration = Duration::from_secs(30);

/// An auth service that serves until it is drained or dropped.
pub struct Running {
    presence: Presence,
    servings: Vec<Serving>,
    signer: Address<Message>,
    _ticker: AbortOnDrop,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Running {
    /// Takes no new requests, answers those under way within `grace`, and ends the signing key.
    pub async fn drain(self, grace: Duration) {
        let until = Instant::now() + grace;
        if let Err(error) = self.presence.leave().await {
            tracing::warn!(error = chain(&error), "could not say that this instance leaves");
        }
        join_all(self.servings.into_iter().map(|serving| serving.drain(grace))).await;
        self.signer.drain(until.saturating_duration_since(Instant::now())).await;
    }
}

/// Starts an auth service: opens its buckets, which must have been made, publishes its public key, serves every
/// operation, and only then announces `instance`. Metrics are registered without a prefix, at once: the future does not
/// hold the registry.
///
/// # Errors
/// [`Error::Config`]; [`Error::Store`], also when a bucket was never made; [`Error::Bus`].
pub fn start(
    config: Config,
    bus: Bus,
    instance: InstanceId,
    registry: &mut Registry,
    master: Arc<MasterKey>,
) -> impl Future<Output = Result<Running, Error>> + Send + use<> {
    let metrics = Metrics::new();
    metrics.register(registry);
    async move { start_with(&config, &bus, instance, metrics, &master, Clock::system()).await }
}

async fn start_with(
    config: &Config,
    bus: &Bus,
    instance: InstanceId,
    metrics: Metrics,
    master: &MasterKey,
    clock: Clock,
) -> Result<Running, Error> {
    config.checked()?;
    let users = bus.bucket(&USERS).await?;
    let standings = Standings::new(bus.bucket(&STANDINGS).await?, clock.clone());
    let api_keys = ApiKeys::new(bus.bucket(&API_KEYS).await?, standings.clone(), master, clock.clone());
    let current = CurrentKey::default();
    let token_life = config.token_life.as_secs();
    let parts = Parts {
        bucket: bus.bucket(&SIGNING_KEYS).await?,
        current: Arc::clone(&current),
        life: config.signing_key_life.as_secs(),
        token_life,
        clock: clock.clone(),
        metrics: metrics.clone(),
    };
    let every = parts.tick();
    let signer = signer::start(parts);
    signer.ask(Instant::now() + FIRST_KEY, Message::Tick).await??;
    let service = Arc::new(Service {
        users: Users {
            admins: Admins::new(users.clone()),
            standings: standings.clone(),
            hasher: Hasher::new(config, metrics.clone())?,
            rules: config.password.clone(),
            bucket: users,
            clock: clock.clone(),
        },
        api_keys,
        standings,
        issuer: Issuer { current, token_life, clock, metrics: metrics.clone() },
        signer: signer.clone(),
        lease_ms: u64::try_from(config.lease_validity.as_millis()).unwrap_or(u64::MAX),
        max_payload: bus.max_payload(),
        metrics,
    });
    let servings = serve_all(&service, bus, &instance, config.capacity).await?;
    let ticker = AbortOnDrop(tokio::spawn(tick(signer.clone(), every)).abort_handle());
    let presence = Presence::start(bus, ServiceName::Auth, instance).await?;
    Ok(Running { presence, servings, signer, _ticker: ticker })
}

/// Tells the signer the time until it is gone.
async fn tick(signer: Address<Message>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match signer.ask(Instant::now() + FIRST_KEY, Message::Tick).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = chain(&error), "rotating signing keys failed; trying again"),
            Err(error) if signer.is_alive() => tracing::error!(%error, "the signer is stuck"),
            Err(_) => return,
        }
    }
}
