//! A bus inside the process with an auth service on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arborgate_auth::{Argon2Config, Config, HashingConfig, Running};
use arborgate_bus::{Bus, Client, Directory, Meta, RequestError, local};
use arborgate_contracts::auth::*;
use arborgate_contracts::bucket::{self, SIGNING_KEYS, STANDINGS};
use arborgate_contracts::permission::Role;
use arborgate_contracts::{ErrorCode, InstanceId, Key, Operation, Service, ServiceError, Subject};
use arborgate_runtime::config::ByteSize;
use arborgate_runtime::master_key::MasterKey;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prometheus_client::registry::Registry;

pub const PASSWORD: &str = "correct horse battery";

/// A bus, a service, and a client of it.
pub struct World {
    pub bus: Bus,
    /// Knows every replica.
    pub client: Client,
    pub running: Running,
    instance: InstanceId,
    registry: Registry,
}

pub fn config() -> Config {
    Config {
        argon2: Argon2Config { memory: ByteSize(8 << 10), passes: 1, lanes: 1 },
        hashing: HashingConfig { concurrency: Some(2), queue: 64 },
        ..Config::default()
    }
}

pub fn empty_bus() -> Bus {
    Bus::new(local::LocalBus::open(local::Config::default()).unwrap())
}

async fn with_buckets(bus: Bus) -> Bus {
    for spec in bucket::ALL {
        bus.create_bucket(spec).await.unwrap();
    }
    bus
}

pub async fn bus() -> Bus {
    with_buckets(empty_bus()).await
}

/// One whose messages are at most `max_payload` bytes.
pub async fn small_bus(max_payload: usize) -> Bus {
    with_buckets(Bus::new(local::LocalBus::open(local::Config { max_payload, ..Default::default() }).unwrap())).await
}

pub fn instance() -> InstanceId {
    uuid::Uuid::new_v4().to_string().parse().unwrap()
}

pub fn soon() -> Meta {
    Meta::within(Duration::from_secs(60))
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The claims of a token that nobody verified.
pub fn claims_of(token: &str) -> Claims {
    serde_json::from_slice(&base64url(token.split('.').nth(1).unwrap())).unwrap()
}

pub fn check(claims: &Claims) -> CheckToken {
    CheckToken { sub: claims.sub.clone(), generation: claims.generation }
}

pub fn create(name: &str, password: &str, roles: &[Role]) -> CreateUser {
    CreateUser { name: name.parse().unwrap(), password: Password(password.into()), roles: roles.into() }
}

pub fn key_request(roles: &[Role]) -> CreateApiKey {
    CreateApiKey { name: "ci".into(), roles: roles.into(), expires_in_s: None, created_by: "user:ann".into() }
}

/// What an edge asks of a key.
pub fn question(secret: &str) -> VerifyApiKey {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    let id = arborgate_contracts::api_key::parse(secret).unwrap();
    VerifyApiKey { id, digest: SecretDigest::from_sha256(&hash) }
}

pub async fn public_keys(bus: &Bus) -> Vec<PublicKey> {
    let entries = bus.bucket(&SIGNING_KEYS).await.unwrap().list(None).await.unwrap();
    entries
        .iter()
        .map(|entry| {
            let key: PublicKey = entry.json().unwrap();
            assert_eq!(entry.key, Key::of(&[&key.kid]));
            key
        })
        .collect()
}

impl World {
    pub async fn start() -> Self {
        Self::on(bus().await, MasterKey::generate().unwrap()).await
    }

    /// A service on a bus, and a client that knows it.
    pub async fn on(bus: Bus, master: MasterKey) -> Self {
        let (instance, mut registry) = (instance(), Registry::default());
        let starting = arborgate_auth::start(config(), bus.clone(), instance.clone(), &mut registry, Arc::new(master));
        let running = starting.await.unwrap();
        let directory = Directory::start(&bus, Service::Auth).await.unwrap();
        let mut changes = directory.changes();
        let known = changes.wait_for(|peers| !peers.is_empty());
        tokio::time::timeout(Duration::from_secs(30), known).await.unwrap().unwrap();
        Self { client: Client::new(bus.clone(), directory), bus, running, instance, registry }
    }

    /// Another replica on the same bus.
    pub async fn again(&self, master: MasterKey) -> Self {
        Self::on(self.bus.clone(), master).await
    }

    /// Asks this replica and no other.
    pub async fn ask<O: Operation>(&self, request: &O) -> Result<O::Reply, ServiceError> {
        let subject = Subject::direct(O::SERVICE, O::NAME, &self.instance);
        match self.bus.request(&subject, serde_json::to_vec(request).unwrap().into(), soon()).await {
            Ok(reply) => Ok(serde_json::from_slice(&reply).unwrap()),
            Err(RequestError::Service(error)) => Err(error),
            Err(error) => panic!("{}: {error:?}", O::NAME),
        }
    }

    /// The code of a refusal.
    pub async fn code<O: Operation>(&self, request: &O) -> ErrorCode {
        match self.ask(request).await {
            Err(error) => error.code,
            Ok(_) => panic!("{} was not refused", O::NAME),
        }
    }

    pub async fn sign_in(&self, username: &str, password: &str) -> Result<AccessToken, ServiceError> {
        self.ask(&SignIn { username: username.into(), password: Password(password.into()) }).await
    }

    pub async fn standing(&self, principal: &[&str]) -> u64 {
        let bucket = self.bus.bucket(&STANDINGS).await.unwrap();
        bucket.get_json::<Standing>(&Key::of(principal)).await.unwrap().unwrap().0.generation
    }

    pub async fn public_keys(&self) -> Vec<PublicKey> {
        public_keys(&self.bus).await
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}
