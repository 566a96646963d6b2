//! A bus of each kind, freshly started and empty, and what the cases share.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::local::{Config, LocalBus};
use arborgate_bus::metrics::Metrics;
use arborgate_bus::{Bus, Handler, Incoming, Meta};
use arborgate_contracts::bucket::{BucketSpec, Storage};
use arborgate_contracts::{Key, ServiceError, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

pub(crate) use crate::nats_fixture::nats;

/// How long anything may take here; a case fails when it is over.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A bus as one process sees it.
pub(crate) struct Connection {
    pub(crate) bus: Bus,
    /// What that process counts.
    pub(crate) metrics: Metrics,
}

/// Two views of one bus: of two processes over NATS, in one process of the same bus twice. Nobody else uses it.
pub(crate) struct Fixture {
    /// Where cases ask.
    pub(crate) one: Connection,
    /// Where cases answer.
    pub(crate) two: Connection,
    /// What must live as long: a folder, a server.
    pub(crate) _keep: Box<dyn Any + Send>,
}

fn local(config: Config, keep: Box<dyn Any + Send>) -> Fixture {
    let local = LocalBus::open(config).unwrap();
    let connect = || Connection { bus: Bus::new(local.clone()), metrics: local.metrics().clone() };
    Fixture { one: connect(), two: connect(), _keep: keep }
}

/// In one process, nothing on disk.
pub(crate) async fn local_memory() -> Fixture {
    local(Config { max_payload: 1 << 20, ..Config::default() }, Box::new(()))
}

/// In one process, state in a folder.
pub(crate) async fn local_disk() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: Some(folder.path().to_owned()), max_payload: 1 << 20 };
    local(config, Box::new(folder))
}

/// A handler from a function.
struct Answer<F>(F);

#[async_trait]
impl<F> Handler for Answer<F>
where
    F: Fn(Incoming) -> BoxFuture<'static, Result<Bytes, ServiceError>> + Send + Sync + 'static,
{
    async fn handle(&self, request: Incoming) -> Result<Bytes, ServiceError> {
        (self.0)(request).await
    }
}

/// Answers by an asynchronous function.
pub(crate) fn handler<F, R>(answer: F) -> Arc<dyn Handler>
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Bytes, ServiceError>> + Send + 'static,
{
    Arc::new(Answer(move |request| -> BoxFuture<'static, _> { Box::pin(answer(request)) }))
}

/// Answers with what was sent.
pub(crate) fn echo() -> Arc<dyn Handler> {
    handler(|request| async move { Ok(request.payload) })
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject::test(&[name])
}

/// Time enough for an answer that comes.
pub(crate) fn soon() -> Meta {
    Meta::within(PATIENCE)
}

/// The future's outcome; the case fails when it does not come.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing happened in time")
}

/// Asks until it is so; the case fails when it does not become so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let becoming = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, becoming).await.is_ok(), "never so: {what}");
}

/// A bucket of values up to 1 KiB that stay.
pub(crate) const fn bucket(name: &'static str) -> BucketSpec {
    BucketSpec { name, storage: Storage::Disk, history: 1, max_age: None, max_value: 1024 }
}

pub(crate) fn key(tokens: &[&str]) -> Key {
    Key::of(tokens)
}
