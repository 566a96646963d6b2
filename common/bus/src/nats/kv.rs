//! Buckets as JetStream key-value (ADR-8): a stream a bucket, a subject a key, a revision is the stream's sequence.
//! Other clients of NATS key-value read them.

use std::collections::BTreeMap;
use std::time::Duration;

use arborgate_contracts::Key;
use arborgate_contracts::bucket::{BucketSpec, Storage};
use async_nats::HeaderMap;
use async_nats::jetstream::stream;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::feed::{Delivered, Feed, Start};
use super::jetstream::{JetStream, JsError, Stored, deletion, expecting, is_marker};
use super::serving::AbortOnDrop;
use crate::error::StoreError;
use crate::store::{BucketBackend, Change, Entry, Watch};

/// A stream's limit on its messages counts headers too.
const ROOM_FOR_HEADERS: usize = 1024;
/// Changes that wait for the reader of a watch.
const WATCH_BUFFER: usize = 64;
/// How long nothing may come of what must come before the leader is asked again whether it is still there.
const ASK_AGAIN: Duration = Duration::from_millis(250);
const LIST_LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Kv {
    js: JetStream,
    spec: &'static BucketSpec,
    stream: String,
    /// What subjects begin with, the last dot included.
    prefix: String,
}

impl Kv {
    fn new(js: JetStream, spec: &'static BucketSpec) -> Self {
        Self { js, spec, stream: format!("KV_{}", spec.name), prefix: format!("$KV.{}.", spec.name) }
    }

    /// A bucket that is there.
    pub(super) async fn open(js: JetStream, spec: &'static BucketSpec) -> Result<Self, StoreError> {
        let kv = Self::new(js, spec);
        kv.js.info(&kv.stream).await.map_err(kv.failed("opening a bucket"))?;
        Ok(kv)
    }

