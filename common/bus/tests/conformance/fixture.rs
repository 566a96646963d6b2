//! A bus of each kind, freshly started and empty, and what the cases share.

use std::any::Any;

use arborgate_bus::Bus;
use arborgate_bus::local::{Config, LocalBus};
use arborgate_bus::metrics::Metrics;
use arborgate_contracts::Key;
use arborgate_contracts::bucket::{BucketSpec, Storage};

pub(crate) use crate::nats_fixture::nats;
pub(crate) use crate::shared::{PATIENCE, echo, eventually, handler, soon, subject, within};

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

/// A bucket of values up to 1 KiB that stay.
pub(crate) const fn bucket(name: &'static str) -> BucketSpec {
    BucketSpec { name, storage: Storage::Disk, history: 1, max_age: None, max_value: 1024 }
}

pub(crate) fn key(tokens: &[&str]) -> Key {
    Key::of(tokens)
}
