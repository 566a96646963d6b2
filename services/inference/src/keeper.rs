//! Follows the model registry: for each manifest there is one [`ModelVersion`], and none without. It loads nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arborgate_actor::{Address, Options};
use arborgate_bus::{Bucket, Change, Entry, Follower, StoreError, follow};
use arborgate_contracts::registry::{MANIFEST_FORMAT, Manifest, manifest_key};
use arborgate_contracts::{Deadline, Key};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::model::{Message, ModelVersion, RetryAt, Worker};
use crate::registry::manifests;

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
    kept: BTreeMap<Key, Kept>,
    /// Versions that go while requests under way are answered.
    retiring: JoinSet<()>,
}

struct Kept {
    manifest: Arc<Manifest>,
    address: Address<Message>,
    retired: watch::Sender<bool>,
    retry_at: RetryAt,
}

impl Keeper {
    /// Follows the registry from its present state, of which every version is loaded or was tried once.
    pub(crate) async fn begin(worker: Arc<Worker>, bucket: Bucket) -> Result<Self, StoreError> {
        let models = Models { worker, kept: BTreeMap::new(), retiring: JoinSet::new() };
        let models = Arc::new(Mutex::new(models));
        let following = Arc::clone(&models);
        let follower = follow(bucket, move |change| following.lock().follow(change)).await?;
        let addresses: Vec<_> = models.lock().kept.values().map(|kept| kept.address.clone()).collect();
        for address in addresses {
            // An actor that is gone is made anew by the reminder.
            let _ = address.ask(Deadline::after(Deadline::LONGEST).instant(), Message::Tried).await;
        }
        let reminder = tokio::spawn(remind(Arc::clone(&models)));
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

async fn remind(models: Arc<Mutex<Models>>) {
    let mut tick = tokio::time::interval(REMIND_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        models.lock().remind();
    }
}

impl Models {
    fn follow(&mut self, change: Change) {
        match change {
            Change::Put(entry) if entry.key.starts_with(&manifests()) => self.keep(&entry),
            Change::Deleted { key, .. } => self.retire(&key),
            Change::Put(_) | Change::Current { .. } => {}
        }
    }

    fn keep(&mut self, entry: &Entry) {
        let manifest = match manifest(entry) {
            Ok(manifest) => Arc::new(manifest),
            Err(problem) => {
                self.worker.metrics.load_failures.inc();
                tracing::error!(key = %entry.key, problem, "a manifest can not be followed");
                return self.retire(&entry.key);
            }
        };
        if self.kept.get(&entry.key).is_some_and(|kept| kept.manifest == manifest) {
            return;
        }
        self.retire(&entry.key);
        self.employ(entry.key.clone(), manifest);
    }

    fn employ(&mut self, key: Key, manifest: Arc<Manifest>) {
        let wish = self.worker.table.want(&manifest.model, &manifest.version, &manifest.digest);
        let (retired, seen) = watch::channel(false);
        let retry_at = RetryAt::default();
        let (worker, own, retry) = (Arc::clone(&self.worker), Arc::clone(&manifest), Arc::clone(&retry_at));
        let make =
            move || ModelVersion::new(Arc::clone(&worker), Arc::clone(&own), wish, seen.clone(), Arc::clone(&retry));
        let address = arborgate_actor::spawn(Options { capacity: 8, ..Options::default() }, make);
        self.kept.insert(key, Kept { manifest, address, retired, retry_at });
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

    fn remind(&mut self) {
        let now = Instant::now();
        let mut lost = Vec::new();
        for (key, kept) in &self.kept {
            let is_due = kept.retry_at.lock().take_if(|at| *at <= now).is_some();
            if !kept.address.is_alive() {
                lost.push((key.clone(), Arc::clone(&kept.manifest)));
            } else if is_due {
                // Only one that has failed is due, and it has nothing else in its mailbox.
                let _ = kept.address.try_tell(Message::Retry);
            }
        }
        for (key, manifest) in lost {
            tracing::error!(model = %manifest.model, version = %manifest.version, "a model's actor is gone; making another");
            self.worker.metrics.load_failures.inc();
            self.employ(key, manifest);
        }
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
