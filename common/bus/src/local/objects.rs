//! Objects in one process: files named by what they hold, found by an index in the state's file, so that a name changes
//! from one whole object to the next at once; or all in memory.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use aws_lc_rs::digest::{self, SHA256, digest};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::RwLock;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::disk::{self, ObjectRow};
use super::open::OpenError;
use super::writer::{Command, Writer};
use crate::error::{BusError, StoreError};
use crate::objects::{ObjectInfo, ObjectReader, ObjectStream, ObjectsBackend};

/// An unfinished file's ending.
const PART: &str = "part";
/// How often a file is looked for again that was replaced between finding and opening it.
const TRIES: usize = 8;

/// Which file holds which object; changed by the writer only.
pub(super) struct Index {
    pub(super) store: &'static str,
    rows: RwLock<BTreeMap<String, ObjectRow>>,
}

impl Index {
    /// Gives what was there.
    pub(super) fn replace(&self, name: String, row: Option<ObjectRow>) -> Option<ObjectRow> {
        let mut rows = self.rows.write();
        match row {
            Some(row) => rows.insert(name, row),
            None => rows.remove(&name),
        }
    }

    fn get(&self, name: &str) -> Result<ObjectRow, StoreError> {
        self.rows.read().get(name).cloned().ok_or_else(|| StoreError::NoObject { name: name.to_owned() })
    }
}

fn info(name: &str, row: &ObjectRow) -> ObjectInfo {
    ObjectInfo { name: name.to_owned(), size: row.size, digest: row.digest.clone() }
}

/// Objects in a folder.
pub(super) struct DiskObjects {
    index: Arc<Index>,
    folder: PathBuf,
    writer: Arc<Writer>,
}

impl DiskObjects {
    pub(super) fn new(
        store: &'static str,
        folder: PathBuf,
        rows: BTreeMap<String, ObjectRow>,
        writer: &Arc<Writer>,
    ) -> Self {
        let index = Arc::new(Index { store, rows: RwLock::new(rows) });
        Self { index, folder, writer: Arc::clone(writer) }
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.writer.is_closed() { Err(StoreError::backend("using objects")(BusError::Closed)) } else { Ok(()) }
    }

    /// Writes a stream to a file of its own, and syncs it.
    async fn receive(&self, mut content: ObjectStream) -> Result<ObjectRow, StoreError> {
        let failed = StoreError::backend::<std::io::Error>;
        let unique = format!("{:016x}", rand::random::<u64>());
        let part = Part(self.folder.join(&unique).with_extension(PART));
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&part.0).await.map_err(failed("making a file"))?;
        let (mut sum, mut size) = (digest::Context::new(&SHA256), 0_u64);
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(StoreError::Input)?;
            sum.update(&chunk);
            size += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(failed("writing a file"))?;
        }
        file.flush().await.map_err(failed("writing a file"))?;
        file.sync_all().await.map_err(failed("syncing a file"))?;
        let digest = hex::encode(sum.finish());
        let row = ObjectRow { size, file: format!("{digest}.{unique}"), digest };
        let (from, to, folder) = (part.0.clone(), self.folder.join(&row.file), self.folder.clone());
        let named = tokio::task::spawn_blocking(move || {
            std::fs::rename(from, to)?;
            disk::sync_folder(&folder)
        });
        named.await.map_err(StoreError::backend("naming a file"))?.map_err(failed("naming a file"))?;
        Ok(row)
    }

    async fn point(&self, name: &str, row: Option<ObjectRow>) -> Result<(), StoreError> {
        let index = Arc::clone(&self.index);
        let name = name.to_owned();
        let file = row.as_ref().map(|row| row.file.clone());
        match self.writer.ask(|reply| Command::Object { index, name, row, reply }).await {
            Ok(Some(before)) => {
                self.remove(&before.file).await;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                if let Some(file) = file {
                    self.remove(&file).await;
                }
                Err(error)
            }
        }
    }

    /// What can not be removed now is removed at the next start.
    async fn remove(&self, file: &str) {
        if let Err(error) = tokio::fs::remove_file(self.folder.join(file)).await {
            tracing::warn!(file, %error, "a file that holds no object any more could not be removed");
        }
    }
}

#[async_trait]
impl ObjectsBackend for DiskObjects {
    async fn put(&self, name: &str, content: ObjectStream) -> Result<ObjectInfo, StoreError> {
        self.check_open()?;
        let row = self.receive(content).await?;
        let stored = info(name, &row);
        self.point(name, Some(row)).await?;
        Ok(stored)
    }

