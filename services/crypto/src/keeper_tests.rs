//! The keeper over a bucket whose readings are stale, fail or hang when the test says so. The service over a real bus is
//! in `tests/`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arborgate_actor::{Address, Options};
use arborgate_bus::{BucketBackend, Watch};
use arborgate_contracts::Key;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::fernet::Token;

const LONG: Duration = Duration::from_secs(60);

/// A bucket that nobody watches.
#[derive(Default)]
struct Unwatched {
    entries: Mutex<BTreeMap<Key, (u64, Bytes)>>,
    revision: AtomicU64,
    /// So many lists show nothing.
    stale_lists: AtomicU32,
    lists: AtomicU32,
    fails: AtomicBool,
    hangs: AtomicBool,
}

fn broken<T>() -> Result<T, StoreError> {
    Err(StoreError::Backend { what: "a test", source: "broken".into() })
}

#[async_trait]
impl BucketBackend for Unwatched {
    async fn get(&self, _: &Key) -> Result<Option<Entry>, StoreError> {
        broken()
    }

    async fn write(&self, key: &Key, value: Bytes, expected: Option<u64>) -> Result<u64, StoreError> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let mut entries = self.entries.lock();
        let current = entries.get(key).map_or(0, |(revision, _)| *revision);
        if expected.is_some_and(|expected| expected != current) {
            return Err(StoreError::Conflict { key: key.to_string() });
        }
        let revision = self.revision.fetch_add(1, Ordering::SeqCst) + 1;
        entries.insert(key.clone(), (revision, value));
        Ok(revision)
    }

    async fn delete(&self, key: &Key, _: Option<u64>) -> Result<(), StoreError> {
        self.entries.lock().remove(key);
        self.revision.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn list(&self, _: Option<&Key>) -> Result<Vec<Entry>, StoreError> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        let stale = self.stale_lists.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if stale.is_ok() {
            return Ok(Vec::new());
        }
        let entries = self.entries.lock();
        let entry = |(key, (revision, value)): (&Key, &(u64, Bytes))| Entry {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        };
        Ok(entries.iter().map(entry).collect())
    }

    async fn watch(&self, _: Option<&Key>, _: Option<u64>) -> Result<Watch, StoreError> {
        broken()
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::SeqCst) { broken() } else { Ok(self.revision.load(Ordering::SeqCst)) }
    }
}

struct Replica {
    keyring: Arc<Keyring>,
    keeper: Address<Message>,
}

impl Replica {
    fn of(state: &Arc<Unwatched>, master: &Arc<MasterKey>) -> Self {
        let metrics = Metrics::default();
        let keyring = Arc::new(Keyring::new(Arc::clone(master), metrics.clone()));
        let (kept, state) = (Arc::clone(&keyring), Arc::clone(state));
        let keeper = arborgate_actor::spawn(Options::default(), move || {
            Keeper::new(Bucket::new(Arc::clone(&state) as Arc<dyn BucketBackend>), Arc::clone(&kept), metrics.clone())
        });
        Self { keyring, keeper }
    }

    async fn rotate(&self) -> Result<u32, Error> {
        let deadline = Deadline::after(LONG);
        let rotate = |answer| Message::Rotate { deadline, answer };
        self.keeper.ask(deadline.instant(), rotate).await.unwrap().map(|key| key.version)
    }

    async fn catch_up(&self) -> bool {
        let asked = Instant::now();
        self.keeper.ask(asked + LONG, |answer| Message::CatchUp { asked, answer }).await.unwrap()
    }

    fn versions(&self) -> Vec<u32> {
        self.keyring.load().export().iter().map(|key| key.version).collect()
    }
}

fn two_replicas() -> (Arc<Unwatched>, Replica, Replica) {
    let (state, master) = (Arc::new(Unwatched::default()), Arc::new(MasterKey::generate().unwrap()));
    let (one, two) = (Replica::of(&state, &master), Replica::of(&state, &master));
    (state, one, two)
}

