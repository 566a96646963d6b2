//! What this worker holds: which version answers for a name now. Readers take a snapshot and never wait; a version is
//! wanted before it is loaded, and an older wish's model never comes in. Models that are loaded stay within a budget of
//! memory: those least recently asked rest, and are loaded again when they are asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arborgate_contracts::presence::{Aside, Held, Holding};
use arborgate_contracts::{ModelName, Version};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::ways::Ways;

/// A model that answers.
pub(crate) struct Loaded {
    pub(crate) ways: Ways,
    /// Milliseconds of the table's clock.
    used: AtomicU64,
}

impl Loaded {
    pub(crate) fn new(ways: Ways) -> Arc<Self> {
        Arc::new(Self { ways, used: AtomicU64::new(0) })
    }
}

/// Which want a model was loaded for: each one is new.
pub(crate) type Wish = u64;

/// What there is of a version.
#[derive(Clone)]
pub(crate) enum There {
    /// It answers.
    Loaded(Arc<Loaded>),
    /// It is loaded when it is asked: its actor is to be told.
    Resting,
}

type Snapshot = HashMap<ModelName, HashMap<Version, There>>;

struct Slot {
    wish: Wish,
    digest: String,
    loaded: Option<Arc<Loaded>>,
    /// Whether its subject is served: it answers, or can.
    announced: bool,
    /// Why it does not answer.
    aside: Option<String>,
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
    holding: watch::Sender<Holding>,
    /// Told of every change.
    changes: watch::Sender<()>,
    /// Bytes; 0: no bound.
    budget: u64,
    began: Instant,
    metrics: Metrics,
}

impl Table {
    pub(crate) fn new(budget: u64, metrics: Metrics) -> Self {
        Self {
            slots: Mutex::default(),
            snapshot: ArcSwap::default(),
            holding: watch::Sender::default(),
            changes: watch::Sender::default(),
            budget,
            began: Instant::now(),
            metrics,
        }
    }

