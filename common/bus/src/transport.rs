//! Request-reply, publish and subscribe: what both kinds of bus do.

use std::sync::Arc;
use std::time::Duration;

use arborgate_contracts::bucket::BucketSpec;
use arborgate_contracts::queue::QueueSpec;
use arborgate_contracts::{Deadline, ServiceError, Subject, TraceContext};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::error::{BusError, RequestError, StoreError};
use crate::objects::Objects;
use crate::queue::Queue;
use crate::store::Bucket;

/// What every request carries beside its payload.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// When no answer is wanted any more.
    pub deadline: Deadline,
    /// Of whom it is done.
    pub trace: Option<TraceContext>,
}

impl Meta {
    /// A deadline and no trace.
    pub fn within(left: Duration) -> Self {
        Self { deadline: Deadline::after(left), trace: None }
    }
}

/// A request as it reaches its handler.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// As sent.
    pub payload: Bytes,
    /// As sent; the deadline is never in the past when the handler is called.
    pub meta: Meta,
}

/// Answers requests on a subject. Called concurrently, up to the capacity it is served with; the future is dropped when
/// the deadline passes, and, in one process, when the caller goes away.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// The answer, or an error that the caller receives as [`RequestError::Service`].
    async fn handle(&self, request: Incoming) -> Result<Bytes, ServiceError>;
}

/// What ends a subscription of a [`Serving`]; implemented by each kind of bus.
#[async_trait]
pub trait ServingGuard: Send + Sync {
    /// Takes no more requests, and waits until those under way are answered or `grace` is over.
    async fn drain(&self, grace: Duration);
    /// Takes no more requests and forgets those under way.
    fn stop(&self);
}

/// A live subscription that answers requests. Dropped, it stops at once.
pub struct Serving(Arc<dyn ServingGuard>);

impl Serving {
    /// For implementations of [`Transport`].
    pub fn new(guard: Arc<dyn ServingGuard>) -> Self {
        Self(guard)
    }

    /// Takes no more requests, and waits until those under way are answered or `grace` is over.
    pub async fn drain(self, grace: Duration) {
        self.0.drain(grace).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Messages published on a subject. When its buffer is full, new messages are dropped and counted.
pub struct Subscription {
    receiver: mpsc::Receiver<Bytes>,
    _guard: Box<dyn std::any::Any + Send + Sync>,
}

impl Subscription {
    /// For implementations of [`Transport`]: `guard` ends the subscription when dropped.
    pub fn new(receiver: mpsc::Receiver<Bytes>, guard: Box<dyn std::any::Any + Send + Sync>) -> Self {
        Self { receiver, _guard: guard }
    }

    /// The next message; `None` when the bus is closed.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.receiver.recv().await
    }
}

/// A kind of bus. Its users hold a [`Bus`].
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// See [`Bus::request`].
    async fn request(&self, subject: &Subject, payload: Bytes, meta: Meta) -> Result<Bytes, RequestError>;
    /// See [`Bus::serve`].
    async fn serve(
        &self,
        subject: &Subject,
        group: Option<&str>,
        capacity: usize,
        handler: Arc<dyn Handler>,
    ) -> Result<Serving, BusError>;
    /// See [`Bus::publish`].
    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError>;
    /// See [`Bus::subscribe`].
    async fn subscribe(&self, subject: &Subject, capacity: usize) -> Result<Subscription, BusError>;
    /// See [`Bus::max_payload`].
    fn max_payload(&self) -> usize;
    /// See [`Bus::connected`].
    fn connected(&self) -> watch::Receiver<bool>;
    /// See [`Bus::bucket`].
    async fn bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError>;
    /// See [`Bus::create_bucket`].
    async fn create_bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError>;
    /// See [`Bus::objects`].
    async fn objects(&self, bucket: &'static str) -> Result<Objects, StoreError>;
    /// See [`Bus::create_objects`].
    async fn create_objects(&self, bucket: &'static str) -> Result<Objects, StoreError>;
    /// See [`Bus::queue`].
    async fn queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError>;
    /// See [`Bus::create_queue`].
    async fn create_queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError>;
    /// See [`Bus::close`].
    async fn close(&self);
}

/// The bus and the state behind it. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<dyn Transport>);

impl Bus {
    /// A bus of some kind.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self(transport)
    }

    /// Asks once and waits for the reply until the deadline.
    pub async fn request(&self, subject: &Subject, payload: Bytes, meta: Meta) -> Result<Bytes, RequestError> {
        self.0.request(subject, payload, meta).await
    }

    /// Answers requests on a subject, at most `capacity` at a time; more are refused as [`RequestError::Full`] and
    /// counted. Of the members of a queue group one gets each request. Returns when the subscription is live: a request
    /// sent afterwards by anyone reaches it.
    pub async fn serve(
        &self,
        subject: &Subject,
        group: Option<&str>,
        capacity: usize,
        handler: Arc<dyn Handler>,
    ) -> Result<Serving, BusError> {
        self.0.serve(subject, group, capacity, handler).await
    }

    /// Sends to whoever subscribes; nobody need.
    pub async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        self.0.publish(subject, payload).await
    }

    /// Hears what is published on a subject, buffering at most `capacity`. Returns when the subscription is live.
    pub async fn subscribe(&self, subject: &Subject, capacity: usize) -> Result<Subscription, BusError> {
        self.0.subscribe(subject, capacity).await
    }

    /// The largest payload, in bytes.
    pub fn max_payload(&self) -> usize {
        self.0.max_payload()
    }

    /// Whether the bus is connected; changes are seen.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.0.connected()
    }

    /// Opens a bucket that was made before; [`StoreError::NoBucket`] when it was not.
    pub async fn bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        self.0.bucket(spec).await
    }

    /// Opens a bucket and makes it when it is not there. Only a first start does that.
    pub async fn create_bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        self.0.create_bucket(spec).await
    }

    /// Opens an object store that was made before.
    pub async fn objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        self.0.objects(bucket).await
    }

    /// Opens an object store and makes it when it is not there.
    pub async fn create_objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        self.0.create_objects(bucket).await
    }

    /// Opens a work queue that was made before.
    pub async fn queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        self.0.queue(spec).await
    }

    /// Opens a work queue and makes it when it is not there.
    pub async fn create_queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        self.0.create_queue(spec).await
    }

    /// Sends what is buffered and closes. Requests under way fail with [`BusError::Closed`].
    pub async fn close(&self) {
        self.0.close().await;
    }
}
