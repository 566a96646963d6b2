//! Restoring a backup: artifacts are stored as they come, under names of their own; records are changed only when the
//! whole of it was read.

use std::collections::HashMap;
use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use arborgate_bus::{Bus, Objects, StoreError, to_json};
use arborgate_contracts::Key;
use arborgate_contracts::auth::Standing;
use arborgate_contracts::bucket::{
    API_KEYS, BucketSpec, META, Meta, SIGNING_KEYS, STANDINGS, STATE_FORMAT, USERS, meta_key,
};
use bytes::Bytes;
use futures_util::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{END, FORMAT, HEADER, Header, kept};

/// Why nothing, or not everything, was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is no backup, or not a whole one; no record was changed.
    #[error("this is not a whole backup of Arborgate: {0}")]
    Malformed(String),
    /// Another format.
    #[error("the backup has format {found}, this binary restores {FORMAT} of state {STATE_FORMAT}")]
    Format {
        /// As it says.
        found: u32,
    },
    /// Its secrets could not be read here.
    #[error("the backup was taken under another master key; start the server with that one")]
    MasterKey,
    /// The state.
    #[error("writing the state failed")]
    Store(#[from] StoreError),
    /// The stream.
    #[error("reading the backup failed")]
    Io(#[source] io::Error),
}

/// Records of a backup at most, in bytes: they are kept in memory until all are read.
const MOST_RECORDS: u64 = 512 << 20;
const CHUNK: usize = 128 << 10;

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Restored {
    /// Records.
    pub records: u64,
    /// Artifacts.
    pub artifacts: u64,
}

type Records = HashMap<&'static str, Vec<(Key, Bytes)>>;

/// Makes the state that of a backup. Standings only grow, so that nothing revoked since is good again before it ends.
pub async fn restore(
    bus: Bus,
    objects: Objects,
    backup: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Result<Restored, RestoreError> {
    let meta = bus.bucket(&META).await?.get_json::<Meta>(&meta_key()).await?;
    let check = meta.map(|(meta, _)| meta.master_key_check).unwrap_or_default();
    let handle = Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let mut reader = SyncIoBridge::new_with_handle(StreamReader::new(Box::pin(backup)), handle.clone());
        read(&mut reader, &check, &objects, &handle)
    });
    let (records, artifacts) = reading.await.map_err(|error| RestoreError::Io(io::Error::other(error)))??;
    let mut written = 0;
    for (name, records) in records {
        let Some(spec) = kept().find(|spec| spec.name == name) else { continue };
        written += apply(&bus, spec, records).await?;
    }
    Ok(Restored { records: written, artifacts })
}

fn malformed(what: impl Into<String>) -> RestoreError {
    RestoreError::Malformed(what.into())
}

fn read(
    reader: impl Read,
    master_key_check: &str,
    objects: &Objects,
    handle: &Handle,
) -> Result<(Records, u64), RestoreError> {
    let mut archive = tar::Archive::new(reader);
    let mut records = Records::new();
    let (mut artifacts, mut bytes, mut begun) = (0, 0, false);
    for entry in archive.entries().map_err(RestoreError::Io)? {
        let mut entry = entry.map_err(RestoreError::Io)?;
        let path = entry.path().map_err(RestoreError::Io)?;
        let path = path.to_str().ok_or_else(|| malformed("a name is not UTF-8"))?.to_owned();
        if !begun {
            check_header(&path, &mut entry, master_key_check)?;
            begun = true;
        } else if path == END {
            return Ok((records, artifacts));
        } else if let Some(name) = path.strip_prefix("artifacts/") {
            store(name, entry, objects, handle)?;
            artifacts += 1;
        } else if let Some((spec, key)) = record_of(&path) {
            bytes += entry.size();
            if bytes > MOST_RECORDS || entry.size() > spec.max_value as u64 {
                return Err(malformed(format!("the record '{path}' is too large")));
            }
            let mut value = Vec::new();
            entry.read_to_end(&mut value).map_err(RestoreError::Io)?;
            records.entry(spec.name).or_default().push((key, value.into()));
        } else {
            return Err(malformed(format!("it has an entry '{}' that is not known", path.escape_default())));
        }
    }
    Err(malformed("it ends before its end"))
}