    async fn get(&self, name: &str) -> Result<ObjectReader, StoreError> {
        self.check_open()?;
        let mut row = self.index.get(name)?;
        for _ in 0..TRIES {
            match File::open(self.folder.join(&row.file)).await {
                Ok(file) => {
                    let info = info(name, &row);
                    let reader = Box::pin(Checked::new(file, info.clone()));
                    return Ok(ObjectReader { info, reader });
                }
                Err(error) => {
                    let now = self.index.get(name)?;
                    if now == row {
                        return Err(StoreError::backend("opening an object's file")(error));
                    }
                    row = now;
                }
            }
        }
        Err(StoreError::backend("opening an object's file")("it was replaced again and again"))
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.check_open()?;
        self.point(name, None).await
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, StoreError> {
        self.check_open()?;
        Ok(self.index.rows.read().iter().map(|(name, row)| info(name, row)).collect())
    }
}

/// A file that is removed unless it was renamed before.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file whose last bytes are given out only when all are those that were stored.
struct Checked {
    file: File,
    info: ObjectInfo,
    sum: Option<digest::Context>,
    read: u64,
}

impl Checked {
    fn new(file: File, info: ObjectInfo) -> Self {
        Self { file, info, sum: Some(digest::Context::new(&SHA256)), read: 0 }
    }

    /// Whether what was read so far may be given out; `more` was read now.
    fn accepts(&mut self, more: &[u8]) -> bool {
        self.read += more.len() as u64;
        let Some(sum) = &mut self.sum else { return more.is_empty() };
        sum.update(more);
        if self.read == self.info.size {
            return self.sum.take().is_some_and(|sum| hex::encode(sum.finish()) == self.info.digest);
        }
        self.read < self.info.size && !more.is_empty()
    }
}

impl AsyncRead for Checked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.file).poll_read(cx, buf))?;
        let good = self.accepts(buf.filled().get(before..).unwrap_or_default());
        if !good {
            buf.set_filled(before);
            let damaged = StoreError::Damaged { name: self.info.name.clone() };
            return Poll::Ready(Err(std::io::Error::new(std::io::ErrorKind::InvalidData, damaged)));
        }
        Poll::Ready(Ok(()))
    }
}

/// Makes the folder of a store when it is missing, and removes what a process left that died while it wrote. Files not
/// named as ours are left alone.
pub(super) fn clean(folder: &Path, rows: &BTreeMap<String, ObjectRow>) -> Result<(), OpenError> {
    disk::make_folder(folder)?;
    let failed = || OpenError::io("reading the folder", folder);
    let used: std::collections::HashSet<&str> = rows.values().map(|row| row.file.as_str()).collect();
    for entry in std::fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if is_ours(name) && !used.contains(name) {
            std::fs::remove_file(entry.path()).map_err(OpenError::io("removing", entry.path()))?;
        }
    }
    Ok(())
}

fn is_ours(file: &str) -> bool {
    let hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    match file.split_once('.') {
        Some((unique, PART)) => hex(unique, 16),
        Some((digest, unique)) => hex(digest, 64) && hex(unique, 16),
        None => false,
    }
}

/// Objects that are gone with the process.
#[derive(Default)]
pub(super) struct MemoryObjects(RwLock<BTreeMap<String, (ObjectInfo, Bytes)>>);

#[async_trait]
impl ObjectsBackend for MemoryObjects {
    async fn put(&self, name: &str, mut content: ObjectStream) -> Result<ObjectInfo, StoreError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = content.next().await {
            bytes.extend_from_slice(&chunk.map_err(StoreError::Input)?);
        }
        let info = ObjectInfo {
            name: name.to_owned(),
            size: bytes.len() as u64,
            digest: hex::encode(digest(&SHA256, &bytes)),
        };
        self.0.write().insert(name.to_owned(), (info.clone(), bytes.into()));
        Ok(info)
    }

    async fn get(&self, name: &str) -> Result<ObjectReader, StoreError> {
        let objects = self.0.read();
        let (info, bytes) = objects.get(name).ok_or_else(|| StoreError::NoObject { name: name.to_owned() })?;
        Ok(ObjectReader { info: info.clone(), reader: Box::pin(Cursor::new(bytes.clone())) })
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.0.write().remove(name);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, StoreError> {
        Ok(self.0.read().values().map(|(info, _)| info.clone()).collect())
    }
}
