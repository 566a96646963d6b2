//! A bus of one process that fails where a test says so.

use std::sync::Arc;

use arborgate_bus::local::{Config, LocalBus};
use arborgate_bus::{
    Bucket, Bus, BusError, Handler, Meta, Objects, Queue, RequestError, Serving, StoreError, Subscription, Transport,
};
use arborgate_contracts::Subject;
use arborgate_contracts::bucket::BucketSpec;
use arborgate_contracts::queue::QueueSpec;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

/// What is otherwise than it should be; the rest works.
pub trait Faults: Send + Sync + 'static {
    /// Before a subject is served.
    ///
    /// # Errors
    /// As the test says.
    fn serve(&self, _subject: &Subject) -> Result<(), BusError> {
        Ok(())
    }

    /// Of a bucket that was opened, or `made`.
    fn bucket(&self, bucket: Bucket, _made: bool) -> Bucket {
        bucket
    }
}

struct Faulty<F> {
    bus: Arc<LocalBus>,
    faults: Arc<F>,
}

/// A new bus, in memory, with these faults.
///
/// # Errors
/// A thread can not be started.
pub fn bus<F: Faults>(faults: Arc<F>) -> std::io::Result<Bus> {
    let bus = LocalBus::open(Config::default()).map_err(std::io::Error::other)?;
    Ok(Bus::new(Arc::new(Faulty { bus, faults })))
}

#[async_trait]
impl<F: Faults> Transport for Faulty<F> {
    async fn request(&self, subject: &Subject, payload: Bytes, meta: Meta) -> Result<Bytes, RequestError> {
        self.bus.request(subject, payload, meta).await
    }

    async fn serve(
        &self,
        subject: &Subject,
        group: Option<&str>,
        capacity: usize,
        handler: Arc<dyn Handler>,
    ) -> Result<Serving, BusError> {
        self.faults.serve(subject)?;
        self.bus.serve(subject, group, capacity, handler).await
    }

    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        self.bus.publish(subject, payload).await
    }

    async fn subscribe(&self, subject: &Subject, capacity: usize) -> Result<Subscription, BusError> {
        self.bus.subscribe(subject, capacity).await
    }

    fn max_payload(&self) -> usize {
        self.bus.max_payload()
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.bus.connected()
    }

    async fn bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        self.bus.bucket(spec).await.map(|bucket| self.faults.bucket(bucket, false))
    }

    async fn create_bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        self.bus.create_bucket(spec).await.map(|bucket| self.faults.bucket(bucket, true))
    }

    async fn objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        self.bus.objects(bucket).await
    }

    async fn create_objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        self.bus.create_objects(bucket).await
    }

    async fn queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        self.bus.queue(spec).await
    }

    async fn create_queue(&self, spec: &'static QueueSpec) -> Result<Queue, StoreError> {
        self.bus.create_queue(spec).await
    }

    async fn close(&self) {
        self.bus.close().await;
    }
}