fn check_header(path: &str, entry: &mut impl Read, master_key_check: &str) -> Result<(), RestoreError> {
    if path != HEADER {
        return Err(malformed("its first entry is another"));
    }
    let mut text = Vec::new();
    entry.take(4096).read_to_end(&mut text).map_err(RestoreError::Io)?;
    let header: Header = serde_json::from_slice(&text).map_err(|_| malformed("its first entry can not be read"))?;
    if header.format != FORMAT || header.state_format != STATE_FORMAT {
        return Err(RestoreError::Format { found: header.format });
    }
    if header.master_key_check != master_key_check {
        return Err(RestoreError::MasterKey);
    }
    Ok(())
}

fn record_of(path: &str) -> Option<(&'static BucketSpec, Key)> {
    let (bucket, key) = path.strip_prefix("buckets/")?.split_once('/')?;
    let restored = |spec: &&BucketSpec| spec.name == bucket && spec.name != SIGNING_KEYS.name && spec.name != META.name;
    Some((kept().find(restored)?, Key::from_stored(key)?))
}

/// Pumps an entry into the object store.
fn store(name: &str, mut entry: impl Read, objects: &Objects, handle: &Handle) -> Result<(), RestoreError> {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    let (objects, owned) = (objects.clone(), name.to_owned());
    let storing = handle.spawn(async move { objects.put(&owned, Box::pin(ReceiverStream::new(receiver))).await });
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = entry.read(&mut chunk).map_err(RestoreError::Io)?;
        chunk.truncate(read);
        // A closed channel: the store failed, and says why below.
        if read == 0 || sender.blocking_send(Ok(chunk.into())).is_err() {
            break;
        }
    }
    drop(sender);
    handle.block_on(storing).map_err(|error| RestoreError::Io(io::Error::other(error)))??;
    Ok(())
}

async fn apply(bus: &Bus, spec: &'static BucketSpec, records: Vec<(Key, Bytes)>) -> Result<u64, RestoreError> {
    let bucket = bus.bucket(spec).await?;
    let grows = spec.name == STANDINGS.name;
    if !grows {
        for entry in bucket.list(None).await? {
            if !records.iter().any(|(key, _)| *key == entry.key) {
                bucket.delete(&entry.key, None).await?;
                revoke(bus, spec, &entry.key).await?;
            }
        }
    }
    let mut restored = 0;
    for (key, value) in records {
        let now = bucket.get(&key).await?;
        if now.as_ref().is_some_and(|now| now.value == value) {
            restored += 1;
            continue;
        }
        if grows && let Some(now) = &now {
            let then: Standing = serde_json::from_slice(&value).map_err(|_| malformed("a standing can not be read"))?;
            if then.generation <= now.json::<Standing>()?.generation {
                continue;
            }
        }
        bucket.put(&key, value).await?;
        if now.is_some() {
            revoke(bus, spec, &key).await?;
        }
        restored += 1;
    }
    Ok(restored)
}

/// What a user or an API key that is not, or not the same, in the backup holds is refused from now on, also by edges that
/// remember it. A user's next sign-in makes it good again.
async fn revoke(bus: &Bus, spec: &BucketSpec, key: &Key) -> Result<(), StoreError> {
    let kind = match spec.name {
        name if name == USERS.name => "user",
        name if name == API_KEYS.name => "api-key",
        _ => return Ok(()),
    };
    // Keys of more tokens say something else of users.
    let tokens = key.tokens();
    let Some([name]) = tokens.as_deref() else { return Ok(()) };
    let (standings, key) = (bus.bucket(&STANDINGS).await?, Key::of(&[kind, name]));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let least = standings.get_json::<Standing>(&key).await?.map_or(0, |(standing, _)| standing.generation + 1);
    let standing = Standing { generation: u64::try_from(now).unwrap_or(u64::MAX).max(least) };
    standings.put(&key, to_json(&standing)?).await?;
    Ok(())
}
