//! The limiter: says whether a request may pass, and lends permits to edges, so that a limit holds across all edges and
//! replicas. It knows no policy and no client; both stand, hashed, in the key that it is asked about.
//!
//! Each key's log (`log`) lives in the bucket [`arborgate_contracts::bucket::LIMITS`] and changes by compare-and-set.
//! So any replica answers for any key, and one that is lost loses nothing. An actor for each active key gathers the
//! questions that wait into one change; callers prefer one replica for a key only for speed. When the bucket is lost,
//! limits start empty.
//!
//! What an edge must keep to:
//!
//! - Ids are its own and new for each request or loan: an id that a client may choose would let it pass for ever.
//! - A loan may be spent for `valid_ms` from when the edge *sent* its request, not from when the answer came.
//! - It returns each loan, with what was spent, once it spends no more of it; also, with 0, one whose answer never came.
//!   What is not returned counts as spent at the loan's end.
//! - It asks again before a loan is spent, and after a refusal not before `reset_ms`.

mod config;
mod error;
mod key;
mod keys;
mod log;
mod metrics;
mod question;
mod service;
mod store;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arborgate_bus::{Bus, Presence, Serving, serve};
use arborgate_contracts::limiter::{Borrow, Decide};
use arborgate_contracts::{InstanceId, Service};
use prometheus_client::registry::Registry;
use tokio::task::AbortHandle;

pub use config::Config;
pub use error::Error;
pub use log::MAX_DECIDED;

use keys::Keys;

/// Gives unix time in milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Starts a limiter. When this returns, it answers requests and is announced.
pub async fn start(config: Config, bus: Bus, instance: InstanceId, registry: &mut Registry) -> Result<Running, Error> {
    start_with_clock(config, bus, instance, registry, Arc::new(unix_ms)).await
}

/// [`start`] by another clock than the system's.
pub async fn start_with_clock(
    config: Config,
    bus: Bus,
    instance: InstanceId,
    registry: &mut Registry,
    clock: Clock,
) -> Result<Running, Error> {
    if let Some((key, problem)) = config.problems().into_iter().next() {
        return Err(Error::Config { key, problem });
    }
    let metrics = metrics::Metrics::register(registry);
    let store = store::Store::open(bus.clone(), metrics.clone()).await?;
    let shared = Arc::new(key::Shared { store, clock, metrics });
    let keys = Arc::new(Keys::new(shared, config.clone()));
    let service = Arc::new(service::Answers::new(Arc::clone(&keys), &config));
    let decide = Arc::clone(&service);
    let mut servings = Vec::from(
        serve(&bus, &instance, config.capacity, move |request: Decide, meta| Arc::clone(&decide).decide(request, meta))
            .await?,
    );
    servings.extend(
        serve(&bus, &instance, config.capacity, move |request: Borrow, meta| {
            Arc::clone(&service).borrow(request, meta)
        })
        .await?,
    );
    let sweeper = Sweeper(tokio::spawn(sweep(Arc::clone(&keys), config.idle_after.get() / 2)).abort_handle());
    let presence = Presence::start(&bus, Service::Limiter, instance).await?;
    Ok(Running { presence, servings, keys, _sweeper: sweeper })
}

/// A limiter at work. Dropped, it stops at once.
pub struct Running {
    presence: Presence,
    servings: Vec<Serving>,
    keys: Arc<Keys>,
    _sweeper: Sweeper,
}

impl Running {
    /// Says that it leaves, answers what it was asked, and ends; after `grace` it ends all the same.
    pub async fn drain(self, grace: Duration) {
        let end = tokio::time::Instant::now() + grace;
        if let Err(error) = self.presence.leave().await {
            tracing::warn!(%error, "could not announce that this limiter leaves");
        }
        futures_util::future::join_all(self.servings.into_iter().map(|serving| serving.drain(grace))).await;
        self.keys.drain(end.saturating_duration_since(tokio::time::Instant::now())).await;
    }
}

struct Sweeper(AbortHandle);

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn sweep(keys: Arc<Keys>, every: Duration) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        keys.let_go();
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