    /// A bucket that is there, or is made now.
    pub(super) async fn make(js: JetStream, spec: &'static BucketSpec) -> Result<Self, StoreError> {
        let kv = Self::new(js, spec);
        let config = stream::Config {
            name: kv.stream.clone(),
            subjects: vec![format!("{}>", kv.prefix)],
            max_messages_per_subject: i64::from(spec.history.max(1)),
            max_age: spec.max_age.unwrap_or_default(),
            max_message_size: i32::try_from(spec.max_value.saturating_add(ROOM_FOR_HEADERS)).unwrap_or(-1),
            storage: match spec.storage {
                Storage::Memory => stream::StorageType::Memory,
                Storage::Disk => stream::StorageType::File,
            },
            num_replicas: kv.js.replicas,
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..stream::Config::default()
        };
        kv.js.make(config).await.map_err(kv.failed("making a bucket"))?;
        Ok(kv)
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(JsError) -> StoreError {
        let bucket = self.spec.name;
        move |error| error.in_bucket(bucket, what)
    }

    fn subject(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    fn conflict(key: &Key) -> StoreError {
        StoreError::Conflict { key: key.as_str().to_owned() }
    }

    async fn publish(&self, key: &Key, headers: HeaderMap, value: Bytes) -> Result<u64, JsError> {
        self.js.publish(self.subject(key).into(), headers, value).await?.acknowledged().await
    }

    async fn publish_expecting(
        &self,
        key: &Key,
        mut headers: HeaderMap,
        value: Bytes,
        sequence: u64,
    ) -> Result<u64, JsError> {
        expecting(&mut headers, sequence);
        self.publish(key, headers, value).await
    }

    /// What is there by the leader's word, and so never stale.
    async fn last(&self, key: &Key) -> Result<Option<Stored>, JsError> {
        self.js.last(&self.stream, &self.subject(key)).await
    }

    /// Writes a key that is absent or was deleted.
    async fn create(&self, key: &Key, value: Bytes) -> Result<u64, JsError> {
        let first = self.publish_expecting(key, HeaderMap::new(), value.clone(), 0).await;
        let Err(JsError::WrongLast) = first else { return first };
        let last = match self.last(key).await? {
            Some(stored) if !stored.marker => return Err(JsError::WrongLast),
            Some(marker) => marker.sequence,
            // It ran out meanwhile.
            None => 0,
        };
        self.publish_expecting(key, HeaderMap::new(), value, last).await
    }

    fn written(&self, key: &Key, size: usize, outcome: Result<u64, JsError>) -> Result<u64, StoreError> {
        outcome.map_err(|error| match error {
            JsError::WrongLast => Self::conflict(key),
            JsError::TooLarge => self.too_large(size),
            other => other.in_bucket(self.spec.name, "writing to a bucket"),
        })
    }

    fn too_large(&self, size: usize) -> StoreError {
        StoreError::TooLarge { size, limit: self.spec.max_value, bucket: self.spec.name.to_owned() }
    }

    /// The subjects of a key and of what is below it, or of all.
    fn subjects(&self, prefix: Option<&Key>) -> Vec<String> {
        match prefix {
            None => vec![format!("{}>", self.prefix)],
            Some(key) => vec![self.subject(key), format!("{}.>", self.subject(key))],
        }
    }

    async fn follow(&self, prefix: Option<&Key>, start: Start) -> Result<Following, JsError> {
        let (feed, revision) = Feed::open(&self.js, &self.stream, self.subjects(prefix), start).await?;
        let newest = feed.leader().newest().await?;
        Ok(Following { feed, prefix: self.prefix.clone(), revision, newest: Some(newest) })
    }
}

#[async_trait]
impl BucketBackend for Kv {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let stored = self.js.last_anywhere(&self.stream, &self.subject(key)).await;
        let stored = stored.map_err(self.failed("reading from a bucket"))?;
        Ok(stored.filter(|stored| !stored.marker).map(|stored| Entry {
            key: key.clone(),
            value: stored.payload,
            revision: stored.sequence,
        }))
    }

    async fn write(&self, key: &Key, value: Bytes, expected: Option<u64>) -> Result<u64, StoreError> {
        let size = value.len();
        if size > self.spec.max_value {
            return Err(self.too_large(size));
        }
        let outcome = match expected {
            None => self.publish(key, HeaderMap::new(), value).await,
            Some(0) => self.create(key, value).await,
            Some(revision) => self.publish_expecting(key, HeaderMap::new(), value, revision).await,
        };
        self.written(key, size, outcome)
    }

    async fn delete(&self, key: &Key, expected: Option<u64>) -> Result<(), StoreError> {
        let last = self.last(key).await.map_err(self.failed("deleting from a bucket"))?;
        let Some(last) = last.filter(|stored| !stored.marker) else { return Ok(()) };
        let outcome = match expected {
            None => self.publish(key, deletion(), Bytes::new()).await,
            Some(revision) if revision != last.sequence => return Err(Self::conflict(key)),
            Some(revision) => self.publish_expecting(key, deletion(), Bytes::new(), revision).await,
        };
        self.written(key, 0, outcome).map(drop)
    }

    async fn list(&self, prefix: Option<&Key>) -> Result<Vec<Entry>, StoreError> {
        const WHAT: &str = "listing a bucket";
        let all = async {
            let mut following = self.follow(prefix, Start::Newest).await?;
            let mut entries = BTreeMap::new();
            loop {
                match following.next().await? {
                    Change::Put(entry) => {
                        entries.insert(entry.key.clone(), entry);
                    }
                    Change::Deleted { key, .. } => {
                        entries.remove(&key);
                    }
                    Change::Current { .. } => return Ok::<_, JsError>(entries.into_values().collect()),
                }
            }
        };
        let listed = timeout(LIST_LIMIT, all).await.unwrap_or(Err(JsError::Timeout));
        listed.map_err(self.failed(WHAT))
    }

    async fn watch(&self, prefix: Option<&Key>, after: Option<u64>) -> Result<Watch, StoreError> {
        const WHAT: &str = "watching a bucket";
        let start = after.map_or(Start::Newest, Start::After);
        let mut following = self.follow(prefix, start).await.map_err(self.failed(WHAT))?;
        let old = if after.is_none() { following.revision } else { 0 };
        let (sender, receiver) = mpsc::channel(WATCH_BUFFER);
        let bucket = self.spec.name;
        let task = tokio::spawn(async move {
            loop {
                let change = following.next().await;
                // What was deleted before the watch began is not there and never was.
                if matches!(change, Ok(Change::Deleted { revision, .. }) if revision <= old) {
                    continue;
                }
                let over = change.is_err();
                let sent = sender.send(change.map_err(|error| error.in_bucket(bucket, WHAT))).await;
                if over || sent.is_err() {
                    return;
                }
            }
        });
        Ok(Watch::new(receiver, Box::new(AbortOnDrop(task.abort_handle()))))
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        let info = self.js.info(&self.stream).await.map_err(self.failed("asking for a bucket's revision"))?;
        Ok(info.state.last_seq)
    }
}

/// A feed as changes, with the moment in which all that was there has been seen.
struct Following {
    feed: Feed,
    prefix: String,
    /// The bucket's newest when it began.
    revision: u64,
    /// Of what the feed has to deliver, the newest there is; `None` once that was seen. Not the consumer's count of what
    /// is pending: it may be a server's that lags behind the leader.
    newest: Option<u64>,
}

impl Following {
    async fn next(&mut self) -> Result<Change, JsError> {
        loop {
            let delivered = match self.newest {
                None => self.feed.next().await?,
                Some(newest) => match self.next_until(newest).await? {
                    Some(delivered) => delivered,
                    None => {
                        self.newest = None;
                        return Ok(Change::Current { revision: self.revision.max(self.feed.seen()) });
                    }
                },
            };
            if let Some(change) = self.change(delivered) {
                return Ok(change);
            }
        }
    }

    /// The next message; `None` when all up to `newest` was seen.
    async fn next_until(&mut self, newest: u64) -> Result<Option<Delivered>, JsError> {
        let seen = self.feed.seen();
        if seen >= newest {
            return Ok(None);
        }
        let leader = self.feed.leader();
        let mut next = std::pin::pin!(self.feed.next());
        loop {
            match timeout(ASK_AGAIN, &mut next).await {
                Ok(delivered) => return delivered.map(Some),
                // It may have run out before it was delivered.
                Err(_) => match leader.newest().await {
                    Ok(newest) if seen >= newest => return Ok(None),
                    Ok(_) => {}
                    Err(JsError::NoStream) => return Err(JsError::NoStream),
                    // The feed waits for the connection, too.
                    Err(error) => tracing::debug!(%error, "a bucket's leader can not be asked now"),
                },
            }
        }
    }

    fn change(&self, delivered: Delivered) -> Option<Change> {
        let key = delivered.subject.as_str().strip_prefix(&self.prefix).and_then(Key::from_stored);
        let Some(key) = key else {
            tracing::warn!(revision = delivered.sequence, "a bucket holds a key that Arborgate did not write");
            return None;
        };
        let revision = delivered.sequence;
        Some(if is_marker(delivered.headers.as_ref()) {
            Change::Deleted { key, revision }
        } else {
            Change::Put(Entry { key, value: delivered.payload, revision })
        })
    }
}
