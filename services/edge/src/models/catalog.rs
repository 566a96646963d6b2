//! The models that there are, from the watched bucket: what requests are validated by, and the way to their workers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arborgate_bus::{Bus, BusError, Change, Directory, Entry, Follower, StoreError, follow};
use arborgate_contracts::bucket::MODELS;
use arborgate_contracts::registry::{DefaultModel, MANIFEST_FORMAT, Manifest, default_key};
use arborgate_contracts::rollout::{ROLLOUT_FORMAT, Rollout};
use arborgate_contracts::wire::{Asked, BatchHeader};
use arborgate_contracts::{Key, ModelName, Service, Version};
use arc_swap::ArcSwap;
use http::HeaderName;
use tokio::sync::watch;

use super::gather::{Lane, Limits};
use super::render::Template;
use super::rows::Signature;
use super::shadow::{self, Found, Shadowing};
use super::statistics::Statistics;
use super::tensors::Outputs;
use super::traffic::{StickyHeaders, Traffic, Who};
use super::workers::Workers;

/// A version that can be asked.
pub struct Served {
    /// As registered.
    pub manifest: Arc<Manifest>,
    /// What its rows are checked by.
    pub signature: Signature,
    /// What its answers look like.
    pub template: Template,
    /// What it takes and gives as tensors.
    pub tensors: Outputs,
    /// The way to its workers.
    pub lane: Arc<Lane>,
    /// When it was registered, as the bucket counts.
    revision: u64,
    held: AtomicBool,
}

impl Served {
    /// Whether some worker holds it, or did since this edge knows it: until then an older version goes on answering.
    pub fn was_held(&self) -> bool {
        if self.held.load(Ordering::Relaxed) {
            return true;
        }
        let held = self.lane.workers().count() > 0;
        if held {
            self.held.store(true, Ordering::Relaxed);
        }
        held
    }
}

/// The versions of a model.
#[derive(Default, Clone)]
pub struct Versions {
    by_name: BTreeMap<Version, Arc<Served>>,
    rollout: Option<Arc<Rollout>>,
    traffic: Traffic,
}

impl Versions {
    /// The version that answers what no share takes.
    pub fn current(&self) -> Option<&Arc<Served>> {
        self.traffic.current()
    }

    /// The version that is to answer what no share takes, once a worker holds it.
    pub fn newest(&self) -> Option<&Arc<Served>> {
        self.traffic.newest()
    }

    /// The version that answers a request which names none.
    pub fn choose(&self, who: Who<'_>) -> Option<&Arc<Served>> {
        self.traffic.choose(who)
    }

    /// What is asked as well.
    pub fn shadow(&self) -> Option<&Arc<Shadowing>> {
        self.traffic.shadow.as_ref()
    }

    /// As operators left it; without one the version added last answers.
    pub fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_deref()
    }

    /// One by name.
    pub fn get(&self, version: &str) -> Option<&Arc<Served>> {
        self.by_name.get(version)
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.by_name.values()
    }

    fn settle(&mut self, shadows: &shadow::Metrics) {
        let rollout = self.rollout.as_deref();
        let is_out = |version: &Version| rollout.is_some_and(|rollout| rollout.unloaded.contains_key(version));
        let mut newest: Vec<_> = self.by_name.values().filter(|of| !is_out(&of.manifest.version)).cloned().collect();
        newest.sort_by_key(|served| std::cmp::Reverse(served.revision));
        let shadow = rollout.and_then(|rollout| rollout.shadow.as_ref()).and_then(|shadow| {
            let served = self.by_name.get(&shadow.version).filter(|of| !is_out(&of.manifest.version))?;
            Some(Arc::new(Shadowing::new(Arc::clone(served), shadow.clone(), shadows)))
        });
        self.traffic = Traffic::new(rollout, newest, shadow);
    }
}

/// Every model at one moment.
#[derive(Default, Clone)]
pub struct Snapshot {
    models: HashMap<ModelName, Versions>,
    default: Option<ModelName>,
}

impl Snapshot {
    /// A model's versions.
    pub fn model(&self, name: &str) -> Option<&Versions> {
        self.models.get(name).filter(|versions| !versions.by_name.is_empty())
    }

