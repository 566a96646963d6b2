//! Two connections to a nats-server of their own, as two processes have.

use arborgate_bus::Bus;
use arborgate_bus::nats::{Config, connect};
use arborgate_testkit::nats::{NatsOptions, NatsServer};
use std::sync::Arc;

use crate::fixture::{Connection, Fixture};

async fn connection(server: &NatsServer) -> Connection {
    let config = Config { urls: vec![server.url()], ..Config::default() };
    let bus = connect(&config).await.unwrap();
    let metrics = bus.metrics().bus.clone();
    Connection { bus: Bus::new(Arc::new(bus)), metrics }
}

/// Over NATS.
pub(crate) async fn nats() -> Fixture {
    let server = NatsServer::start(NatsOptions::default()).await.unwrap();
    Fixture { one: connection(&server).await, two: connection(&server).await, _keep: Box::new(server) }
}
