//! Writing a backup as it is read.

use std::io::{self, Write};

use arborgate_bus::{Bus, Objects, StoreError, to_json};
use arborgate_contracts::bucket::{META, Meta, SIGNING_KEYS, STATE_FORMAT, meta_key};
use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use tokio_util::io::{ReaderStream, SyncIoBridge};

use super::{END, FORMAT, HEADER, Header, kept};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The state.
    #[error("reading the state failed")]
    Store(#[from] StoreError),
    /// The state was never made whole.
    #[error("the state has no record of its format")]
    NoMeta,
    /// The stream.
    #[error("writing the backup failed")]
    Io(#[from] io::Error),
}

/// Of a pipe between the writer and the answer's body.
const PIPE: usize = 256 << 10;

/// A backup as a stream of bytes. A failure midway ends it without its last entry, and with an error.
pub async fn stream(
    bus: Bus,
    objects: Objects,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, BackupError> {
    let meta = bus.bucket(&META).await?.get_json::<Meta>(&meta_key()).await?;
    let (meta, _) = meta.ok_or(BackupError::NoMeta)?;
    let header = Header { format: FORMAT, state_format: STATE_FORMAT, master_key_check: meta.master_key_check };
    let (writer, reader) = tokio::io::duplex(PIPE);
    let handle = Handle::current();
    tokio::task::spawn_blocking(move || {
        let outcome = Writer { tar: tar::Builder::new(SyncIoBridge::new(writer)), handle }.run(&header, &bus, &objects);
        if let Err(error) = outcome {
            tracing::error!(error = &error as &dyn std::error::Error, "a backup was cut off");
        }
    });
    Ok(ReaderStream::new(reader))
}

struct Writer<W: Write> {
    tar: tar::Builder<W>,
    handle: Handle,
}

impl<W: Write> Writer<W> {
    fn run(mut self, header: &Header, bus: &Bus, objects: &Objects) -> Result<(), BackupError> {
        self.entry(HEADER, &to_json(header)?)?;
        // Artifacts first: a manifest never comes back without its file.
        for info in self.handle.block_on(objects.list())? {
            let mut object = match self.handle.block_on(objects.get(&info.name)) {
                Ok(object) => object,
                // Removed meanwhile.
                Err(StoreError::NoObject { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let size = object.info.size;
            let reader = SyncIoBridge::new_with_handle((&mut object.reader).take(size), self.handle.clone());
            self.append(&format!("artifacts/{}", info.name), size, reader)?;
        }
        for spec in kept().filter(|spec| spec.name != SIGNING_KEYS.name && spec.name != META.name) {
            let bucket = self.handle.block_on(bus.bucket(spec))?;
            for entry in self.handle.block_on(bucket.list(None))? {
                self.entry(&format!("buckets/{}/{}", spec.name, entry.key), &entry.value)?;
            }
        }
        self.entry(END, b"{}")?;
        self.tar.finish()?;
        Ok(())
    }

    fn entry(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.append(path, content.len() as u64, content)
    }

    fn append(&mut self, path: &str, size: u64, content: impl io::Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        self.tar.append_data(&mut header, path, content)
    }
}
