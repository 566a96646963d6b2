//! What the crate's interface can not show: writes cut off between two records, stale reads, a clock that is set. On a
//! bucket in memory that can be told to fail.

mod api_keys;
mod last_administrator;
mod rotation;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arborgate_bus::{Bucket, BucketBackend, Entry, StoreError, Watch};
use arborgate_contracts::auth::Password;
use arborgate_contracts::permission::Role;
use arborgate_contracts::{Deadline, ErrorCode, Key, UserName};
use arborgate_runtime::config::ByteSize;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::admins::Admins;
use crate::clock::Clock;
use crate::config::{Argon2Config, Config, HashingConfig};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::password::{Hasher, Plain};
use crate::standings::Standings;
use crate::users::Users;

/// Some day in 2026, in seconds.
const TODAY: u64 = 1_795_471_200;

#[derive(Default)]
struct State {
    revision: u64,
    entries: BTreeMap<Key, Entry>,
    before: BTreeMap<Key, Option<Entry>>,
}

/// A bucket in memory.
#[derive(Default)]
struct Memory {
    state: Mutex<State>,
    /// Whether writes fail.
    broken: AtomicBool,
    /// Every how many reads one gives the value before the current one; 0: none.
    stale_every: AtomicUsize,
    reads: AtomicUsize,
}

impl Memory {
    fn check(&self, state: &State, key: &Key, expected: Option<u64>) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::Backend { what: "writing", source: "told to fail".into() });
        }
        let current = state.entries.get(key).map_or(0, |entry| entry.revision);
        match expected {
            Some(expected) if expected != current => Err(StoreError::Conflict { key: key.to_string() }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl BucketBackend for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        // As far as others get while a real store is asked.
        tokio::task::yield_now().await;
        let state = self.state.lock();
        let every = self.stale_every.load(Ordering::SeqCst);
        let read = self.reads.fetch_add(1, Ordering::SeqCst);
        if every > 0
            && read.is_multiple_of(every)
            && let Some(before) = state.before.get(key)
        {
            return Ok(before.clone());
        }
        Ok(state.entries.get(key).cloned())
    }

    async fn write(&self, key: &Key, value: Bytes, expected: Option<u64>) -> Result<u64, StoreError> {
        tokio::task::yield_now().await;
        let mut state = self.state.lock();
        self.check(&state, key, expected)?;
        state.revision += 1;
        let revision = state.revision;
        let before = state.entries.insert(key.clone(), Entry { key: key.clone(), value, revision });
        state.before.insert(key.clone(), before);
        Ok(revision)
    }

    async fn delete(&self, key: &Key, expected: Option<u64>) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        let mut state = self.state.lock();
        self.check(&state, key, expected)?;
        state.revision += 1;
        let before = state.entries.remove(key);
        state.before.insert(key.clone(), before);
        Ok(())
    }

    async fn list(&self, _: Option<&Key>) -> Result<Vec<Entry>, StoreError> {
        Ok(self.state.lock().entries.values().cloned().collect())
    }

    async fn watch(&self, _: Option<&Key>, _: Option<u64>) -> Result<Watch, StoreError> {
        Err(StoreError::Backend { what: "watching", source: "no test watches".into() })
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        Ok(self.state.lock().revision)
    }
}

/// Users and standings over memory, with a clock.
struct World {
    users_bucket: Arc<Memory>,
    standings_bucket: Arc<Memory>,
    seconds: Arc<AtomicU64>,
    metrics: Metrics,
    standings: Standings,
    users: Users,
}

fn config(kib: u64) -> Config {
    Config {
        argon2: Argon2Config { memory: ByteSize(kib << 10), passes: 1, lanes: 1 },
        hashing: HashingConfig { concurrency: Some(2), queue: 1024 },
        ..Config::default()
    }
}

impl World {
    fn new() -> Self {
        let (users_bucket, standings_bucket) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
        let seconds = Arc::new(AtomicU64::new(TODAY));
        let clock = Clock::set_by(Arc::clone(&seconds));
        let metrics = Metrics::new();
        let standings = Standings::new(Bucket::new(standings_bucket.clone()), clock.clone());
        let bucket = Bucket::new(users_bucket.clone());
        let users = Users {
            admins: Admins::new(bucket.clone()),
            standings: standings.clone(),
            hasher: Hasher::new(&config(8), metrics.clone()).unwrap(),
            rules: config(8).password,
            bucket,
            clock,
        };
        Self { users_bucket, standings_bucket, seconds, metrics, standings, users }
    }

    async fn add(&self, name: &str, role: Role) -> Result<(), Error> {
        self.users.create(user(name), Password(PASSWORD.into()), vec![role], soon()).await.map(drop)
    }

    /// The generation of the token that signing in gives.
    async fn sign_in(&self, name: &str, password: &str) -> Result<u64, Error> {
        Ok(self.users.sign_in(name, plain(password), soon()).await?.generation)
    }

    /// What an edge with a lease says to a token.
    async fn good_at_edges(&self, name: &str, generation: u64) -> bool {
        generation >= self.standings.least(&crate::record::user_standing(&user(name))).await.unwrap()
    }
}

const PASSWORD: &str = "correct horse battery";

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

fn plain(password: &str) -> Plain {
    Zeroizing::new(password.to_owned())
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// The code of a refusal.
fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> ErrorCode {
    match outcome {
        Err(Error::Refused(error)) => error.code,
        other => panic!("not refused: {other:?}"),
    }
}

fn broken<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::Store(StoreError::Backend { .. }))), "{outcome:?}");
}
