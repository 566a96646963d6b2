//! The bus and the state over NATS: core request-reply, and JetStream's key-value and object stores. The only place that
//! speaks NATS; it knows no service.
//!
//! | module | what |
//! |---|---|
//! | [`Config`] | servers, TLS, credentials |
//! | `link`, `state` | one connection: asking, proving, what it knows of itself |
//! | `rpc`, `serving` | requests and replies as messages; answering them |
//! | `jetstream`, `feed` | the API's few requests; a stream's messages in order |
//! | `kv`, `objects`, `queue` | buckets, object stores and work queues |
//!
//! A subscription is live when it returns, on the server that this process is connected to; in a cluster the others hear
//! of it within the time that a message takes between them.

mod config;
mod feed;
mod jetstream;
mod kv;
mod link;
mod metrics;
mod objects;
mod queue;
mod rpc;
mod serving;
mod state;

use std::sync::Arc;

use arborgate_contracts::Subject;
use arborgate_contracts::bucket::BucketSpec;
use arborgate_contracts::queue::QueueSpec;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

pub use config::{Config, Credentials, Tls};
pub use metrics::Metrics;

use crate::error::{BusError, RequestError, StoreError};
use crate::objects::Objects;
use crate::queue::Queue;
use crate::store::Bucket;
use crate::transport::{Handler, Meta, Serving, Subscription, Transport};
use jetstream::JetStream;
use link::Link;

/// A connection to NATS as a bus.
pub struct NatsBus {
    link: Arc<Link>,
    replicas: usize,
}

/// Connects to NATS. While no server answers it waits and says so in the log; a server that does not know the
/// credentials, TLS that fails and a configuration that can not work are errors. A process has installed rustls's
/// default provider before.
///
/// # Errors
/// [`BusError::Config`], with the key; [`BusError::Transport`] when the server says no.
pub async fn connect(config: &Config) -> Result<NatsBus, BusError> {
    Ok(NatsBus { link: Link::connect(config).await?, replicas: config.replicas })
}

impl NatsBus {
    /// What it counts; to be registered.
    pub fn metrics(&self) -> &Metrics {
        self.link.metrics()
    }

    fn jetstream(&self) -> JetStream {
        JetStream { link: Arc::clone(&self.link), replicas: self.replicas }
    }
}

#[async_trait]
impl Transport for NatsBus {
    async fn request(&self, subject: &Subject, payload: Bytes, meta: Meta) -> Result<Bytes, RequestError> {
        rpc::request(&self.link, subject, payload, meta).await
    }

    async fn serve(
        &self,
        subject: &Subject,
        group: Option<&str>,
        capacity: usize,
        handler: Arc<dyn Handler>,
    ) -> Result<Serving, BusError> {
        serving::serve(&self.link, subject, group, capacity, handler).await
    }

    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        self.link.publish(subject.as_str(), payload).await
    }

    async fn subscribe(&self, subject: &Subject, capacity: usize) -> Result<Subscription, BusError> {
        serving::subscribe(&self.link, subject, capacity).await
    }

    fn max_payload(&self) -> usize {
        self.link.max_payload()
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.link.state().connected()
    }

    async fn bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        Ok(Bucket::new(Arc::new(kv::Kv::open(self.jetstream(), spec).await?)))
    }

    async fn create_bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        Ok(Bucket::new(Arc::new(kv::Kv::make(self.jetstream(), spec).await?)))
    }

    async fn objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        Ok(Objects::new(Arc::new(objects::ObjectStore::open(self.jetstream(), bucket).await?)))
    }

    async fn create_objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        Ok(Objects::new(Arc::new(objects::ObjectStore::make(self.jetstream(), bucket).await?)))
    }

    async fn queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        Ok(Queue::new(Arc::new(queue::WorkQueue::open(self.jetstream(), spec).await?)))
    }

    async fn create_queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        Ok(Queue::new(Arc::new(queue::WorkQueue::make(self.jetstream(), spec).await?)))
    }

    async fn close(&self) {
        self.link.close().await;
    }
}