    /// Asks for a version of these bytes from now on: what was there under its name answers no more.
    pub(crate) fn want(&self, model: &ModelName, version: &Version, digest: &str) -> Wish {
        let mut slots = self.slots.lock();
        slots.last += 1;
        let wish = slots.last;
        let slot = Slot { wish, digest: digest.to_owned(), loaded: None, announced: false, aside: None };
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

    /// Puts a model in, unless it is wanted no more. Others rest where there is no room for all.
    pub(crate) fn put(&self, model: &ModelName, version: &Version, wish: Wish, loaded: Arc<Loaded>) -> bool {
        loaded.used.store(self.now(Instant::now()), Ordering::Relaxed);
        let mut slots = self.slots.lock();
        let Some(slot) = slots.wanted(model, version, wish) else { return false };
        (slot.loaded, slot.aside) = (Some(loaded), None);
        self.make_room(&mut slots, wish);
        true
    }

    /// A model takes more memory than when it was put in.
    pub(crate) fn grown(&self, model: &ModelName, version: &Version, wish: Wish) {
        let mut slots = self.slots.lock();
        if slots.wanted(model, version, wish).is_some() {
            self.make_room(&mut slots, wish);
        }
    }

    fn make_room(&self, slots: &mut Slots, stays: Wish) {
        let resting = slots.make_room(self.budget, stays);
        for (model, version) in &resting {
            tracing::info!(%model, %version, "a model rests: others are asked more, and inference.memory is full");
        }
        self.metrics.evictions.inc_by(resting.len() as u64);
        self.publish(slots);
    }

    /// Tells callers that the version is served here.
    pub(crate) fn announce(&self, model: &ModelName, version: &Version, wish: Wish) {
        self.change(model, version, wish, |slot| slot.announced = true);
    }

    /// Why a version, still announced, can not be loaded just now.
    pub(crate) fn fail(&self, model: &ModelName, version: &Version, wish: Wish, why: String) {
        self.change(model, version, wish, |slot| slot.aside = Some(why));
    }

    /// Whether a version is announced and not loaded.
    pub(crate) fn rests(&self, model: &ModelName, version: &Version, wish: Wish) -> bool {
        self.slots.lock().wanted(model, version, wish).is_some_and(|slot| slot.announced && slot.loaded.is_none())
    }

    /// Why a version does not answer, if it does not.
    pub(crate) fn aside(&self, model: &ModelName, version: &Version) -> Option<String> {
        self.slots.lock().slots.get(&(model.clone(), version.clone()))?.aside.clone()
    }

    /// Takes a model out, whose owner has lost it, or could not load it: why. It stays wanted.
    pub(crate) fn withdraw(&self, model: &ModelName, version: &Version, wish: Wish, why: Option<String>) {
        self.change(model, version, wish, |slot| {
            (slot.loaded, slot.announced) = (None, false);
            slot.aside = why.or(slot.aside.take());
        });
    }

    fn change(&self, model: &ModelName, version: &Version, wish: Wish, change: impl FnOnce(&mut Slot)) {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.wanted(model, version, wish) {
            change(slot);
            self.publish(&slots);
        }
    }

    fn publish(&self, slots: &Slots) {
        let mut snapshot = Snapshot::new();
        let (mut holding, mut bytes) = (Holding::default(), 0);
        for ((model, version), slot) in &slots.slots {
            let held = || Held { model: model.clone(), version: version.clone(), digest: slot.digest.clone() };
            if let Some(reason) = &slot.aside {
                holding.aside.push(Aside { version: held(), reason: reason.clone() });
            }
            let there = match &slot.loaded {
                Some(loaded) => There::Loaded(Arc::clone(loaded)),
                None if slot.announced => There::Resting,
                None => continue,
            };
            bytes += slot.loaded.as_ref().map_or(0, |loaded| loaded.ways.bytes());
            snapshot.entry(model.clone()).or_default().insert(version.clone(), there);
            if slot.announced {
                holding.holds.push(held());
            }
        }
        self.metrics.models.set(i64::try_from(holding.holds.len()).unwrap_or(i64::MAX));
        self.metrics.model_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.snapshot.store(Arc::new(snapshot));
        self.holding.send_if_modified(|current| {
            let changed = *current != holding;
            *current = holding;
            changed
        });
        self.changes.send_replace(());
    }

    /// What there is of a version, which is asked `now`.
    pub(crate) fn get(&self, model: &ModelName, version: &Version, now: Instant) -> Option<There> {
        let there = self.snapshot.load().get(model)?.get(version).cloned()?;
        if let There::Loaded(loaded) = &there {
            loaded.used.store(self.now(now), Ordering::Relaxed);
        }
        Some(there)
    }

    fn now(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// The same, if it is of these bytes.
    pub(crate) fn get_same(&self, model: &ModelName, version: &Version, digest: &str) -> Option<Arc<Loaded>> {
        let slots = self.slots.lock();
        let slot = slots.slots.get(&(model.clone(), version.clone())).filter(|slot| slot.digest == digest)?;
        slot.loaded.clone()
    }

    /// What is announced, and its changes.
    pub(crate) fn holding(&self) -> watch::Receiver<Holding> {
        self.holding.subscribe()
    }

    /// Told of every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

impl Slots {
    fn wanted(&mut self, model: &ModelName, version: &Version, wish: Wish) -> Option<&mut Slot> {
        self.slots.get_mut(&(model.clone(), version.clone())).filter(|slot| slot.wish == wish)
    }

    /// Lets models rest, the least recently asked first, until all are within the budget; `new` stays.
    fn make_room(&mut self, budget: u64, new: Wish) -> Vec<(ModelName, Version)> {
        let mut loaded: u64 =
            self.slots.values().filter_map(|slot| slot.loaded.as_ref()).map(|of| of.ways.bytes()).sum();
        let mut resting = Vec::new();
        while budget > 0 && loaded > budget {
            let others = self.slots.iter_mut().filter(|(_, slot)| slot.wish != new);
            let others = others.filter_map(|(name, slot)| {
                let used = slot.loaded.as_ref()?.used.load(Ordering::Relaxed);
                Some((used, name, slot))
            });
            let Some((_, name, slot)) = others.min_by_key(|(used, _, _)| *used) else { break };
            loaded -= slot.loaded.take().map_or(0, |of| of.ways.bytes());
            resting.push(name.clone());
        }
        resting
    }
}
