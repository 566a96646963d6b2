//! Follows the model registry: for each manifest that this worker is told to hold, and that is not unloaded, there is one
//! [`ModelVersion`], and none without. It loads nothing itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arborgate_actor::{Address, Options};
use arborgate_bus::{Bucket, Change, Entry, Follower, StoreError, follow};
use arborgate_contracts::registry::{MANIFEST_FORMAT, Manifest, manifest_key};
use arborgate_contracts::rollout::{ROLLOUT_FORMAT, Rollout};
use arborgate_contracts::{Deadline, Key, ModelName, Version};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::model::{Call, Message, ModelVersion, Standing, Worker};
use crate::registry::{manifests, rollouts};
use crate::table::Wish;

/// How often it is seen whether a version is to be loaded again, or its actor is gone.
const REMIND_EVERY: Duration = Duration::from_millis(250);

/// See the module. Dropped without [`Keeper::drain`], what it keeps stops at once.
pub(crate) struct Keeper {
    models: Arc<Mutex<Models>>,
    follower: Option<Follower>,
    reminder: JoinHandle<()>,
}

struct Models {
    worker: Arc<Worker>,
    /// Every manifest that can be followed.
    manifests: BTreeMap<Key, Arc<Manifest>>,
    /// By model what operators unloaded, and the revision of the record that says it.
    unloaded: HashMap<ModelName, (u64, HashSet<Version>)>,
    kept: BTreeMap<Key, Kept>,
    /// Versions that go while requests under way are answered.
    retiring: JoinSet<()>,
}

struct Kept {
    manifest: Arc<Manifest>,
    wish: Wish,
    address: Address<Message>,
    retired: watch::Sender<bool>,
    standing: Arc<Mutex<Standing>>,
}

impl Keeper {
    /// Follows the registry from its present state, of which every version is loaded or was tried once.
    pub(crate) async fn begin(
        worker: Arc<Worker>,
        bucket: Bucket,
        calls: mpsc::Receiver<(Key, Call)>,
    ) -> Result<Self, StoreError> {
        let models = Arc::new(Mutex::new(Models::new(worker)));
        let following = Arc::clone(&models);
        let follower = follow(bucket, move |change| following.lock().follow(change)).await?;
        let addresses: Vec<_> = models.lock().kept.values().map(|kept| kept.address.clone()).collect();
        for address in addresses {
            // An actor that is gone is made anew by the reminder.
            let _ = address.ask(Deadline::after(Deadline::LONGEST).instant(), Message::Tried).await;
        }
        let reminder = tokio::spawn(remind(Arc::clone(&models), calls));
        Ok(Self { models, follower: Some(follower), reminder })
    }

    /// Lets every version go; requests under way are answered, within `grace`.
    pub(crate) async fn drain(mut self, grace: Duration) {
        self.follower = None;
        self.reminder.abort();
        let mut draining = self.models.lock().let_all_go(grace);
        let all = async { while draining.join_next().await.is_some() {} };
        // The actors keep to the grace themselves; this is for one that does not.
        let _ = tokio::time::timeout(grace.saturating_add(Duration::from_secs(1)), all).await;
    }
}

async fn remind(models: Arc<Mutex<Models>>, mut calls: mpsc::Receiver<(Key, Call)>) {
    let mut tick = tokio::time::interval(REMIND_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => models.lock().remind(),
            // The worker holds a sender.
            Some((key, call)) = calls.recv() => models.lock().call(&key, call),
        }
    }
}

impl Models {
    fn new(worker: Arc<Worker>) -> Self {
        let (manifests, unloaded, kept) = (BTreeMap::new(), HashMap::new(), BTreeMap::new());
        Self { worker, manifests, unloaded, kept, retiring: JoinSet::new() }
    }

    fn follow(&mut self, change: Change) {
        match change {
            Change::Put(entry) if entry.key.starts_with(&manifests()) => self.know(&entry),
            Change::Put(entry) if entry.key.starts_with(&rollouts()) => self.roll_out(&entry),
            Change::Deleted { key, .. } if key.starts_with(&rollouts()) => {
                let model = key.tokens().and_then(|tokens| tokens.get(1)?.parse::<ModelName>().ok());
                if let Some(model) = model {
                    self.unloaded.remove(&model);
                    self.settle_all(&model);
                }
            }
            Change::Deleted { key, .. } => {
                self.manifests.remove(&key);
                self.settle(&key);
            }
            Change::Put(_) | Change::Current { .. } => {}
        }
    }

    fn know(&mut self, entry: &Entry) {
        match manifest(entry) {
            Ok(manifest) => drop(self.manifests.insert(entry.key.clone(), Arc::new(manifest))),
            Err(problem) => {
                self.worker.metrics.load_failures.inc();
                tracing::error!(key = %entry.key, problem, "a manifest can not be followed");
                self.manifests.remove(&entry.key);
            }
        }
        self.settle(&entry.key);
    }

    fn roll_out(&mut self, entry: &Entry) {
        match entry.json::<Rollout>() {
            Ok(rollout) if rollout.format <= ROLLOUT_FORMAT => {
                let unloaded = (entry.revision, rollout.unloaded.into_keys().collect());
                let before = self.unloaded.insert(rollout.model.clone(), unloaded);
                self.settle_all(&rollout.model);
                if before.is_none_or(|(revision, _)| revision < entry.revision) {
                    self.try_again(&rollout.model);
                }
            }
            Ok(rollout) => {
                tracing::error!(key = %entry.key, format = rollout.format, "a newer binary wrote this rollout")
            }
            Err(error) => tracing::error!(key = %entry.key, %error, "a rollout can not be read"),
        }
    }