#[tokio::test]
async fn replicas_that_rotate_at_once_give_consecutive_versions() {
    let (state, one, two) = two_replicas();
    let rotations = (0..20).map(|i| if i % 2 == 0 { one.rotate() } else { two.rotate() });
    let made: Result<Vec<u32>, Error> = futures_util::future::join_all(rotations).await.into_iter().collect();
    let made: BTreeSet<u32> = made.unwrap().into_iter().collect();
    assert_eq!(made, (1..=20).collect());
    assert_eq!(state.entries.lock().len(), 20);
    assert!(one.catch_up().await && two.catch_up().await);
    assert_eq!(one.versions(), (1..=20).rev().collect::<Vec<_>>());
    assert_eq!(one.versions(), two.versions());
}

#[tokio::test]
async fn a_stale_list_does_not_hide_versions_from_a_rotation() {
    let (state, one, two) = two_replicas();
    for version in 1..=3 {
        assert_eq!(one.rotate().await.unwrap(), version);
    }
    state.stale_lists.store(u32::MAX, Ordering::SeqCst);
    assert_eq!(two.rotate().await.unwrap(), 4);
}

#[tokio::test]
async fn a_key_of_another_replica_is_known_after_catching_up_also_when_readings_are_stale() {
    let (state, one, two) = two_replicas();
    one.rotate().await.unwrap();
    let token = Token::decode(one.keyring.load().newest().unwrap().encrypt(b"text").unwrap()).unwrap();
    assert!(two.keyring.load().decrypt(&token).is_err());
    state.stale_lists.store(3, Ordering::SeqCst);
    assert!(two.catch_up().await);
    assert_eq!(*two.keyring.load().decrypt(&token).unwrap(), b"text");
    assert_eq!(state.lists.load(Ordering::SeqCst), 4);
}

/// Also when the newest change was a deletion, which a list can not show.
#[tokio::test]
async fn what_can_not_be_known_is_not_claimed() {
    let (state, one, two) = two_replicas();
    one.rotate().await.unwrap();
    state.fails.store(true, Ordering::SeqCst);
    assert!(!two.catch_up().await);
    state.fails.store(false, Ordering::SeqCst);
    state.hangs.store(true, Ordering::SeqCst);
    assert!(!two.catch_up().await);
    state.hangs.store(false, Ordering::SeqCst);
    assert!(two.catch_up().await);
    assert_eq!(two.versions(), [1]);
    one.rotate().await.unwrap();
    Bucket::new(Arc::clone(&state) as Arc<dyn BucketBackend>).delete(&entry_key(2), None).await.unwrap();
    assert!(!two.catch_up().await);
    two.keyring.apply(arborgate_bus::Change::Deleted { key: entry_key(2), revision: 3 });
    assert!(two.catch_up().await);
}

#[tokio::test]
async fn many_questions_at_once_are_one_reading() {
    let (state, one, two) = two_replicas();
    one.rotate().await.unwrap();
    let answers = futures_util::future::join_all((0..100).map(|_| two.catch_up())).await;
    assert!(answers.into_iter().all(|known| known));
    // the first reading began after some were asked, and the second after all
    assert!(state.lists.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_ring_does_not_grow_beyond_what_is_tried_on_a_token() {
    let (state, one, two) = two_replicas();
    for _ in 0..MAX_KEYS {
        one.rotate().await.unwrap();
    }
    assert!(matches!(one.rotate().await, Err(Error::Full(MAX_KEYS))));
    // the other knows nothing yet, and learns it by the conflict
    assert!(matches!(two.rotate().await, Err(Error::Full(MAX_KEYS))));
    assert_eq!(state.entries.lock().len(), MAX_KEYS);
}

#[tokio::test]
async fn a_state_that_hangs_holds_a_rotation_only_until_its_deadline() {
    let (state, one, _) = two_replicas();
    state.hangs.store(true, Ordering::SeqCst);
    let deadline = Deadline::after(Duration::from_millis(20));
    let rotate = |answer| Message::Rotate { deadline, answer };
    assert!(one.keeper.ask(deadline.instant() + LONG, rotate).await.is_err());
    state.hangs.store(false, Ordering::SeqCst);
    assert_eq!(one.rotate().await.unwrap(), 1);
}