    /// All, by name.
    pub fn models(&self) -> BTreeMap<&ModelName, &Versions> {
        self.models.iter().filter(|(_, versions)| !versions.by_name.is_empty()).collect()
    }

    /// The default model's name.
    pub fn default_name(&self) -> Option<&ModelName> {
        self.default.as_ref()
    }

    /// What answers `POST /predict`.
    pub fn default_model(&self) -> Option<&Versions> {
        self.model(self.default.as_ref()?.as_str())
    }

    fn sticky_headers(&self) -> Vec<HeaderName> {
        let names = self.models.values().filter_map(|versions| versions.traffic.sticky_header()?.parse().ok());
        let mut names: Vec<HeaderName> = names.collect();
        names.sort_by(|one, two| one.as_str().cmp(two.as_str()));
        names.dedup();
        names
    }
}

/// The models, kept current.
#[derive(Clone)]
pub struct Catalog {
    snapshot: Arc<ArcSwap<Snapshot>>,
    directory: Directory,
    shadows: shadow::Metrics,
    sticky: StickyHeaders,
    changes: watch::Sender<()>,
    _follower: Arc<Follower>,
}

/// Why there is no catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The bucket.
    #[error("reading the registry failed")]
    Store(#[from] StoreError),
    /// The bus.
    #[error("listening for workers failed")]
    Bus(#[from] BusError),
}

impl Catalog {
    /// Reads the registry and keeps it current. Returns when all that was there is known.
    pub async fn start(bus: &Bus, limits: Limits, shadows: shadow::Metrics) -> Result<Self, CatalogError> {
        let bucket = bus.bucket(&MODELS).await?;
        let directory = Directory::start(bus, Service::Inference).await?;
        let (snapshot, sticky, changes) = <(Arc<ArcSwap<Snapshot>>, StickyHeaders, watch::Sender<()>)>::default();
        let reader = Reader {
            bus: bus.clone(),
            directory: directory.clone(),
            limits,
            shadows: shadows.clone(),
            snapshot: Arc::clone(&snapshot),
            sticky: sticky.clone(),
            changes: changes.clone(),
        };
        let follower = follow(bucket, move |change| reader.apply(change)).await?;
        Ok(Self { snapshot, directory, shadows, sticky, changes, _follower: Arc::new(follower) })
    }

    /// What this edge found of a model's shadow.
    pub fn found(&self, rollout: &Rollout) -> Found {
        let shadow = rollout.shadow.as_ref();
        shadow.map(|shadow| self.shadows.found(&rollout.model, &shadow.version)).unwrap_or_default()
    }

    /// The headers that callers stay with a version by.
    pub fn sticky_headers(&self) -> StickyHeaders {
        self.sticky.clone()
    }

    /// Waits until a worker holds a version; false when none does in time.
    pub async fn held(&self, model: &ModelName, version: &Version, within: Duration) -> bool {
        let (mut changes, mut peers) = (self.changes.subscribe(), self.directory.changes());
        let held = async {
            loop {
                let snapshot = self.snapshot.load_full();
                let served = snapshot.model(model.as_str()).and_then(|versions| versions.get(version.as_str()));
                if served.is_some_and(|served| served.lane.workers().count() > 0) {
                    return;
                }
                // Their senders live as long as this.
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = peers.changed() => {}
                }
            }
        };
        tokio::time::timeout(within, held).await.is_ok()
    }

    /// Every model at this moment.
    pub fn now(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }
}

struct Reader {
    bus: Bus,
    directory: Directory,
    limits: Limits,
    shadows: shadow::Metrics,
    snapshot: Arc<ArcSwap<Snapshot>>,
    sticky: StickyHeaders,
    changes: watch::Sender<()>,
}

