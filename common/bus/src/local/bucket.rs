//! A bucket for its users. Reads are of memory; a bucket in memory is changed here, one on disk by the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arborgate_contracts::Key;
use arborgate_contracts::bucket::{BucketSpec, Storage};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use super::contents::{self, Contents, Op, Record};
use super::writer::{Command, Writer};
use crate::error::{BusError, StoreError};
use crate::store::{BucketBackend, Entry, Watch};

/// Wall-clock time that never goes back or jumps while the process lives.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    unix: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), unix }
    }

    /// Unix time in milliseconds.
    pub(super) fn now(&self) -> u64 {
        u64::try_from((self.unix + self.began.elapsed()).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A bucket, shared by all who opened it and by the writer.
pub(super) struct Shared {
    pub(super) spec: &'static BucketSpec,
    pub(super) clock: Arc<Clock>,
    pub(super) contents: RwLock<Contents>,
    /// Set under the lock of the contents.
    pub(super) closed: AtomicBool,
    /// Whether changes go to disk first.
    pub(super) on_disk: bool,
}

impl Shared {
    pub(super) fn oldest(&self) -> u64 {
        contents::oldest(self.clock.now(), self.spec.max_age)
    }

    pub(super) fn close(&self) {
        let mut contents = self.contents.write();
        self.closed.store(true, Ordering::SeqCst);
        contents.end_watches();
    }

    fn check_open(&self, what: &'static str) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) { Err(StoreError::backend(what)(BusError::Closed)) } else { Ok(()) }
    }

    fn change_in_memory(&self, op: Op) -> Result<u64, StoreError> {
        let mut contents = self.contents.write();
        self.check_open("writing state")?;
        let current = contents.get(op.key(), self.oldest()).map(|r| r.revision);
        let Some((key, value)) = op.decide(current)? else { return Ok(contents.revision()) };
        let revision = contents.revision() + 1;
        contents.apply(key, Record { revision, written: self.clock.now(), value });
        Ok(revision)
    }
}

/// What a user holds.
pub(super) struct Handle {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, writer: Arc<Writer>) -> Self {
        Self { shared, writer }
    }

    async fn change(&self, op: Op) -> Result<u64, StoreError> {
        if !self.shared.on_disk {
            return self.shared.change_in_memory(op);
        }
        self.shared.check_open("writing state")?;
        let bucket = Arc::clone(&self.shared);
        self.writer.ask(|reply| Command::Change { bucket, op, reply }).await
    }
}

#[async_trait]
impl BucketBackend for Handle {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.shared.check_open("reading state")?;
        let contents = self.shared.contents.read();
        let found = contents.get(key, self.shared.oldest());
        Ok(found.and_then(|r| Some(Entry { key: key.clone(), value: r.value.clone()?, revision: r.revision })))
    }

    async fn write(&self, key: &Key, value: Bytes, expected: Option<u64>) -> Result<u64, StoreError> {
        let BucketSpec { name, max_value, .. } = *self.shared.spec;
        if value.len() > max_value {
            return Err(StoreError::TooLarge { size: value.len(), limit: max_value, bucket: name.to_owned() });
        }
        self.change(Op::Write { key: key.clone(), value, expected }).await
    }

    async fn delete(&self, key: &Key, expected: Option<u64>) -> Result<(), StoreError> {
        self.change(Op::Delete { key: key.clone(), expected }).await.map(drop)
    }

    async fn list(&self, prefix: Option<&Key>) -> Result<Vec<Entry>, StoreError> {
        self.shared.check_open("reading state")?;
        Ok(self.shared.contents.read().list(prefix, self.shared.oldest()))
    }

    async fn watch(&self, prefix: Option<&Key>, after: Option<u64>) -> Result<Watch, StoreError> {
        let mut contents = self.shared.contents.write();
        self.shared.check_open("watching")?;
        let (id, receiver) = contents.watch(prefix, after, self.shared.oldest())?;
        let guard = Unwatch { shared: Arc::clone(&self.shared), id };
        Ok(Watch::new(receiver, Box::new(guard)))
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.shared.check_open("reading state")?;
        Ok(self.shared.contents.read().revision())
    }
}

struct Unwatch {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Unwatch {
    fn drop(&mut self) {
        self.shared.contents.write().unwatch(self.id);
    }
}

/// Whether a bucket's changes go to disk, when there is one.
pub(super) fn is_durable(spec: &BucketSpec) -> bool {
    spec.storage == Storage::Disk
}
