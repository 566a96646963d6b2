//! Which buckets and object stores there are, and opening them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arborgate_contracts::bucket::BucketSpec;
use arborgate_contracts::queue::QueueSpec;
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::counter::Counter;

use super::bucket::{self, Clock, Handle, Shared};
use super::contents::Contents;
use super::disk::{self, Loaded};
use super::objects::{self, DiskObjects, MemoryObjects};
use super::open::OpenError;
use super::queue;
use super::writer::{Command, Opened, Writer};
use crate::error::{BusError, StoreError};
use crate::objects::Objects;
use crate::queue::Queue;
use crate::store::Bucket;

pub(super) struct State {
    folder: Option<PathBuf>,
    clock: Arc<Clock>,
    writer: Arc<Writer>,
    opened: Arc<Opened>,
    /// Made, and not yet opened.
    known: Mutex<Loaded>,
    stores: Mutex<HashMap<&'static str, Objects>>,
    queues: Mutex<HashMap<&'static str, Arc<queue::Shared>>>,
}

impl State {
    pub(super) fn open(folder: Option<PathBuf>, full: Counter) -> Result<Self, OpenError> {
        let (database, loaded) = match &folder {
            Some(folder) => {
                let (database, loaded) = disk::open(folder)?;
                for (store, rows) in &loaded.stores {
                    objects::clean(&folder.join(store), rows)?;
                }
                (Some(database), loaded)
            }
            None => (None, Loaded::default()),
        };
        let opened: Arc<Opened> = Arc::default();
        let writer = Writer::start(database, Arc::clone(&opened), full)
            .map_err(OpenError::io("starting a thread to write", folder.clone().unwrap_or_default()))?;
        Ok(Self {
            folder,
            clock: Arc::new(Clock::start()),
            writer: Arc::new(writer),
            opened,
            known: Mutex::new(loaded),
            stores: Mutex::default(),
            queues: Mutex::default(),
        })
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.writer.is_closed() { Err(StoreError::backend("opening state")(BusError::Closed)) } else { Ok(()) }
    }

    /// One opened once keeps the spec that it was opened with.
    pub(super) fn bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        let mut known = self.known.lock();
        let mut opened = self.opened.write();
        self.check_open()?;
        let shared = match opened.get(spec.name) {
            Some(shared) => Arc::clone(shared),
            None => {
                let no_bucket = || StoreError::NoBucket { bucket: spec.name.to_owned() };
                let stored = known.buckets.remove(spec.name).ok_or_else(no_bucket)?;
                let on_disk = self.folder.is_some() && bucket::is_durable(spec);
                let keeps = on_disk || self.folder.is_none();
                let contents = if keeps { stored } else { Contents::default() };
                let shared = Arc::new(Shared {
                    spec,
                    clock: Arc::clone(&self.clock),
                    contents: RwLock::new(contents),
                    closed: false.into(),
                    on_disk,
                });
                opened.insert(spec.name, Arc::clone(&shared));
                shared
            }
        };
        Ok(Bucket::new(Arc::new(Handle::new(shared, Arc::clone(&self.writer)))))
    }

    pub(super) async fn create_bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        match self.bucket(spec) {
            Err(StoreError::NoBucket { .. }) => {}
            outcome => return outcome,
        }
        // One in memory as well: that it was made is remembered, though not what was in it.
        self.writer.ask(|reply| Command::CreateBucket { name: spec.name, reply }).await?;
        {
            let mut known = self.known.lock();
            if !self.opened.read().contains_key(spec.name) {
                known.buckets.entry(spec.name.to_owned()).or_default();
            }
        }
        self.bucket(spec)
    }

    pub(super) fn objects(&self, name: &'static str) -> Result<Objects, StoreError> {
        self.check_open()?;
        let mut stores = self.stores.lock();
        if let Some(store) = stores.get(name) {
            return Ok(store.clone());
        }
        let rows = self.known.lock().stores.remove(name);
        let rows = rows.ok_or_else(|| StoreError::NoBucket { bucket: name.to_owned() })?;
        let store = match &self.folder {
            Some(folder) => Objects::new(Arc::new(DiskObjects::new(name, folder.join(name), rows, &self.writer))),
            None => Objects::new(Arc::new(MemoryObjects::default())),
        };
        stores.insert(name, store.clone());
        Ok(store)
    }

    pub(super) async fn create_objects(&self, name: &'static str) -> Result<Objects, StoreError> {
        match self.objects(name) {
            Err(StoreError::NoBucket { .. }) => {}
            outcome => return outcome,
        }
        if let Some(folder) = &self.folder {
            disk::make_folder(&folder.join(name)).map_err(StoreError::backend("making an object store"))?;
        }
        self.writer.ask(|reply| Command::CreateStore { name, reply }).await?;
        {
            let stores = self.stores.lock();
            if !stores.contains_key(name) {
                self.known.lock().stores.entry(name.to_owned()).or_default();
            }
        }
        self.objects(name)
    }

    pub(super) fn queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        self.check_open()?;
        let mut queues = self.queues.lock();
        let shared = match queues.get(spec.name) {
            Some(shared) => Arc::clone(shared),
            None => {
                let stored = self.known.lock().queues.remove(spec.name);
                let stored = stored.ok_or_else(|| StoreError::NoBucket { bucket: spec.name.to_owned() })?;
                let shared = Arc::new(queue::Shared::new(spec, stored));
                queues.insert(spec.name, Arc::clone(&shared));
                shared
            }
        };
        Ok(Queue::new(Arc::new(queue::Handle::new(shared, Arc::clone(&self.writer)))))
    }

    pub(super) async fn create_queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        match self.queue(spec) {
            Err(StoreError::NoBucket { .. }) => {}
            outcome => return outcome,
        }
        self.writer.ask(|reply| Command::CreateQueue { name: spec.name, reply }).await?;
        {
            let queues = self.queues.lock();
            if !queues.contains_key(spec.name) {
                self.known.lock().queues.entry(spec.name.to_owned()).or_default();
            }
        }
        self.queue(spec)
    }

    /// Writes what waits and closes the file. Everything fails from now on, and watches end.
    pub(super) async fn close(&self) {
        self.writer.refuse();
        let opened: Vec<_> = self.opened.read().values().cloned().collect();
        for bucket in opened {
            bucket.close();
        }
        self.queues.lock().values().for_each(|queue| queue.close());
        let writer = Arc::clone(&self.writer);
        if tokio::task::spawn_blocking(move || writer.close()).await.is_err() {
            tracing::error!("closing the state panicked");
        }
    }
}
