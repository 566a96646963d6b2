//! What this worker holds: which version answers for a name now. Readers take a snapshot and never wait; a version is
//! wanted before it is loaded, and an older wish's model never comes in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arborgate_contracts::presence::Held;
use arborgate_contracts::{ModelName, Version};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::ways::Ways;

/// A model that answers.
pub(crate) struct Loaded {
    pub(crate) ways: Ways,
}

/// Which want a model was loaded for: each one is new.
pub(crate) type Wish = u64;

type Snapshot = HashMap<ModelName, HashMap<Version, Arc<Loaded>>>;

struct Slot {
    wish: Wish,
    digest: String,
    loaded: Option<Arc<Loaded>>,
    /// Whether its subject is served.
    announced: bool,
}

#[derive(Default)]
struct Slots {
    slots: BTreeMap<(ModelName, Version), Slot>,
    last: Wish,
}

/// See the module.
pub(crate) struct Table {
    slots: Mutex<Slots>,
    snapshot: ArcSwap<Snapshot>,
    holds: watch::Sender<Vec<Held>>,
    metrics: Metrics,
}

impl Table {
    pub(crate) fn new(metrics: Metrics) -> Self {
        let holds = watch::Sender::new(Vec::new());
        Self { slots: Mutex::default(), snapshot: ArcSwap::default(), holds, metrics }
    }

    /// Asks for a version of these bytes from now on: what was there under its name answers no more.
    pub(crate) fn want(&self, model: &ModelName, version: &Version, digest: &str) -> Wish {
        let mut slots = self.slots.lock();
        slots.last += 1;
        let wish = slots.last;
        let slot = Slot { wish, digest: digest.to_owned(), loaded: None, announced: false };
        slots.slots.insert((model.clone(), version.clone()), slot);
        self.publish(&slots);
        wish
    }

    /// Wants a version no more, whatever was wanted of it.
    pub(crate) fn forget(&self, model: &ModelName, version: &Version) {
        let mut slots = self.slots.lock();
        slots.slots.remove(&(model.clone(), version.clone()));
        self.publish(&slots);
    }

    /// Puts a model in, unless it is wanted no more.
    pub(crate) fn put(&self, model: &ModelName, version: &Version, wish: Wish, loaded: Arc<Loaded>) -> bool {
        self.change(model, version, wish, |slot| slot.loaded = Some(loaded))
    }

    /// Tells callers that the version is served here.
    pub(crate) fn announce(&self, model: &ModelName, version: &Version, wish: Wish) -> bool {
        self.change(model, version, wish, |slot| slot.announced = true)
    }

    /// Takes a model out, whose owner has lost it; it stays wanted.
    pub(crate) fn withdraw(&self, model: &ModelName, version: &Version, wish: Wish) {
        self.change(model, version, wish, |slot| {
            slot.loaded = None;
            slot.announced = false;
        });
    }

    fn change(&self, model: &ModelName, version: &Version, wish: Wish, change: impl FnOnce(&mut Slot)) -> bool {
        let mut slots = self.slots.lock();
        let slot = slots.slots.get_mut(&(model.clone(), version.clone())).filter(|slot| slot.wish == wish);
        let wanted = slot.map(change).is_some();
        if wanted {
            self.publish(&slots);
        }
        wanted
    }

    fn publish(&self, slots: &Slots) {
        let mut snapshot = Snapshot::new();
        let mut holds = Vec::new();
        for ((model, version), slot) in &slots.slots {
            let Some(loaded) = &slot.loaded else { continue };
            snapshot.entry(model.clone()).or_default().insert(version.clone(), Arc::clone(loaded));
            if slot.announced {
                let (model, version) = (model.clone(), version.clone());
                holds.push(Held { model, version, digest: slot.digest.clone() });
            }
        }
        self.metrics.models.set(i64::try_from(holds.len()).unwrap_or(i64::MAX));
        self.snapshot.store(Arc::new(snapshot));
        self.holds.send_if_modified(|current| {
            let changed = *current != holds;
            *current = holds;
            changed
        });
    }

    /// The model that answers for a version now.
    pub(crate) fn get(&self, model: &ModelName, version: &Version) -> Option<Arc<Loaded>> {
        self.snapshot.load().get(model)?.get(version).map(Arc::clone)
    }

    /// What is announced, and its changes.
    pub(crate) fn holds(&self) -> watch::Receiver<Vec<Held>> {
        self.holds.subscribe()
    }
}
