//! A bus that fails where the service must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arborgate_bus::local::{Config, LocalBus};
use arborgate_bus::{
    Bucket, Bus, BusError, Handler, Meta, Objects, RequestError, Serving, StoreError, Subscription, Transport,
};
use arborgate_contracts::Subject;
use arborgate_contracts::bucket::BucketSpec;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::support::*;

/// Serves predictions of a version only after so many tries, which panic or fail.
struct Faulty {
    bus: Arc<LocalBus>,
    subject: Subject,
    faults: AtomicUsize,
    panics: bool,
}

#[async_trait]
impl Transport for Faulty {
    async fn serve(
        &self,
        subject: &Subject,
        group: Option<&str>,
        capacity: usize,
        handler: Arc<dyn Handler>,
    ) -> Result<Serving, BusError> {
        let left = self.faults.load(Ordering::Relaxed);
        if *subject == self.subject && left > 0 {
            self.faults.store(left - 1, Ordering::Relaxed);
            assert!(!self.panics, "as asked");
            return Err(BusError::Closed);
        }
        self.bus.serve(subject, group, capacity, handler).await
    }
    async fn request(&self, subject: &Subject, payload: Bytes, meta: Meta) -> Result<Bytes, RequestError> {
        self.bus.request(subject, payload, meta).await
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
        self.bus.bucket(spec).await
    }
    async fn create_bucket(&self, spec: &'static BucketSpec) -> Result<Bucket, StoreError> {
        self.bus.create_bucket(spec).await
    }
    async fn objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        self.bus.objects(bucket).await
    }
    async fn create_objects(&self, bucket: &'static str) -> Result<Objects, StoreError> {
        self.bus.create_objects(bucket).await
    }
    async fn close(&self) {
        self.bus.close().await;
    }
}

async fn served_after(faults: usize, panics: bool) {
    let subject = Subject::predict(&name("iris"), &version("1"));
    let faulty = Faulty { bus: LocalBus::open(Config::default()).unwrap(), subject, faults: faults.into(), panics };
    let faulty = Arc::new(faulty);
    let system = System::on(Bus::new(faulty.clone())).await;
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    worker.holds(|holds| !holds.is_empty()).await;
    assert_eq!(faulty.faults.load(Ordering::Relaxed), 0);
    let answer = system.predict("iris", "1", &setosa()).await.unwrap();
    assert_eq!(answer.labels, [0]);
}

#[tokio::test]
async fn a_model_whose_subject_can_not_be_served_is_tried_again() {
    served_after(1, false).await;
}

#[tokio::test]
async fn a_model_whose_actor_panics_is_loaded_anew() {
    served_after(2, true).await;
}

/// More panics than an actor survives: another takes its place.
#[tokio::test]
async fn a_model_whose_actor_is_gone_gets_another() {
    served_after(8, true).await;
}
