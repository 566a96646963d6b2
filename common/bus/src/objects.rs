//! Large artifacts: written once as a stream, read as a stream, checked against the SHA-256 they were stored with.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncRead;

use crate::error::StoreError;

/// What is to be stored, chunk by chunk. An error ends it, and nothing is kept.
pub type ObjectStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name: 1 to 255 of A-Z, a-z, 0-9, '.', '_', '-' and '/', no part empty, '.' or '..'.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// SHA-256, lower-case hex.
    pub digest: String,
}

/// An object being read; fails at its end when the bytes are not those that were stored.
pub struct ObjectReader {
    /// What is read.
    pub info: ObjectInfo,
    /// Its bytes.
    pub reader: Pin<Box<dyn AsyncRead + Send>>,
}

/// A kind of object store. Its users hold [`Objects`].
#[async_trait]
pub trait ObjectsBackend: Send + Sync + 'static {
    /// See [`Objects::put`].
    async fn put(&self, name: &str, content: ObjectStream) -> Result<ObjectInfo, StoreError>;
    /// See [`Objects::get`].
    async fn get(&self, name: &str) -> Result<ObjectReader, StoreError>;
    /// See [`Objects::delete`].
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
    /// See [`Objects::list`].
    async fn list(&self) -> Result<Vec<ObjectInfo>, StoreError>;
}

/// The rule of [`ObjectInfo::name`].
fn check_name(name: &str) -> Result<(), StoreError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    let part = |part: &str| !matches!(part, "" | "." | "..");
    if name.len() <= 255 && name.bytes().all(plain) && name.split('/').all(part) {
        return Ok(());
    }
    let name = name.chars().take(255).collect();
    Err(StoreError::BadName { name })
}

/// An object store. Cheap to clone.
#[derive(Clone)]
pub struct Objects(Arc<dyn ObjectsBackend>);

impl Objects {
    /// An object store of some kind.
    pub fn new(backend: Arc<dyn ObjectsBackend>) -> Self {
        Self(backend)
    }

    /// Stores a stream under a name, in place of what was there. A reader sees the old or the new whole, never a part.
    pub async fn put(&self, name: &str, content: ObjectStream) -> Result<ObjectInfo, StoreError> {
        check_name(name)?;
        self.0.put(name, content).await
    }

    /// Reads an object; [`StoreError::NoObject`].
    pub async fn get(&self, name: &str) -> Result<ObjectReader, StoreError> {
        check_name(name)?;
        self.0.get(name).await
    }

    /// Reads an object whole, at most `limit` bytes.
    pub async fn get_all(&self, name: &str, limit: u64) -> Result<Bytes, StoreError> {
        use tokio::io::AsyncReadExt;
        let mut object = self.get(name).await?;
        if object.info.size > limit {
            return Err(StoreError::TooLarge {
                size: usize::try_from(object.info.size).unwrap_or(usize::MAX),
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
                bucket: name.to_owned(),
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(object.info.size).unwrap_or(0).min(64 << 20));
        object.reader.read_to_end(&mut bytes).await.map_err(StoreError::backend("reading an object"))?;
        Ok(bytes.into())
    }

    /// Deletes an object; deleting what is absent is no error.
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        self.0.delete(name).await
    }

    /// Every object, by name.
    pub async fn list(&self) -> Result<Vec<ObjectInfo>, StoreError> {
        self.0.list().await
    }
}
