//! The models that there are, from the watched bucket: what requests are validated by, and the way to their workers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arborgate_bus::{Bus, BusError, Change, Directory, Entry, Follower, StoreError, follow};
use arborgate_contracts::bucket::MODELS;
use arborgate_contracts::registry::{DefaultModel, MANIFEST_FORMAT, Manifest, default_key};
use arborgate_contracts::wire::{Asked, BatchHeader};
use arborgate_contracts::{Key, ModelName, Service, Version};
use arc_swap::ArcSwap;

use super::gather::{Lane, Limits};
use super::render::Template;
use super::rows::Signature;
use super::workers::Workers;

/// A version that can be asked.
pub struct Served {
    /// As registered.
    pub manifest: Arc<Manifest>,
    /// What its rows are checked by.
    pub signature: Signature,
    /// What its answers look like.
    pub template: Template,
    /// The way to its workers.
    pub lane: Arc<Lane>,
    /// When it was registered, as the bucket counts.
    revision: u64,
}

/// The versions of a model.
#[derive(Default, Clone)]
pub struct Versions {
    by_name: BTreeMap<Version, Arc<Served>>,
    newest: Option<Arc<Served>>,
}

impl Versions {
    /// The version that answers when none is named: the one added last.
    pub fn current(&self) -> Option<&Arc<Served>> {
        self.newest.as_ref()
    }

    /// One by name.
    pub fn get(&self, version: &str) -> Option<&Arc<Served>> {
        self.by_name.get(version)
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.by_name.values()
    }
}

/// Every model at one moment.
#[derive(Default, Clone)]
pub struct Snapshot {
    models: HashMap<ModelName, Versions>,
    default: Option<ModelName>,
    /// What answers `POST /predict`.
    current_default: Option<Arc<Served>>,
}

impl Snapshot {
    /// A model's versions.
    pub fn model(&self, name: &str) -> Option<&Versions> {
        self.models.get(name)
    }

    /// All, by name.
    pub fn models(&self) -> BTreeMap<&ModelName, &Versions> {
        self.models.iter().collect()
    }

    /// The default model's name.
    pub fn default_name(&self) -> Option<&ModelName> {
        self.default.as_ref()
    }

    /// What answers `POST /predict`.
    pub fn default_model(&self) -> Option<&Arc<Served>> {
        self.current_default.as_ref()
    }

    fn settle(&mut self) {
        self.models.retain(|_, versions| !versions.by_name.is_empty());
        for versions in self.models.values_mut() {
            versions.newest = versions.by_name.values().max_by_key(|served| served.revision).cloned();
        }
        let versions = self.default.as_ref().and_then(|name| self.models.get(name));
        self.current_default = versions.and_then(|versions| versions.newest.clone());
    }
}

/// The models, kept current.
#[derive(Clone)]
pub struct Catalog {
    snapshot: Arc<ArcSwap<Snapshot>>,
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
    pub async fn start(bus: &Bus, limits: Limits) -> Result<Self, CatalogError> {
        let bucket = bus.bucket(&MODELS).await?;
        let directory = Directory::start(bus, Service::Inference).await?;
        let snapshot: Arc<ArcSwap<Snapshot>> = Arc::default();
        let reader = Reader { bus: bus.clone(), directory, limits, snapshot: Arc::clone(&snapshot) };
        let follower = follow(bucket, move |change| reader.apply(change)).await?;
        Ok(Self { snapshot, _follower: Arc::new(follower) })
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
    snapshot: Arc<ArcSwap<Snapshot>>,
}

impl Reader {
    fn apply(&self, change: Change) {
        let mut next = Snapshot::clone(&self.snapshot.load());
        match change {
            Change::Put(entry) => self.put(&mut next, &entry),
            Change::Deleted { key, .. } => delete(&mut next, &key),
            Change::Current { .. } => return,
        }
        next.settle();
        self.snapshot.store(Arc::new(next));
    }

    fn put(&self, next: &mut Snapshot, entry: &Entry) {
        if entry.key == default_key() {
            match entry.json::<DefaultModel>() {
                Ok(default) => next.default = Some(default.model),
                Err(error) => tracing::error!(%error, "the default model's record can not be read"),
            }
            return;
        }
        match entry.json::<Manifest>() {
            Ok(manifest) if manifest.format <= MANIFEST_FORMAT => {
                let served = Arc::new(self.served(manifest, entry.revision));
                let versions = next.models.entry(served.manifest.model.clone()).or_default();
                versions.by_name.insert(served.manifest.version.clone(), served);
            }
            Ok(manifest) => {
                tracing::error!(key = %entry.key, format = manifest.format, "a newer binary wrote this manifest; left out");
            }
            Err(error) => tracing::error!(key = %entry.key, %error, "a manifest can not be read; left out"),
        }
    }

    fn served(&self, manifest: Manifest, revision: u64) -> Served {
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
        let lane = Arc::new(Lane::new(self.bus.clone(), header, reply_row, workers, self.limits));
        let (signature, template) = (Signature::new(&manifest.features, manifest.task), Template::new(&manifest));
        Served { manifest, signature, template, lane, revision }
    }
}

fn delete(next: &mut Snapshot, key: &Key) {
    if *key == default_key() {
        next.default = None;
        return;
    }
    let tokens = key.tokens().unwrap_or_default();
    if let [_, model, version] = tokens.as_slice()
        && let Ok(model) = model.parse::<ModelName>()
        && let Ok(version) = version.parse::<Version>()
        && let Some(versions) = next.models.get_mut(&model)
    {
        versions.by_name.remove(&version);
    }
}
