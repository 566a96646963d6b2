//! A server, a bus on it, and waiting for what must become so.

use std::sync::Arc;

use arborgate_bus::nats::{Config, connect};
use arborgate_bus::{Bus, Meta};
use arborgate_contracts::Key;
use arborgate_contracts::bucket::{BucketSpec, Storage};
use arborgate_testkit::nats::{NatsOptions, NatsServer};

pub(crate) use crate::shared::{PATIENCE, echo, eventually, handler, soon, subject, within};

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

pub(crate) fn key(name: &str) -> Key {
    Key::of(&[name])
}

/// So long that whoever waits for it has failed.
pub(crate) fn ages() -> Meta {
    Meta::within(PATIENCE * 10)
}

pub(crate) async fn until_connected(bus: &Bus, is: bool) {
    within(bus.connected().wait_for(|connected| *connected == is)).await.unwrap();
}
