//! The service as its callers see it, over the bus in one process, with state in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_bus::local::{Config as LocalConfig, LocalBus};
use arborgate_bus::{Bus, Client, Directory, Meta, RequestError, StoreError};
use arborgate_contracts::bucket::KEYRING;
use arborgate_contracts::crypto::{Decrypt, Encrypt, ExportKeys, RotateKey};
use arborgate_contracts::{ErrorCode, InstanceId, Operation, Service, ServiceError, Subject};
use arborgate_crypto::fernet::{FernetKey, Token, token_len};
use arborgate_crypto::{Config, Error, MAX_KEYS, Running, seed, start};
use arborgate_runtime::config::ByteSize;
use arborgate_runtime::master_key::{MasterKey, MasterKeyError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use prometheus_client::registry::Registry;

const LONG: Duration = Duration::from_secs(60);
/// The service's default.
const LIMIT: usize = 1 << 20;

fn bus() -> Bus {
    Bus::new(LocalBus::open(LocalConfig::default()).unwrap())
}

fn master() -> Arc<MasterKey> {
    Arc::new(MasterKey::generate().unwrap())
}

struct Replica {
    bus: Bus,
    instance: InstanceId,
    registry: Registry,
    running: Running,
}

impl Replica {
    async fn start(bus: &Bus, name: &str, master: &Arc<MasterKey>) -> Self {
        let mut registry = Registry::default();
        let instance: InstanceId = name.parse().unwrap();
        let config = Config { capacity: 1024, ..Config::default() };
        let running = start(config, bus.clone(), instance.clone(), &mut registry, Arc::clone(master)).await.unwrap();
        Self { bus: bus.clone(), instance, registry, running }
    }

    /// Asks this replica and no other.
    async fn ask<O: Operation>(&self, request: &O) -> Result<O::Reply, ServiceError> {
        let subject = Subject::direct(O::SERVICE, O::NAME, &self.instance);
        let payload = serde_json::to_vec(request).unwrap().into();
        match self.bus.request(&subject, payload, Meta::within(LONG)).await {
            Ok(reply) => Ok(serde_json::from_slice(&reply).unwrap()),
            Err(RequestError::Service(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    async fn encrypt(&self, plaintext: &str) -> Result<String, ServiceError> {
        self.ask(&Encrypt { plaintext: plaintext.to_owned() }).await.map(|reply| reply.ciphertext)
    }

    async fn decrypt(&self, ciphertext: &str) -> Result<String, ServiceError> {
        self.ask(&Decrypt { ciphertext: ciphertext.to_owned() }).await.map(|reply| reply.plaintext)
    }

    async fn rotate(&self) -> Result<u32, ServiceError> {
        self.ask(&RotateKey {}).await.map(|key| key.version)
    }

    /// Newest first.
    async fn keys(&self) -> Vec<(u32, FernetKey)> {
        let exported = self.ask(&ExportKeys {}).await.unwrap();
        let read = |text: &str| FernetKey::new(URL_SAFE.decode(text).unwrap().as_slice().try_into().unwrap()).unwrap();
        exported.into_iter().map(|key| (key.version, read(&key.key))).collect()
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

async fn seeded() -> (Bus, Arc<MasterKey>) {
    let (bus, master) = (bus(), master());
    assert!(seed(&bus, &master).await.unwrap());
    (bus, master)
}

async fn two_replicas() -> (Replica, Replica) {
    let (bus, master) = seeded().await;
    (Replica::start(&bus, "one", &master).await, Replica::start(&bus, "two", &master).await)
}

fn opens(key: &FernetKey, token: &str) -> bool {
    key.decrypt(&Token::decode(token).unwrap()).is_ok()
}

#[tokio::test]
async fn what_is_encrypted_decrypts_and_the_exported_key_reads_it() {
    let (bus, master) = seeded().await;
    let replica = Replica::start(&bus, "one", &master).await;
    for text in ["", "hello", "ünïcødé \u{1F333} \0", &"x".repeat(100_000)] {
        let token = replica.encrypt(text).await.unwrap();
        assert!(token.starts_with("gAAAAA"));
        assert_eq!(token.len(), token_len(text.len()));
        assert_eq!(replica.decrypt(&token).await.unwrap(), text);
        let keys = replica.keys().await;
        assert_eq!(keys.len(), 1);
        assert_eq!(*keys[0].1.decrypt(&Token::decode(&token).unwrap()).unwrap(), text.as_bytes());
        assert_eq!(replica.decrypt(&keys[0].1.encrypt(text.as_bytes()).unwrap()).await.unwrap(), text);
    }
}

#[tokio::test]
async fn the_first_start_makes_one_key_and_later_ones_none() {
    let (bus, master) = (bus(), master());
    let mut registry = Registry::default();
    let instance: InstanceId = "one".parse().unwrap();
    let mut try_start =
        async |master| start(Config::default(), bus.clone(), instance.clone(), &mut registry, master).await.err();
    let error = try_start(Arc::clone(&master)).await.unwrap();
    assert!(matches!(error, Error::Store(StoreError::NoBucket { .. })), "{error}");
    bus.create_bucket(&KEYRING).await.unwrap();
    let error = try_start(Arc::clone(&master)).await.unwrap();
    assert_eq!(error.to_string(), "the keyring is empty; run `arborgate init` once");
    assert!(seed(&bus, &master).await.unwrap());
    assert!(!seed(&bus, &master).await.unwrap());
    assert!(try_start(master).await.is_none());
    assert_eq!(bus.bucket(&KEYRING).await.unwrap().list(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_master_key_is_refused_and_changes_nothing() {
    let (bus, right) = seeded().await;
    let bucket = bus.bucket(&KEYRING).await.unwrap();
    let before = (bucket.list(None).await.unwrap(), bucket.revision().await.unwrap());
    let instance: InstanceId = "one".parse().unwrap();
    let mut registry = Registry::default();
    let outcome = start(Config::default(), bus.clone(), instance, &mut registry, master()).await;
    let error = outcome.err().unwrap();
    assert!(matches!(error, Error::Unwrap { version: 1, source: MasterKeyError::Unwrap }), "{error}");
    assert!(!seed(&bus, &master()).await.unwrap());
    assert_eq!((bucket.list(None).await.unwrap(), bucket.revision().await.unwrap()), before);
    let replica = Replica::start(&bus, "two", &right).await;
    assert!(replica.encrypt("x").await.is_ok());
}

#[tokio::test]
async fn a_configuration_that_can_not_work_is_refused() {
    let (bus, master) = seeded().await;
    let config = Config { capacity: 0, ..Config::default() };
    let outcome = start(config, bus, "one".parse().unwrap(), &mut Registry::default(), master).await;
    assert_eq!(outcome.err().unwrap().to_string(), "crypto.capacity is 0; it must be at least 1");
}

#[tokio::test]
async fn a_rotation_takes_effect_where_it_was_asked_and_old_tokens_stay_readable() {
    let (bus, master) = seeded().await;
    let (one, two) = (Replica::start(&bus, "one", &master).await, Replica::start(&bus, "two", &master).await);
    let old = one.encrypt("old").await.unwrap();
    let rotated = two.ask(&RotateKey {}).await.unwrap();
    assert_eq!(rotated.version, 2);
    assert!(rotated.created_at.ends_with('Z') && rotated.created_at.contains('T'), "{}", rotated.created_at);
    let new = two.encrypt("new").await.unwrap();
    let keys = two.keys().await;
    assert_eq!(keys.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [2, 1]);
    assert!(opens(&keys[0].1, &new) && !opens(&keys[0].1, &old) && opens(&keys[1].1, &old));
    // at once, whether its watch has shown the new key or not
    assert_eq!(one.decrypt(&new).await.unwrap(), "new");
    assert_eq!(two.decrypt(&old).await.unwrap(), "old");
    let later = Replica::start(&bus, "three", &master).await;
    assert_eq!(later.decrypt(&old).await.unwrap(), "old");
}

/// Encrypts and decrypts without a pause, here and there, while both replicas rotate.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotating_under_load_loses_no_token() {
    let (one, two) = two_replicas().await;
    let (one, two) = (Arc::new(one), Arc::new(two));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let (from, to) =
            if worker % 2 == 0 { (Arc::clone(&one), Arc::clone(&two)) } else { (Arc::clone(&two), Arc::clone(&one)) };
        workers.spawn(async move {
            let mut tokens = Vec::new();
            for i in 0..50 {
                let text = format!("{worker}/{i}");
                let token = from.encrypt(&text).await.unwrap();
                assert_eq!(to.decrypt(&token).await.unwrap(), text);
                tokens.push((text, token));
            }
            tokens
        });
    }
    let mut rotations = tokio::task::JoinSet::new();
    for i in 0..20 {
        let replica = Arc::clone(if i % 2 == 0 { &one } else { &two });
        rotations.spawn(async move { replica.rotate().await.unwrap() });
    }
    let mut versions = rotations.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (2..=21).collect::<Vec<_>>());
    let tokens: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(tokens.len(), 200);
    for (text, token) in &tokens {
        assert_eq!(one.decrypt(token).await.unwrap(), *text);
        assert_eq!(two.decrypt(token).await.unwrap(), *text);
    }
    // the newest key is everybody's, once the watch has shown it
    let until = Instant::now() + LONG;
    while one.keys().await.len() < 21 || two.keys().await.len() < 21 {
        assert!(Instant::now() < until, "a replica never learned the newest key");
        tokio::task::yield_now().await;
    }
    let token = one.encrypt("last").await.unwrap();
    assert!(opens(&two.keys().await[0].1, &token));
}

#[tokio::test]
async fn every_cause_of_a_failure_reads_the_same() {
    let (one, _two) = two_replicas().await;
    let token = one.encrypt("a text over a block").await.unwrap();
    assert!(token.ends_with('='));
    let key = one.keys().await.remove(0).1;
    let mut tampered = token.clone().into_bytes();
    tampered[30] = if tampered[30] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    let long = "A".repeat(token_len(LIMIT));
    let foreign = FernetKey::generate().unwrap().encrypt(b"foreign").unwrap();
    let not_text = key.encrypt(&[0xff, 0xfe]).unwrap();
    let cut = token[..token.len() - 4].to_owned();
    let bare = token.trim_end_matches('=').to_owned();
    for bad in [String::new(), "gAAAAA".to_owned(), "é \0\r\n".to_owned(), tampered, long, foreign, not_text, cut, bare]
    {
        let error = one.decrypt(&bad).await.unwrap_err();
        assert_eq!(error, ServiceError::new(ErrorCode::DecryptionFailed, "Decryption failed"));
    }
    assert!(one.decrypt(&token).await.is_ok());
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_the_limit() {
    let (one, _two) = two_replicas().await;
    let longest = "x".repeat(LIMIT);
    let token = one.encrypt(&longest).await.unwrap();
    assert_eq!(one.decrypt(&token).await.unwrap(), longest);
    let error = one.encrypt(&format!("{longest}x")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert_eq!(error.detail, "the plaintext has 1048577 bytes; at most 1048576 are encrypted");
    let error = one.decrypt(&format!("{token}AAAA")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.detail.contains("at most 1398200 are decrypted"), "{}", error.detail);
}

#[tokio::test]
async fn what_the_bus_can_not_carry_back_is_refused_before() {
    let config = LocalConfig { max_payload: 100_000, ..LocalConfig::default() };
    let (bus, master) = (Bus::new(LocalBus::open(config).unwrap()), master());
    seed(&bus, &master).await.unwrap();
    let replica = Replica::start(&bus, "one", &master).await;
    let error = replica.encrypt(&"x".repeat(80_000)).await.unwrap_err();
    assert_eq!(error.detail, "the plaintext has 80000 bytes; at most 74735 are encrypted");
    let token = replica.encrypt(&"x".repeat(74_735)).await.unwrap();
    assert_eq!(replica.decrypt(&token).await.unwrap().len(), 74_735);
}

#[tokio::test]
async fn a_full_ring_is_not_rotated() {
    let (one, _two) = two_replicas().await;
    for version in 2..=u32::try_from(MAX_KEYS).unwrap() {
        assert_eq!(one.rotate().await.unwrap(), version);
    }
    let error = one.rotate().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert_eq!(error.detail, "the keyring holds 64 keys, the most that are tried on one token; none was added");
    assert!(one.encrypt("x").await.is_ok());
}

#[tokio::test]
async fn a_drained_replica_leaves_and_the_other_answers() {
    let (one, two) = two_replicas().await;
    let directory = Directory::start(&one.bus, Service::Crypto).await.unwrap();
    let mut changes = directory.changes();
    let both = changes.wait_for(|peers| peers.len() == 2);
    drop(tokio::time::timeout(LONG, both).await.expect("both are announced").unwrap());
    let client = Client::new(one.bus.clone(), directory);
    let request = Encrypt { plaintext: "x".to_owned() };
    let token = client.call(&request, None, Meta::within(LONG)).await.unwrap().ciphertext;

    let (bus, gone) = (one.bus.clone(), one.instance.clone());
    one.running.drain(LONG).await;
    let left = changes.wait_for(|peers| peers.len() == 1);
    let left = tokio::time::timeout(LONG, left).await.expect("one has left").unwrap().clone();
    assert_eq!(left[0].instance, two.instance);
    let direct = Subject::direct(Service::Crypto, Encrypt::NAME, &gone);
    let payload = serde_json::to_vec(&request).unwrap().into();
    let error = bus.request(&direct, payload, Meta::within(LONG)).await.unwrap_err();
    assert!(matches!(error, RequestError::NoResponders { .. }), "{error}");
    for _ in 0..4 {
        let request = Decrypt { ciphertext: token.clone() };
        assert_eq!(client.call(&request, None, Meta::within(LONG)).await.unwrap().plaintext, "x");
    }
}

#[tokio::test]
async fn outcomes_and_keys_are_counted() {
    let (one, _two) = two_replicas().await;
    let token = one.encrypt("x").await.unwrap();
    one.decrypt(&token).await.unwrap();
    for _ in 0..2 {
        one.decrypt("no").await.unwrap_err();
    }
    one.encrypt(&"x".repeat(LIMIT + 1)).await.unwrap_err();
    one.rotate().await.unwrap();
    let metrics = one.metrics();
    for line in [
        "crypto_operations_total{operation=\"encrypt\",outcome=\"ok\"} 1",
        "crypto_operations_total{operation=\"encrypt\",outcome=\"too_large\"} 1",
        "crypto_operations_total{operation=\"decrypt\",outcome=\"ok\"} 1",
        "crypto_operations_total{operation=\"decrypt\",outcome=\"decryption_failed\"} 2",
        "crypto_operations_total{operation=\"rotate-key\",outcome=\"ok\"} 1",
        "crypto_operation_seconds_count{operation=\"decrypt\"} 3",
        "crypto_keys 2",
        "crypto_unreadable_keys 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
}

/// All that the service logs, errors included, while it is asked good and bad things.
#[tokio::test]
async fn nothing_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (bus, master) = seeded().await;
    let replica = Replica::start(&bus, "one", &master).await;
    let token = replica.encrypt("the plaintext").await.unwrap();
    replica.decrypt(&token).await.unwrap();
    replica.decrypt("not-a-token").await.unwrap_err();
    replica.rotate().await.unwrap();
    let exported = replica.ask(&ExportKeys {}).await.unwrap();
    let bucket = bus.bucket(&KEYRING).await.unwrap();
    let broken = bucket.list(None).await.unwrap().remove(0);
    bucket.put(&arborgate_contracts::Key::of(&["0000000009"]), broken.value).await.unwrap();
    let until = Instant::now() + LONG;
    while !log.text().contains("an encryption key can not be used") {
        assert!(Instant::now() < until, "the broken entry was never seen");
        tokio::task::yield_now().await;
    }
    let text = log.text();
    assert!(text.contains("the encryption keys were exported") && text.contains("a new encryption key is the newest"));
    let master = master.to_text();
    for secret in ["the plaintext", &token, "not-a-token", &master, &exported[0].key, &exported[1].key] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The limit is the operator's.
#[tokio::test]
async fn the_limit_is_configured() {
    let (bus, master) = seeded().await;
    let config = Config { max_plaintext: ByteSize(10), ..Config::default() };
    let instance: InstanceId = "one".parse().unwrap();
    let running = start(config, bus.clone(), instance.clone(), &mut Registry::default(), master).await.unwrap();
    let replica = Replica { bus, instance, registry: Registry::default(), running };
    assert!(replica.encrypt("0123456789").await.is_ok());
    assert_eq!(replica.encrypt("0123456789a").await.unwrap_err().code, ErrorCode::TooLarge);
}