    fn settle_all(&mut self, model: &ModelName) {
        let of = |(key, manifest): (&Key, &Arc<Manifest>)| (manifest.model == *model).then(|| key.clone());
        let keys: Vec<Key> = self.manifests.iter().filter_map(of).collect();
        keys.iter().for_each(|key| self.settle(key));
    }

    /// An operator changed how a model is rolled out, as a load does: its versions that were set aside begin anew.
    fn try_again(&mut self, model: &ModelName) {
        let is_aside = |kept: &Kept| kept.manifest.model == *model && kept.standing.lock().is_aside();
        let aside = self.kept.iter().filter(|(_, kept)| is_aside(kept)).map(|(key, _)| key.clone());
        for key in aside.collect::<Vec<Key>>() {
            self.retire(&key);
            self.settle(&key);
        }
    }

    /// Keeps what is wanted now under a key, and nothing else.
    fn settle(&mut self, key: &Key) {
        let wanted = self.manifests.get(key).filter(|manifest| self.is_wanted(manifest)).map(Arc::clone);
        if self.kept.get(key).map(|kept| &kept.manifest) == wanted.as_ref() {
            return;
        }
        self.retire(key);
        if let Some(manifest) = wanted {
            self.employ(key.clone(), manifest, Arc::default());
        }
    }

    fn is_wanted(&self, manifest: &Manifest) -> bool {
        let Manifest { model, version, labels, .. } = manifest;
        let has = |wanted: &String| {
            wanted.split_once('=').is_some_and(|(name, value)| labels.get(name).is_some_and(|of| of == value))
        };
        let told = self.worker.hold.is_empty() || self.worker.hold.iter().any(has);
        told && !self.unloaded.get(model).is_some_and(|(_, unloaded)| unloaded.contains(version))
    }

    fn employ(&mut self, key: Key, manifest: Arc<Manifest>, standing: Arc<Mutex<Standing>>) {
        let wish = self.worker.table.want(&manifest.model, &manifest.version, &manifest.digest);
        let (retired, seen) = watch::channel(false);
        let (worker, own, fares) = (Arc::clone(&self.worker), Arc::clone(&manifest), Arc::clone(&standing));
        let make =
            move || ModelVersion::new(Arc::clone(&worker), Arc::clone(&own), wish, seen.clone(), Arc::clone(&fares));
        let address = arborgate_actor::spawn(Options { capacity: 8, ..Options::default() }, make);
        self.kept.insert(key, Kept { manifest, wish, address, retired, standing });
    }

    /// The version answers no more from here on; requests under way are answered in the background.
    fn retire(&mut self, key: &Key) {
        let Some(kept) = self.kept.remove(key) else { return };
        let Manifest { model, version, .. } = &*kept.manifest;
        tracing::info!(%model, %version, "letting a model go");
        self.worker.table.forget(model, version);
        let grace = Duration::from_millis(self.worker.grace_ms.load(Ordering::Relaxed));
        while self.retiring.try_join_next().is_some() {}
        self.retiring.spawn(kept.let_go(grace));
    }

    fn call(&mut self, key: &Key, call: Call) {
        let Some(kept) = self.kept.get(key) else { return };
        let message = match call {
            Call::Wake => Message::Wake,
            Call::Panicked => Message::Panicked,
        };
        // A mailbox that is full has a load under way; who waits for one calls again.
        let _ = kept.address.try_tell(message);
    }

    fn remind(&mut self) {
        let now = Instant::now();
        let mut lost = Vec::new();
        for (key, kept) in &self.kept {
            let mut standing = kept.standing.lock();
            let is_due = standing.retry_at.take_if(|at| *at <= now).is_some();
            if !kept.address.is_alive() {
                if !standing.is_aside() {
                    lost.push(key.clone());
                }
            } else if is_due {
                // Only one that has failed is due, and it has nothing else in its mailbox.
                let _ = kept.address.try_tell(Message::Retry);
            }
        }
        lost.iter().for_each(|key| self.replace(key));
    }

    /// The actor of a version is gone.
    fn replace(&mut self, key: &Key) {
        let Some(kept) = self.kept.get(key) else { return };
        let (manifest, standing) = (Arc::clone(&kept.manifest), Arc::clone(&kept.standing));
        let Manifest { model, version, .. } = &*manifest;
        self.worker.metrics.load_failures.inc();
        let crashed = standing.lock().crashed("its actor worked", Instant::now());
        if let Some(why) = crashed {
            tracing::error!(%model, %version, why, "a model is set aside");
            return self.worker.table.withdraw(model, version, kept.wish, Some(why));
        }
        tracing::error!(%model, %version, "a model's actor is gone; making another");
        self.employ(key.clone(), manifest, standing);
    }

    fn let_all_go(&mut self, grace: Duration) -> JoinSet<()> {
        self.worker.grace_ms.store(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let mut going = std::mem::take(&mut self.retiring);
        for kept in std::mem::take(&mut self.kept).into_values() {
            going.spawn(kept.let_go(grace));
        }
        going
    }
}

impl Kept {
    async fn let_go(self, grace: Duration) {
        self.retired.send_replace(true);
        self.address.drain(grace).await;
    }
}

/// A manifest that this binary understands, and that stands where it belongs.
fn manifest(entry: &Entry) -> Result<Manifest, String> {
    let manifest: Manifest = serde_json::from_slice(&entry.value).map_err(|error| error.to_string())?;
    if manifest.format != MANIFEST_FORMAT {
        return Err(format!("it is of format {}; this binary reads {MANIFEST_FORMAT}", manifest.format));
    }
    if entry.key != manifest_key(&manifest.model, &manifest.version) {
        return Err("it names another model or version than its key".into());
    }
    Ok(manifest)
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.reminder.abort();
    }
}

#[cfg(test)]
mod tests;
