use arborgate_bus::{Bus, Handler, local};
use arborgate_contracts::bucket::{ARTIFACTS, MODELS};
use arborgate_contracts::inference::{Change::Load, ChangeRollout, Register};
use arborgate_contracts::signature::GivenSignature;
use bytes::Bytes;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::*;
use crate::artifact::Loader;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::predict::Predict;
use crate::registry::{Registrar, register};
use crate::table::Table;

const TINY: &[u8] = include_bytes!("../../../../common/forest/tests/fixtures/sklearn/1.9.1/tiny.j3.joblib");

async fn add(bus: &Bus, model: &str) -> Key {
    let object = format!("uploads/{model}");
    let objects = bus.objects(ARTIFACTS).await.unwrap();
    let stored =
        objects.put(&object, Box::pin(futures_util::stream::iter([Ok(Bytes::from_static(TINY))]))).await.unwrap();
    let request = Register {
        model: model.parse().unwrap(),
        version: "1".parse().unwrap(),
        object,
        digest: stored.digest,
        size: stored.size,
        signature: GivenSignature::default(),
        provenance: None,
        held_back: false,
        default: false,
        created_by: "user:ann".into(),
    };
    let manifest = register(bus, &Config::default().artifact_limits(), request).await.unwrap().manifest;
    manifest_key(&manifest.model, &manifest.version)
}

async fn until(table: &Table, wished: impl FnMut(&arborgate_contracts::presence::Holding) -> bool) {
    let mut holding: watch::Receiver<_> = table.holding();
    tokio::time::timeout(Duration::from_secs(60), holding.wait_for(wished)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_model_that_panics_again_and_again_is_set_aside_and_the_others_go_on() {
    let bus = Bus::new(local::LocalBus::open(local::Config::default()).unwrap());
    let bucket = bus.create_bucket(&MODELS).await.unwrap();
    let objects = bus.create_objects(ARTIFACTS).await.unwrap();
    let (bad, good) = (add(&bus, "bad").await, add(&bus, "good").await);
    let config = Config { threads: 1, ..Config::default() };
    let metrics = Metrics::register(&mut Registry::default());
    let pool = Pool::start(&config, metrics.clone()).unwrap();
    let table = Arc::new(Table::new(0, metrics.clone()));
    let (calls, called) = mpsc::channel(8);
    let max_payload = bus.max_payload();
    let predict: Arc<dyn Handler> =
        Arc::new(Predict { table: Arc::clone(&table), calls: calls.clone(), metrics: metrics.clone(), max_payload });
    let worker = Worker {
        bus: bus.clone(),
        loader: Loader::new(objects, config.artifact_limits(), 1),
        lines: pool.lines(),
        table: Arc::clone(&table),
        predict,
        calls: calls.clone(),
        metrics,
        hold: Vec::new(),
        capacity: 8,
        retry_at_most: Duration::from_secs(1),
        grace_ms: 1_000.into(),
    };
    let keeper = Keeper::begin(Arc::new(worker), bucket.clone(), called).await.unwrap();
    until(&table, |holding| holding.holds.len() == 2).await;
    let panicked = async || calls.send((bad.clone(), Call::Panicked)).await.unwrap();
    // Twice it is loaded anew.
    for _ in 0..2 {
        let mut changes = table.changes();
        panicked().await;
        tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.unwrap().unwrap();
        until(&table, |holding| holding.holds.len() == 2).await;
    }
    panicked().await;
    until(&table, |holding| holding.holds.len() == 1 && holding.aside.len() == 1).await;
    let aside = table.holding().borrow().aside.clone();
    assert_eq!(aside[0].reason, "set aside: it crashed 3 times, the last time while it predicted");
    assert_eq!(aside[0].version.model.as_str(), "bad");
    // It is not tried again, and the other one is held.
    keeper.models.lock().remind();
    until(&table, |holding| holding.holds.iter().all(|held| held.model.as_str() == "good")).await;
    // An operator loads it: it begins anew.
    let load =
        ChangeRollout { model: "bad".parse().unwrap(), change: Load("1".parse().unwrap()), changed_by: "a".into() };
    Registrar::open(&bus, config.artifact_limits()).await.unwrap().change_rollout(load).await.unwrap();
    until(&table, |holding| holding.holds.len() == 2 && holding.aside.is_empty()).await;
    for left in (0..3).rev() {
        let mut changes = table.changes();
        panicked().await;
        tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.unwrap().unwrap();
        until(&table, |holding| holding.holds.len() == 1 + usize::from(left > 0)).await;
    }
    // Taken out and put in again, as well.
    let manifest = bucket.get(&bad).await.unwrap().unwrap();
    bucket.delete(&bad, None).await.unwrap();
    until(&table, |holding| holding.aside.is_empty()).await;
    bucket.put(&bad, manifest.value).await.unwrap();
    until(&table, |holding| holding.holds.len() == 2).await;
    calls.send((good, Call::Wake)).await.unwrap();
    keeper.drain(Duration::from_secs(5)).await;
}
