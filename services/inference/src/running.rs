//! The service as a whole: started, live, drained.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arborgate_bus::{Bus, Handler, Presence, Serving, serve};
use arborgate_contracts::bucket::{ARTIFACTS, MODELS};
use arborgate_contracts::inference::{ChangeRollout, PREDICT, Register, Remove};
use arborgate_contracts::presence::{Held, Holding};
use arborgate_contracts::{InstanceId, Service, Subject};
use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::artifact::Loader;
use crate::config::Config;
use crate::error::Error;
use crate::jobs::{Jobs, Models};
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::model::Worker;
use crate::pool::Pool;
use crate::predict::Predict;
use crate::registry::{Registrar, Sweep};
use crate::signalled;
use crate::table::Table;

/// Models that are read at once.
const LOADED_AT_ONCE: usize = 2;
/// Registrations, and removals, under way at once on each subject; more are refused.
const MANAGED_AT_ONCE: usize = 8;
/// Calls to versions that wait, at most.
const CALLS: usize = 64;
/// In which requests under way are answered when a version is removed.
const UNLOAD_GRACE: Duration = Duration::from_secs(30);

/// The service, live. Dropped without [`Running::drain`] it stops, and leaves what is under way.
pub struct Running {
    stop: watch::Sender<bool>,
    presence: JoinHandle<()>,
    sweep: JoinHandle<()>,
    keeper: Option<Keeper>,
    servings: Vec<Serving>,
    jobs: Option<Jobs>,
    table: Arc<Table>,
    pool: Option<Pool>,
}

/// Starts the service. When it returns, every version in the registry is served or has failed to load once (it is tried
/// again), the operations and the instance's own subject are served, and the instance has announced itself.
///
/// The metrics are registered at once, below `inference`, not when the future is awaited.
///
/// # Errors
/// A configuration that can not work, a registry or bus out of reach, no threads.
pub fn start(
    config: Config,
    bus: Bus,
    instance: InstanceId,
    registry: &mut Registry,
) -> impl Future<Output = Result<Running, Error>> + Send + use<> {
    let metrics = Metrics::register(registry);
    start_with(config, bus, instance, metrics)
}

async fn start_with(config: Config, bus: Bus, instance: InstanceId, metrics: Metrics) -> Result<Running, Error> {
    if let Some((key, problem)) = config.problems().into_iter().next() {
        return Err(Error::Config { key, problem });
    }
    let bucket = bus.bucket(&MODELS).await?;
    let objects = bus.objects(ARTIFACTS).await?;
    let registrar = Registrar::open(&bus, config.artifact_limits()).await?;
    let pool = Pool::start(&config, metrics.clone()).map_err(Error::Thread)?;
    let table = Arc::new(Table::new(config.memory.bytes(), metrics.clone()));
    let (calls, called) = mpsc::channel(CALLS);
    let predict: Arc<dyn Handler> = Arc::new(Predict {
        table: Arc::clone(&table),
        calls: calls.clone(),
        metrics: metrics.clone(),
        max_payload: bus.max_payload(),
    });
    let loader = Loader::new(objects, config.artifact_limits(), LOADED_AT_ONCE);
    let models = Models { table: Arc::clone(&table), calls: calls.clone(), loader: loader.clone() };
    let worker = Arc::new(Worker {
        bus: bus.clone(),
        loader: loader.clone(),
        lines: pool.lines(),
        table: Arc::clone(&table),
        predict: Arc::clone(&predict),
        calls,
        metrics: metrics.clone(),
        hold: config.hold.clone(),
        capacity: config.capacity,
        retry_at_most: config.retry_at_most.get(),
        grace_ms: AtomicU64::new(UNLOAD_GRACE.as_millis() as u64),
    });
    let keeper = Keeper::begin(worker, bucket, called).await?;
    let mut servings = manage(&bus, &instance, registrar.clone()).await?;
    let direct = Subject::direct(Service::Inference, PREDICT, &instance);
    servings.push(bus.serve(&direct, None, config.capacity, predict).await?);
    let presence = Presence::start(&bus, Service::Inference, instance).await?;
    let stop = watch::Sender::new(false);
    let presence = tokio::spawn(announce(presence, table.holding(), stop.subscribe()));
    let jobs = Jobs::start(&bus, &config, models, metrics).await?;
    let sweep = tokio::spawn(Sweep::new(registrar).run());
    Ok(Running { stop, presence, sweep, keeper: Some(keeper), servings, jobs: Some(jobs), table, pool: Some(pool) })
}

async fn manage(bus: &Bus, instance: &InstanceId, registrar: Registrar) -> Result<Vec<Serving>, Error> {
    let registering = registrar.clone();
    let register = move |request: Register, _| {
        let registrar = registering.clone();
        async move { registrar.register(request).await }
    };
    let removing = registrar.clone();
    let remove = move |request: Remove, _| {
        let registrar = removing.clone();
        async move { registrar.remove(request).await }
    };
    let change_rollout = move |request: ChangeRollout, _| {
        let registrar = registrar.clone();
        async move { registrar.change_rollout(request).await }
    };
    let mut servings = Vec::from(serve::<Register, _, _>(bus, instance, MANAGED_AT_ONCE, register).await?);
    servings.extend(serve::<Remove, _, _>(bus, instance, MANAGED_AT_ONCE, remove).await?);
    servings.extend(serve::<ChangeRollout, _, _>(bus, instance, MANAGED_AT_ONCE, change_rollout).await?);
    Ok(servings)
}

/// Announces what is held, until `stop`; then leaves.
async fn announce(presence: Presence, mut holding: watch::Receiver<Holding>, mut stop: watch::Receiver<bool>) {
    loop {
        presence.hold(holding.borrow_and_update().clone());
        tokio::select! {
            () = signalled(&mut stop) => break,
            changed = holding.changed() => if changed.is_err() { break },
        }
    }
    if let Err(error) = presence.leave().await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "could not say that this worker leaves");
    }
}

impl Running {
    /// The versions that are served now.
    pub fn loaded(&self) -> Vec<Held> {
        self.table.holding().borrow().holds.clone()
    }

    /// Sees what is served, what is not, and changes of either.
    pub fn holding(&self) -> watch::Receiver<Holding> {
        self.table.holding()
    }

    /// Says that it leaves, takes no more requests, answers those under way within `grace`, and ends its threads.
    pub async fn drain(mut self, grace: Duration) {
        self.stop.send_replace(true);
        self.sweep.abort();
        // A task that panicked has nothing left to end.
        let _ = (&mut self.presence).await;
        if let Some(jobs) = self.jobs.take() {
            jobs.stop().await;
        }
        let keeper = self.keeper.take();
        let servings = std::mem::take(&mut self.servings);
        let drained = join_all(servings.into_iter().map(|serving| serving.drain(grace)));
        let models = async {
            if let Some(keeper) = keeper {
                keeper.drain(grace).await;
            }
        };
        tokio::join!(drained, models);
        let Some(pool) = self.pool.take() else { return };
        let threads = pool.close();
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        // Each ends with the batch that it computes.
        let _ = joined.await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.presence.abort();
        self.sweep.abort();
    }
}
