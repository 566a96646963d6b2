//! Key-value state: revisions grow over a whole bucket, changes are decided by compare-and-set, reads may be stale.

use std::sync::Arc;

use arborgate_contracts::Key;
use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::error::StoreError;

/// A value and the revision that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub key: Key,
    /// What.
    pub value: Bytes,
    /// Of the bucket, when it was written; at least 1.
    pub revision: u64,
}

impl Entry {
    /// The value as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.value).map_err(StoreError::backend("reading a stored record"))
    }
}

/// What a watch sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A value was written.
    Put(Entry),
    /// A key was deleted. Expiry by age is not seen.
    Deleted {
        /// Which.
        key: Key,
        /// Of the deletion.
        revision: u64,
    },
    /// All that was there when the watch began has been seen; `revision` is the bucket's newest at that moment, or a
    /// later one whose changes were all seen.
    Current {
        /// Up to which every change was seen.
        revision: u64,
    },
}

/// Changes in the order of their revisions, each key's newest at least.
pub struct Watch {
    receiver: mpsc::Receiver<Result<Change, StoreError>>,
    _guard: Box<dyn std::any::Any + Send + Sync>,
}

impl Watch {
    /// For implementations: `guard` ends the watch when dropped.
    pub fn new(
        receiver: mpsc::Receiver<Result<Change, StoreError>>,
        guard: Box<dyn std::any::Any + Send + Sync>,
    ) -> Self {
        Self { receiver, _guard: guard }
    }

    /// The next change. `None` or an error: it broke (the bus closed, or this reader was too slow); begin another from
    /// the last revision seen.
    pub async fn next(&mut self) -> Option<Result<Change, StoreError>> {
        self.receiver.recv().await
    }
}

/// A kind of bucket. Its users hold a [`Bucket`].
#[async_trait]
pub trait BucketBackend: Send + Sync + 'static {
    /// See [`Bucket::get`].
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;
    /// Writes when the key's current revision is `expected` (`Some(0)`: when it is absent or deleted; `None`: always).
    async fn write(&self, key: &Key, value: Bytes, expected: Option<u64>) -> Result<u64, StoreError>;
    /// Deletes when the key's current revision is `expected`. Deleting what is absent is no error.
    async fn delete(&self, key: &Key, expected: Option<u64>) -> Result<(), StoreError>;
    /// See [`Bucket::list`].
    async fn list(&self, prefix: Option<&Key>) -> Result<Vec<Entry>, StoreError>;
    /// See [`Bucket::watch`].
    async fn watch(&self, prefix: Option<&Key>, after: Option<u64>) -> Result<Watch, StoreError>;
    /// See [`Bucket::revision`].
    async fn revision(&self) -> Result<u64, StoreError>;
}

/// A bucket of the state. Cheap to clone.
#[derive(Clone)]
pub struct Bucket(Arc<dyn BucketBackend>);

impl Bucket {
    /// A bucket of some kind.
    pub fn new(backend: Arc<dyn BucketBackend>) -> Self {
        Self(backend)
    }

    /// The current value. It may be stale: decide only by [`Bucket::update`].
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.0.get(key).await
    }

    /// Writes a key that is not there; [`StoreError::Conflict`] when it is. Gives the new revision.
    pub async fn create(&self, key: &Key, value: Bytes) -> Result<u64, StoreError> {
        self.0.write(key, value, Some(0)).await
    }

    /// Writes whatever is there. Gives the new revision.
    pub async fn put(&self, key: &Key, value: Bytes) -> Result<u64, StoreError> {
        self.0.write(key, value, None).await
    }

    /// Writes when `revision` is the key's current one; else [`StoreError::Conflict`]. Gives the new revision.
    pub async fn update(&self, key: &Key, value: Bytes, revision: u64) -> Result<u64, StoreError> {
        self.0.write(key, value, Some(revision)).await
    }

    /// Deletes a key, when given only at that revision. Deleting what is absent is no error.
    pub async fn delete(&self, key: &Key, revision: Option<u64>) -> Result<(), StoreError> {
        self.0.delete(key, revision).await
    }

    /// Every current entry (below `prefix`), by key.
    pub async fn list(&self, prefix: Option<&Key>) -> Result<Vec<Entry>, StoreError> {
        self.0.list(prefix).await
    }

    /// First what is there (or, with `after`, what changed after that revision, deletions included), then
    /// [`Change::Current`], then what changes.
    pub async fn watch(&self, prefix: Option<&Key>, after: Option<u64>) -> Result<Watch, StoreError> {
        self.0.watch(prefix, after).await
    }

    /// The newest revision of the bucket, 0 when nothing was ever written; never stale.
    pub async fn revision(&self) -> Result<u64, StoreError> {
        self.0.revision().await
    }

    /// The current value as JSON, with its revision.
    pub async fn get_json<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<(T, u64)>, StoreError> {
        match self.get(key).await? {
            Some(entry) => Ok(Some((entry.json()?, entry.revision))),
            None => Ok(None),
        }
    }
}

/// A record as JSON bytes, for [`Bucket::put`] and its kin.
pub fn to_json<T: Serialize>(record: &T) -> Result<Bytes, StoreError> {
    serde_json::to_vec(record).map(Bytes::from).map_err(StoreError::backend("writing a record"))
}
