//! Roles of a cluster: the bus and the state are NATS.

use std::sync::Arc;

use arborgate_bus::{Bus, nats};
use arborgate_edge::Bound;
use arborgate_runtime::master_key::MasterKey;
use arborgate_runtime::metrics::Registry;
use arborgate_runtime::ops::{self, CheckHandle, Health};
use arborgate_runtime::shutdown::{Shutdown, signals};
use arborgate_runtime::telemetry;

use crate::cli::{ClusterOptions, ServeOptions};
use crate::console;
use crate::error::Error;
use crate::first_start::{self, Administrator};
use crate::roles::{self, EdgeProcess, Process, Role};
use crate::settings::Settings;
use crate::up::{certificate, read_master_key};

/// Runs roles until told to end.
pub(crate) async fn run(options: &ServeOptions) -> Result<(), Error> {
    let settings = Settings::of_cluster(&options.cluster)?;
    let mut wanted = options.roles.clone();
    wanted.sort();
    wanted.dedup();
    let names: Vec<&str> = wanted.iter().map(|role| role.name()).collect();
    let _telemetry = telemetry::init(&settings.telemetry, "arborgate", &names.join("+"))?;
    let signal = signals()?;
    let master = master_key(&settings, &wanted)?;
    let (health, metrics, shutdown) = (Health::new(), Registry::new(), Shutdown::new());
    let edge = edge(&settings, options, &wanted, &shutdown)?;
    let bus_check = health.check("bus");
    bus_check.not_ready("waiting for NATS");
    let state_check = health.check("state");
    state_check.not_ready("waiting for `arborgate init`");
    // Known before they start, so that nobody takes a process for ready whose roles are not.
    for role in &wanted {
        health.check(role.name());
    }
    ops::start(&settings.ops, health.clone(), metrics.clone(), shutdown.clone()).await?;
    let scheme = if settings.edge.tls.enabled { "https" } else { "http" };
    let started = async {
        let bus = connect(&settings, &metrics).await?;
        shutdown.spawn({
            let (ended, followed) = (shutdown.clone(), follow_connection(bus.clone(), bus_check));
            // The bus lives as long as this does: by itself it would keep the drain until its grace is over.
            async move {
                tokio::select! {
                    () = followed => {}
                    () = ended.wait() => {}
                }
            }
        });
        first_start::await_prepared(&bus, master.as_deref()).await?;
        state_check.ready();
        let process = Process { settings, bus, health, metrics, master, edge };
        roles::start(process, &wanted).await
    };
    let mut signal = std::pin::pin!(signal);
    let running = tokio::select! {
        started = started => started?,
        // Nothing is under way before all roles run.
        _ = signal.as_mut() => return Ok(()),
    };
    let at = running.address.map_or_else(String::new, |address| format!(" at {scheme}://{address}"));
    console::print(&format!("arborgate is ready{at} ({})\n", names.join(", ")))?;
    running.until(signal, &shutdown).await;
    Ok(())
}

/// Prepares an empty cluster.
pub(crate) async fn init(options: &ClusterOptions) -> Result<(), Error> {
    let settings = Settings::of_cluster(options)?;
    let _telemetry = telemetry::init(&settings.telemetry, "arborgate", "init")?;
    let path = settings.cluster.master_key_file.as_deref().ok_or(Error::NoMasterKey)?;
    let master = read_master_key(path)?;
    let bus = connect(&settings, &Registry::new()).await?;
    let prepared = first_start::prepare(&bus, &settings, &master).await;
    bus.close().await;
    console::print(match prepared? {
        Administrator::Made => "\nthe cluster is prepared\n",
        Administrator::Existed => "the cluster was prepared before; what was there is as it was\n",
    })
}

fn master_key(settings: &Settings, roles: &[Role]) -> Result<Option<Arc<MasterKey>>, Error> {
    if !roles.iter().any(|role| role.needs_master_key()) {
        return Ok(None);
    }
    let path = settings.cluster.master_key_file.as_deref().ok_or(Error::NoMasterKey)?;
    Ok(Some(Arc::new(read_master_key(path)?)))
}

fn edge(
    settings: &Settings,
    options: &ServeOptions,
    roles: &[Role],
    shutdown: &Shutdown,
) -> Result<Option<EdgeProcess>, Error> {
    if !roles.contains(&Role::Edge) {
        return Ok(None);
    }
    let bound = Bound::bind(&settings.edge, None).map_err(Error::service("edge"))?;
    let (certificate, development) = certificate(settings, &options.tls_dir, &[], shutdown)?;
    let hsts = settings.edge.tls.hsts && !development;
    Ok(Some(EdgeProcess { bound, certificate, hsts }))
}

async fn connect(settings: &Settings, metrics: &Registry) -> Result<Bus, Error> {
    let connected = nats::connect(&settings.nats).await?;
    let mut registry = prometheus_client::registry::Registry::with_prefix("arborgate");
    connected.metrics().register(&mut registry);
    metrics.adopt(registry);
    Ok(Bus::new(Arc::new(connected)))
}

/// Ready only while the bus is.
async fn follow_connection(bus: Bus, check: CheckHandle) {
    let mut connected = bus.connected();
    loop {
        if *connected.borrow_and_update() {
            check.ready();
        } else {
            check.not_ready("NATS can not be reached");
        }
        if connected.changed().await.is_err() {
            return;
        }
    }
}
