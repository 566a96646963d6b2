//! A server, a bus on it, and waiting for what must become so.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::nats::{Config, connect};
use arborgate_bus::{Bus, Handler, Incoming, Meta};
use arborgate_contracts::bucket::{BucketSpec, Storage};
use arborgate_contracts::{Key, ServiceError, Subject};
use arborgate_testkit::nats::{NatsOptions, NatsServer};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// How long anything may take here; a test fails when it is over.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A bucket of values up to 1 KiB that stay.
pub(crate) const SPEC: BucketSpec =
    BucketSpec { name: "things", storage: Storage::Disk, history: 1, max_age: None, max_value: 1024 };
pub(crate) static THINGS: BucketSpec = SPEC;

pub(crate) async fn server() -> NatsServer {
    NatsServer::start(NatsOptions::default()).await.unwrap()
}

pub(crate) async fn server_with(config: &str) -> NatsServer {
    NatsServer::start(NatsOptions { config: config.to_owned(), ..NatsOptions::default() }).await.unwrap()
}

pub(crate) fn config(server: &NatsServer) -> Config {
    Config { urls: vec![server.url()], ..Config::default() }
}

pub(crate) async fn bus(server: &NatsServer) -> Bus {
    bus_by(&config(server)).await
}

pub(crate) async fn bus_by(config: &Config) -> Bus {
    Bus::new(Arc::new(within(connect(config)).await.unwrap()))
}

/// Another client of the same server.
pub(crate) async fn stranger(server: &NatsServer) -> async_nats::Client {
    async_nats::connect(server.url()).await.unwrap()
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject::test(&[name])
}

pub(crate) fn key(name: &str) -> Key {
    Key::of(&[name])
}

/// Time enough for an answer that comes.
pub(crate) fn soon() -> Meta {
    Meta::within(PATIENCE)
}

/// So long that whoever waits for it has failed.
pub(crate) fn ages() -> Meta {
    Meta::within(PATIENCE * 10)
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing happened in time")
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let becoming = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, becoming).await.is_ok(), "never so: {what}");
}

pub(crate) async fn until_connected(bus: &Bus, is: bool) {
    within(bus.connected().wait_for(|connected| *connected == is)).await.unwrap();
}

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

pub(crate) fn handler<F, R>(answer: F) -> Arc<dyn Handler>
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Bytes, ServiceError>> + Send + 'static,
{
    Arc::new(Answer(move |request| -> BoxFuture<'static, _> { Box::pin(answer(request)) }))
}

pub(crate) fn echo() -> Arc<dyn Handler> {
    handler(|request| async move { Ok(request.payload) })
}
