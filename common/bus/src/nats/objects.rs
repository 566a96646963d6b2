//! The object store as JetStream's (ADR-20): chunks below one subject, what is said of them at another. Other clients of
//! NATS object stores read them. Not async-nats's own: that leaves the chunks of what failed, and of what two writers
//! wrote at once, and waits for each chunk to be stored before it sends the next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use async_nats::header::NATS_ROLLUP;
use async_nats::jetstream::object_store::{ObjectInfo as Meta, ObjectOptions};
use async_nats::jetstream::stream;
use async_nats::{HeaderMap, Subject};
use async_trait::async_trait;
use aws_lc_rs::digest::{Context, Digest, SHA256};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE as BASE64, URL_SAFE_NO_PAD as BASE64_BARE};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

use super::feed::{Feed, Start};
use super::jetstream::{JetStream, JsError, Published, expecting};
use crate::error::StoreError;
use crate::objects::{ObjectInfo, ObjectReader, ObjectStream, ObjectsBackend};

const CHUNK: usize = 128 << 10;
/// Chunks that were sent and are not stored yet.
const UNDER_WAY: usize = 16;
/// Chunks read that wait for the reader.
const READ_AHEAD: usize = 8;
/// How often another writer may come between reading what is there and replacing it.
const TRIES: usize = 16;
/// How long chunks may stay away before it is asked whether the object is still the same.
const PATIENCE: Duration = Duration::from_secs(2);
const LIST_LIMIT: Duration = Duration::from_secs(30);
const PURGE_TRIES: usize = 3;
const DIGEST: &str = "SHA-256=";

#[derive(Clone)]
pub(super) struct ObjectStore {
    js: JetStream,
    bucket: &'static str,
    stream: String,
}

impl ObjectStore {
    fn new(js: JetStream, bucket: &'static str) -> Self {
        Self { js, bucket, stream: format!("OBJ_{bucket}") }
    }

    /// A store that is there.
    pub(super) async fn open(js: JetStream, bucket: &'static str) -> Result<Self, StoreError> {
        let store = Self::new(js, bucket);
        store.js.info(&store.stream).await.map_err(store.failed("opening an object store"))?;
        Ok(store)
    }

    /// A store that is there, or is made now.
    pub(super) async fn make(js: JetStream, bucket: &'static str) -> Result<Self, StoreError> {
        let store = Self::new(js, bucket);
        let config = stream::Config {
            name: store.stream.clone(),
            subjects: vec![format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")],
            storage: stream::StorageType::File,
            num_replicas: store.js.replicas,
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            allow_direct: true,
            ..stream::Config::default()
        };
        store.js.make(config).await.map_err(store.failed("making an object store"))?;
        Ok(store)
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(JsError) -> StoreError {
        let bucket = self.bucket;
        move |error| error.in_bucket(bucket, what)
    }

    fn chunks(&self, nuid: &str) -> String {
        format!("$O.{}.C.{nuid}", self.bucket)
    }

    fn meta_subject(&self, name: &str) -> String {
        format!("$O.{}.M.{}", self.bucket, BASE64.encode(name))
    }

    /// What the leader knows of an object, and the sequence of that (0: nothing); `None` when it is not there.
    async fn meta(&self, name: &str) -> Result<(Option<Meta>, u64), JsError> {
        let Some(stored) = self.js.last(&self.stream, &self.meta_subject(name)).await? else { return Ok((None, 0)) };
        let meta: Meta = serde_json::from_slice(&stored.payload).map_err(JsError::Unreadable)?;
        Ok(((!meta.deleted).then_some(meta), stored.sequence))
    }

    /// Replaces what is known of an object, and removes the chunks of what it replaces. `None`: deletes it.
    async fn replace(&self, name: &str, new: Option<&Meta>) -> Result<(), JsError> {
        for _ in 0..TRIES {
            let (old, sequence) = self.meta(name).await?;
            let meta = match (new, &old) {
                (Some(new), _) => new.clone(),
                (None, Some(old)) => Meta { deleted: true, size: 0, chunks: 0, digest: None, ..old.clone() },
                (None, None) => return Ok(()),
            };
            let mut headers = HeaderMap::new();
            headers.insert(NATS_ROLLUP, "sub");
            expecting(&mut headers, sequence);
            let body = serde_json::to_vec(&meta).map_err(JsError::Unreadable)?;
            match self.js.publish(self.meta_subject(name).into(), headers, body.into()).await?.acknowledged().await {
                Ok(sequence) => {
                    // In a task of its own, for the caller may give up.
                    let (store, marker) = (self.clone(), new.is_none().then(|| (self.meta_subject(name), sequence)));
                    let clearing = tokio::spawn(async move {
                        if let Some(old) = old {
                            store.purge(&old.nuid).await;
                        }
                        if let Some((subject, sequence)) = marker {
                            store.forget(&subject, sequence).await;
                        }
                    });
                    let _ = clearing.await;
                    return Ok(());
                }
                Err(JsError::WrongLast) => {}
                Err(error) => return Err(error),
            }
        }
        Err(JsError::Stream("too many others write the same object"))
    }

    /// Removes chunks that nothing leads to any more. When that fails they take room, and nothing else.
    async fn purge(&self, nuid: &str) {
        for _ in 0..PURGE_TRIES {
            match self.js.purge(&self.stream, &self.chunks(nuid)).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, bucket = self.bucket, "chunks of an object can not be removed"),
            }
        }
    }

