//! The bus and the state inside one process. A request runs its handler in the caller's own task; state lives in memory
//! and, given a folder, in one redb file and a folder of artifacts beside it.

mod bucket;
mod contents;
mod disk;
mod objects;
mod open;
mod queue;
mod queue_file;
mod requests;
mod state;
mod topics;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use arborgate_contracts::Subject;
use arborgate_contracts::bucket::BucketSpec;
use arborgate_contracts::queue::QueueSpec;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

pub use self::disk::STATE_FILE;
pub use self::open::OpenError;
use self::requests::Requests;
use self::state::State;
use self::topics::Topics;
use crate::error::{BusError, RequestError, StoreError};
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::queue::Queue;
use crate::store::Bucket;
use crate::transport::{Handler, Meta, Serving, Subscription, Transport};

/// What a bus in one process needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the state, made when it is not there; nothing else may use it. `None`: everything is in memory and
    /// gone with the process.
    pub data_dir: Option<PathBuf>,
    /// The largest payload, in bytes; 8 MiB by default.
    pub max_payload: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { data_dir: None, max_payload: 8 << 20 }
    }
}

/// A bus in one process. [`crate::Bus::new`] makes it a bus like any other.
pub struct LocalBus {
    requests: Arc<Requests>,
    topics: Arc<Topics>,
    state: Arc<State>,
    metrics: Metrics,
    max_payload: usize,
    connected: watch::Sender<bool>,
}

impl LocalBus {
    /// Opens the state and starts its writer, a thread of its own. Reads the whole file: not for an async task.
    pub fn open(config: Config) -> Result<Arc<Self>, OpenError> {
        let metrics = Metrics::default();
        Ok(Arc::new(Self {
            requests: Arc::new(Requests::new(config.max_payload, metrics.full.clone())),
            topics: Arc::new(Topics::new(metrics.dropped.clone())),
            state: Arc::new(State::open(config.data_dir, metrics.writes_full.clone())?),
            metrics,
            max_payload: config.max_payload,
            connected: watch::Sender::new(true),
        }))
    }

    /// What this bus counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

#[async_trait]
impl Transport for LocalBus {
    async fn request(&self, subject: &Subject, payload: Bytes, meta: Meta) -> Result<Bytes, RequestError> {
        self.requests.request(subject, payload, meta).await
    }

    /// All members of a subject are one group here, whatever its name: each request goes to one of them.
    async fn serve(
        &self,
        subject: &Subject,
        _group: Option<&str>,
        capacity: usize,
        handler: Arc<dyn Handler>,
    ) -> Result<Serving, BusError> {
        self.requests.serve(subject, capacity, handler)
    }

    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        if payload.len() > self.max_payload {
            let error = RequestError::TooLarge { size: payload.len(), limit: self.max_payload };
            return Err(BusError::transport("publishing")(Box::new(error)));
        }
        self.topics.publish(subject, &payload)
    }

    async fn subscribe(&self, subject: &Subject, capacity: usize) -> Result<Subscription, BusError> {
        self.topics.subscribe(subject, capacity)
    }

    fn max_payload(&self) -> usize {
        self.max_payload
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    async fn bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        self.state.bucket(spec)
    }

    async fn create_bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        self.state.create_bucket(spec).await
    }

    async fn objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        self.state.objects(bucket)
    }

    async fn create_objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        self.state.create_objects(bucket).await
    }

    async fn queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        self.state.queue(spec)
    }

    async fn create_queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        self.state.create_queue(spec).await
    }

    async fn close(&self) {
        self.requests.close();
        self.topics.close();
        self.connected.send_replace(false);
        self.state.close().await;
    }
}