impl Reader {
    fn apply(&self, change: Change) {
        let mut next = Snapshot::clone(&self.snapshot.load());
        let changed = match change {
            Change::Put(entry) => self.put(&mut next, &entry),
            Change::Deleted { key, .. } => delete(&mut next, &key),
            Change::Current { .. } => return,
        };
        if let Some(versions) = changed.and_then(|model| next.models.get_mut(&model)) {
            versions.settle(&self.shadows);
        }
        next.models.retain(|_, versions| !versions.by_name.is_empty() || versions.rollout.is_some());
        self.sticky.set(next.sticky_headers());
        self.snapshot.store(Arc::new(next));
        self.changes.send_replace(());
    }

    /// The model that another version may answer for now.
    fn put(&self, next: &mut Snapshot, entry: &Entry) -> Option<ModelName> {
        if entry.key == default_key() {
            match entry.json::<DefaultModel>() {
                Ok(default) => next.default = Some(default.model),
                Err(error) => tracing::error!(%error, "the default model's record can not be read"),
            }
            return None;
        }
        if entry.key.starts_with(&Key::of(&["rollout"])) {
            let rollout = known(entry, entry.json::<Rollout>(), |rollout| rollout.format <= ROLLOUT_FORMAT)?;
            let model = rollout.model.clone();
            next.models.entry(model.clone()).or_default().rollout = Some(Arc::new(rollout));
            return Some(model);
        }
        let manifest = known(entry, entry.json::<Manifest>(), |manifest| manifest.format <= MANIFEST_FORMAT)?;
        let before = next.models.get(&manifest.model).and_then(|versions| versions.by_name.get(&manifest.version));
        // What was counted of the same bytes goes on.
        let before = before.filter(|before| before.manifest.digest == manifest.digest);
        let statistics = before.map(|before| Arc::clone(before.lane.statistics())).unwrap_or_default();
        let served = Arc::new(self.served(manifest, entry.revision, statistics));
        let (model, version) = (served.manifest.model.clone(), served.manifest.version.clone());
        next.models.entry(model.clone()).or_default().by_name.insert(version, served);
        Some(model)
    }

    fn served(&self, manifest: Manifest, revision: u64, statistics: Arc<Statistics>) -> Served {
        let manifest = Arc::new(manifest);
        let header = BatchHeader {
            model: manifest.model.clone(),
            version: manifest.version.clone(),
            columns: manifest.features.len() as u32,
        };
        let (model, version) = (manifest.model.clone(), manifest.version.clone());
        let workers = Workers::new(self.directory.clone(), model, version, manifest.digest.clone());
        let reply_row = {
            let manifest = Arc::clone(&manifest);
            let default = manifest.reply_row(Asked::DEFAULT);
            Box::new(move |asked| if asked == Asked::DEFAULT { default } else { manifest.reply_row(asked) })
        };
        let lane = Arc::new(Lane::new(self.bus.clone(), header, reply_row, workers, self.limits, statistics));
        let (signature, template) = (Signature::new(&manifest.features, manifest.task), Template::new(&manifest));
        let tensors = Outputs::new(&manifest);
        Served { manifest, signature, template, tensors, lane, revision, held: AtomicBool::new(false) }
    }
}

/// A record that this binary understands.
fn known<T>(entry: &Entry, read: Result<T, StoreError>, is_known: impl Fn(&T) -> bool) -> Option<T> {
    match read {
        Ok(record) if is_known(&record) => Some(record),
        Ok(_) => {
            tracing::error!(key = %entry.key, "a newer binary wrote this record; left out");
            None
        }
        Err(error) => {
            tracing::error!(key = %entry.key, %error, "a record can not be read; left out");
            None
        }
    }
}

/// The model that another version may answer for now.
fn delete(next: &mut Snapshot, key: &Key) -> Option<ModelName> {
    if *key == default_key() {
        next.default = None;
        return None;
    }
    let tokens = key.tokens().unwrap_or_default();
    let (model, version) = match tokens.as_slice() {
        [_, model] => (model.parse::<ModelName>().ok()?, None),
        [_, model, version] => (model.parse::<ModelName>().ok()?, Some(version)),
        _ => return None,
    };
    let versions = next.models.get_mut(&model)?;
    match version {
        Some(version) => drop(versions.by_name.remove(version.as_str())),
        None => versions.rollout = None,
    }
    Some(model)
}