    /// Removes what says that an object was deleted: of names that are used once there would be ever more of it. What was
    /// put since then is later in the stream, and stays.
    async fn forget(&self, subject: &str, sequence: u64) {
        if let Err(error) = self.js.purge_up_to(&self.stream, subject, sequence).await {
            tracing::debug!(%error, bucket = self.bucket, "the marker of a deleted object stays");
        }
    }

    fn info(meta: &Meta) -> Result<ObjectInfo, JsError> {
        let digest = meta.digest.as_deref().and_then(|digest| digest.strip_prefix(DIGEST));
        let digest = digest.and_then(|text| BASE64_BARE.decode(text.trim_end_matches('=')).ok());
        let digest = digest.ok_or(JsError::Stream("an object is stored without its SHA-256"))?;
        Ok(ObjectInfo { name: meta.name.clone(), size: meta.size as u64, digest: hex::encode(digest) })
    }
}

/// Chunks that are being stored and that nothing leads to yet. Dropped as such, also when the caller gave up on the way,
/// they are removed.
struct Storing {
    store: ObjectStore,
    nuid: Option<String>,
    subject: Subject,
    under_way: VecDeque<Published>,
    digest: Context,
    size: u64,
    chunks: usize,
}

impl Drop for Storing {
    fn drop(&mut self) {
        if let (Some(nuid), Ok(runtime)) = (self.nuid.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(discard(self.store.clone(), nuid, std::mem::take(&mut self.under_way)));
        }
    }
}

/// Removes chunks once all are there: the server may purge before it stores what was sent before.
async fn discard(store: ObjectStore, nuid: String, under_way: VecDeque<Published>) {
    for chunk in under_way {
        // One that was not stored need not be removed.
        let _ = chunk.acknowledged().await;
    }
    store.purge(&nuid).await;
}

impl Storing {
    fn new(store: &ObjectStore) -> Self {
        let nuid = store.js.link.client.new_inbox().rsplit('.').next().unwrap_or_default().to_owned();
        Self {
            store: store.clone(),
            subject: store.chunks(&nuid).into(),
            nuid: Some(nuid),
            under_way: VecDeque::with_capacity(UNDER_WAY),
            digest: Context::new(&SHA256),
            size: 0,
            chunks: 0,
        }
    }

    /// Removes what was stored, and returns when it is gone.
    async fn undo(mut self) {
        if let Some(nuid) = self.nuid.take() {
            discard(self.store.clone(), nuid, std::mem::take(&mut self.under_way)).await;
        }
    }

    async fn send_all(&mut self, mut content: ObjectStream) -> Result<(), StoreError> {
        let bucket = self.store.bucket;
        let failed = |error: JsError| error.in_bucket(bucket, "storing an object");
        let size = CHUNK.min(self.store.js.link.max_payload()).max(1);
        let mut gathered = BytesMut::with_capacity(size);
        while let Some(piece) = content.next().await {
            let mut piece = piece.map_err(StoreError::Input)?;
            while !piece.is_empty() {
                let fits = piece.len().min(size - gathered.len());
                gathered.extend_from_slice(&piece.split_to(fits));
                if gathered.len() == size {
                    self.send(gathered.split().freeze()).await.map_err(failed)?;
                    gathered.reserve(size);
                }
            }
        }
        if !gathered.is_empty() {
            self.send(gathered.freeze()).await.map_err(failed)?;
        }
        while !self.under_way.is_empty() {
            self.first_is_stored().await.map_err(failed)?;
        }
        Ok(())
    }

    async fn send(&mut self, chunk: Bytes) -> Result<(), JsError> {
        if self.under_way.len() >= UNDER_WAY {
            self.first_is_stored().await?;
        }
        self.digest.update(&chunk);
        self.size += chunk.len() as u64;
        self.chunks += 1;
        self.under_way.push_back(self.store.js.publish(self.subject.clone(), HeaderMap::new(), chunk).await?);
        Ok(())
    }

    async fn first_is_stored(&mut self) -> Result<(), JsError> {
        match self.under_way.pop_front() {
            Some(first) => first.acknowledged().await.map(drop),
            None => Ok(()),
        }
    }

    /// What is said of the object, now that all its chunks are stored, and its digest.
    fn meta(&self, name: &str) -> (Meta, Digest) {
        let digest = self.digest.clone().finish();
        let meta = Meta {
            name: name.to_owned(),
            description: None,
            metadata: HashMap::new(),
            headers: None,
            options: Some(ObjectOptions { link: None, max_chunk_size: Some(CHUNK) }),
            bucket: self.store.bucket.to_owned(),
            nuid: self.nuid.clone().unwrap_or_default(),
            size: usize::try_from(self.size).unwrap_or(usize::MAX),
            chunks: self.chunks,
            modified: Some(async_nats::datetime::now()),
            digest: Some(format!("{DIGEST}{}", BASE64.encode(digest))),
            deleted: false,
        };
        (meta, digest)
    }
}

