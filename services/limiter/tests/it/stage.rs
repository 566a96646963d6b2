//! Replicas on one bus, a clock that only tests move, and a transport whose buckets fail on demand.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arborgate_bus::{
    Bucket, BucketBackend, Bus, CallError, Client, Directory, Entry, Meta, RequestError, StoreError, Watch,
};
use arborgate_contracts::bucket::LIMITS;
use arborgate_contracts::limiter::{Borrow, Decide, Decision, Limit, Loan, Returned};
use arborgate_contracts::{ErrorCode, InstanceId, Key, RequestId, Service, ServiceError, Subject};
use arborgate_limiter::{Config, Running, start_with_clock};
use arborgate_runtime::config::HumanDuration;
use arborgate_testkit::faulty;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

/// A deadline that no passing test reaches.
pub(crate) const LONG: Duration = Duration::from_secs(60);
pub(crate) const MINUTE: u64 = 60_000;

pub(crate) struct Stage {
    pub(crate) bus: Bus,
    pub(crate) faults: Arc<Faults>,
    pub(crate) client: Client,
    pub(crate) directory: Directory,
    pub(crate) replicas: Vec<(InstanceId, Running, Registry)>,
    now: Arc<AtomicU64>,
}

pub(crate) fn config() -> Config {
    Config { clock_tolerance: HumanDuration(Duration::ZERO), ..Config::default() }
}

impl Stage {
    pub(crate) async fn with(replicas: usize, config: Config) -> Self {
        let faults = Arc::new(Faults::default());
        let bus = faulty::bus(Arc::new(Faulted(Arc::clone(&faults)))).unwrap();
        let directory = Directory::start(&bus, Service::Limiter).await.unwrap();
        let client = Client::new(bus.clone(), directory.clone());
        let now = Arc::new(AtomicU64::new(1_800_000_000_000));
        let mut stage = Self { bus, faults, client, directory, replicas: Vec::new(), now };
        for number in 0..replicas {
            let instance: InstanceId = format!("limiter-{number}").parse().unwrap();
            let mut registry = Registry::default();
            let clock = Arc::clone(&stage.now);
            let clock = Arc::new(move || clock.load(Ordering::SeqCst));
            let running = start_with_clock(config.clone(), stage.bus.clone(), instance.clone(), &mut registry, clock)
                .await
                .unwrap();
            stage.replicas.push((instance, running, registry));
        }
        until("all replicas are known", || stage.directory.peers().len() == replicas).await;
        stage
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    /// Asks of whichever replica's turn it is.
    pub(crate) async fn decide(&self, request: &Decide) -> Result<Decision, ServiceError> {
        self.client.call(request, None, Meta::within(LONG)).await.map_err(CallError::into_service_error)
    }

    pub(crate) async fn borrow(&self, request: &Borrow) -> Result<Loan, ServiceError> {
        self.client.call(request, None, Meta::within(LONG)).await.map_err(CallError::into_service_error)
    }

    /// Asks one replica once.
    pub(crate) async fn decide_at(
        &self,
        replica: usize,
        request: &Decide,
        within: Duration,
    ) -> Result<Decision, RequestError> {
        let subject = Subject::direct(Service::Limiter, "decide", &self.replicas[replica].0);
        let payload = Bytes::from(serde_json::to_vec(request).unwrap());
        let reply = self.bus.request(&subject, payload, Meta::within(within)).await?;
        Ok(serde_json::from_slice(&reply).unwrap())
    }

    /// All replicas' metric added up.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        self.replicas.iter().map(|(_, _, registry)| metric(registry, line)).sum()
    }
}

fn metric(registry: &Registry, line: &str) -> f64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let values = text.lines().filter_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn id(text: impl std::fmt::Display) -> RequestId {
    text.to_string().parse().unwrap()
}

pub(crate) fn limit(permits: u32, window_ms: u64) -> Limit {
    Limit { permits, window_ms: window_ms.try_into().unwrap() }
}

pub(crate) fn decide(key: &str, id: impl std::fmt::Display, limit: Limit, max_wait_ms: u32) -> Decide {
    Decide { key: key.to_owned(), limit, id: self::id(id), max_wait_ms }
}

pub(crate) fn borrow(
    key: &str,
    id: impl std::fmt::Display,
    limit: Limit,
    want: u32,
    returned: &[(&str, u32)],
) -> Borrow {
    let returned = returned.iter().map(|(id, spent)| Returned { id: self::id(id), spent: *spent }).collect();
    Borrow { key: key.to_owned(), limit, id: self::id(id), want, returned }
}

pub(crate) fn code(error: RequestError) -> ErrorCode {
    match error {
        RequestError::Service(error) => error.code,
        other => panic!("not an answer of the service: {other}"),
    }
}

/// What the state's next operations do instead of working.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) reads: Mutex<VecDeque<Fault>>,
    pub(crate) writes: Mutex<VecDeque<Fault>>,
    pub(crate) made_anew: AtomicU64,
    pub(crate) written: AtomicU64,
}

pub(crate) enum Fault {
    Conflict,
    NoBucket,
    Broken,
    /// Writes, and then says that it broke.
    BrokenAfterwards,
    /// Waits for a permit, then works.
    Stalled(Arc<Semaphore>),
}

fn broken() -> StoreError {
    StoreError::Backend { what: "the test", source: "told to".into() }
}

impl Fault {
    async fn strike(fault: Option<Self>) -> Result<bool, StoreError> {
        match fault {
            None => Ok(false),
            Some(Self::Conflict) => Err(StoreError::Conflict { key: "told to".to_owned() }),
            Some(Self::NoBucket) => Err(StoreError::NoBucket { bucket: LIMITS.name.to_owned() }),
            Some(Self::Broken) => Err(broken()),
            Some(Self::BrokenAfterwards) => Ok(true),
            Some(Self::Stalled(gate)) => {
                gate.acquire().await.unwrap().forget();
                Ok(false)
            }
        }
    }
}

struct FaultyBucket {
    inner: Bucket,
    faults: Arc<Faults>,
}

#[async_trait]
impl BucketBackend for FaultyBucket {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let fault = self.faults.reads.lock().pop_front();
        Fault::strike(fault).await?;
        self.inner.get(key).await
    }

    async fn write(&self, key: &Key, value: Bytes, expected: Option<u64>) -> Result<u64, StoreError> {
        let fault = self.faults.writes.lock().pop_front();
        let breaks = Fault::strike(fault).await?;
        let written = self.inner.update(key, value, expected.expect("the limiter compares")).await?;
        self.faults.written.fetch_add(1, Ordering::SeqCst);
        if breaks { Err(broken()) } else { Ok(written) }
    }

    async fn delete(&self, key: &Key, expected: Option<u64>) -> Result<(), StoreError> {
        self.inner.delete(key, expected).await
    }

    async fn list(&self, prefix: Option<&Key>) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(prefix).await
    }

    async fn watch(&self, prefix: Option<&Key>, after: Option<u64>) -> Result<Watch, StoreError> {
        self.inner.watch(prefix, after).await
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.inner.revision().await
    }
}

struct Faulted(Arc<Faults>);

impl faulty::Faults for Faulted {
    fn bucket(&self, bucket: Bucket, made: bool) -> Bucket {
        if made {
            self.0.made_anew.fetch_add(1, Ordering::SeqCst);
        }
        Bucket::new(Arc::new(FaultyBucket { inner: bucket, faults: Arc::clone(&self.0) }))
    }
}