/// Reads the chunks of one object into a channel, and checks what it read.
struct Receiver {
    store: ObjectStore,
    feed: Feed,
    meta: Meta,
    expected: String,
    digest: Context,
    size: u64,
}

impl Receiver {
    async fn run(mut self, sender: mpsc::Sender<std::io::Result<Bytes>>) {
        while self.size < self.meta.size as u64 {
            let chunk = self.chunk().await;
            let over = chunk.is_err();
            if sender.send(chunk).await.is_err() || over {
                return;
            }
        }
        if hex::encode(self.digest.finish()) != self.expected {
            // Whoever reads may be gone.
            let _ = sender.send(Err(damaged(&self.meta.name))).await;
        }
    }

    async fn chunk(&mut self) -> std::io::Result<Bytes> {
        loop {
            match timeout(PATIENCE, self.feed.next()).await {
                Ok(Ok(delivered)) => {
                    self.size += delivered.payload.len() as u64;
                    if self.size > self.meta.size as u64 {
                        return Err(damaged(&self.meta.name));
                    }
                    self.digest.update(&delivered.payload);
                    return Ok(delivered.payload);
                }
                Ok(Err(error)) => return Err(std::io::Error::other(error)),
                Err(_) => self.still_there().await?,
            }
        }
    }

    /// Whether what is read can still come whole.
    async fn still_there(&self) -> std::io::Result<()> {
        let name = &self.meta.name;
        let (meta, _) = self.store.meta(name).await.map_err(std::io::Error::other)?;
        if meta.is_none_or(|meta| meta.nuid != self.meta.nuid) {
            return Err(std::io::Error::other(format!("object {name} was replaced or deleted while it was read")));
        }
        let newest = self.feed.leader().newest().await.map_err(std::io::Error::other)?;
        if newest <= self.feed.seen() { Err(damaged(name)) } else { Ok(()) }
    }
}

fn damaged(name: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, StoreError::Damaged { name: name.to_owned() })
}

#[async_trait]
impl ObjectsBackend for ObjectStore {
    async fn put(&self, name: &str, content: ObjectStream) -> Result<ObjectInfo, StoreError> {
        let mut storing = Storing::new(self);
        if let Err(error) = storing.send_all(content).await {
            storing.undo().await;
            return Err(error);
        }
        let (meta, digest) = storing.meta(name);
        // From here on it may be the object, whatever becomes of this call.
        let nuid = storing.nuid.take();
        if let Err(error) = self.replace(name, Some(&meta)).await {
            if !error.may_be_done() {
                storing.nuid = nuid;
                storing.undo().await;
            }
            return Err(error.in_bucket(self.bucket, "storing an object"));
        }
        Ok(ObjectInfo { name: name.to_owned(), size: storing.size, digest: hex::encode(digest) })
    }

    async fn get(&self, name: &str) -> Result<ObjectReader, StoreError> {
        let what = "reading an object";
        let (meta, _) = self.meta(name).await.map_err(self.failed(what))?;
        let meta = meta.ok_or_else(|| StoreError::NoObject { name: name.to_owned() })?;
        let info = Self::info(&meta).map_err(self.failed(what))?;
        let chunks = vec![self.chunks(&meta.nuid)];
        let (feed, _) = Feed::open(&self.js, &self.stream, chunks, Start::After(0)).await.map_err(self.failed(what))?;
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let expected = info.digest.clone();
        let receiving = Receiver { store: self.clone(), feed, meta, expected, digest: Context::new(&SHA256), size: 0 };
        // It ends when the reader is dropped: nobody takes the next chunk.
        tokio::spawn(receiving.run(sender));
        Ok(ObjectReader { info, reader: Box::pin(StreamReader::new(ReceiverStream::new(receiver))) })
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.replace(name, None).await.map_err(self.failed("deleting an object"))
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, StoreError> {
        let all = async {
            let subjects = vec![format!("$O.{}.M.>", self.bucket)];
            let (mut feed, _) = Feed::open(&self.js, &self.stream, subjects, Start::Newest).await?;
            let mut newest = feed.leader().newest().await?;
            let mut found = BTreeMap::new();
            while feed.seen() < newest {
                let Ok(delivered) = timeout(PATIENCE, feed.next()).await else {
                    newest = feed.leader().newest().await?;
                    continue;
                };
                let meta: Meta = serde_json::from_slice(&delivered?.payload).map_err(JsError::Unreadable)?;
                if meta.deleted {
                    found.remove(&meta.name);
                } else {
                    found.insert(meta.name.clone(), Self::info(&meta)?);
                }
            }
            Ok::<_, JsError>(found.into_values().collect())
        };
        let listed = timeout(LIST_LIMIT, all).await.unwrap_or(Err(JsError::Timeout));
        listed.map_err(self.failed("listing objects"))
    }
}
