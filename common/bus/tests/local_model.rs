//! Random operations on a bucket in one process, against a model that is two maps and a counter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use arborgate_bus::local::{Config, LocalBus};
use arborgate_bus::{Bucket, Bus, Change, Entry, StoreError};
use arborgate_contracts::Key;
use arborgate_contracts::bucket::{BucketSpec, Storage};
use bytes::Bytes;
use proptest::prelude::*;

static DISK: BucketSpec = BucketSpec { name: "model", storage: Storage::Disk, history: 1, max_age: None, max_value: 8 };
static MEMORY: BucketSpec = BucketSpec { storage: Storage::Memory, ..DISK };

/// Which revision an operation expects.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Any,
    Current,
    Absent,
    Wrong(u64),
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, Vec<u8>, Expected),
    Delete(usize, Expected),
    List(Option<usize>),
    /// From so far back, or from nothing.
    Watch(Option<u64>, Option<usize>),
    Reopen,
}

fn keys() -> Vec<Key> {
    [&["a"][..], &["a", "b"], &["a", "c"], &["ab"], &["a-", "x"], &["é", ""]]
        .iter()
        .map(|tokens| Key::of(tokens))
        .collect()
}

fn step() -> impl Strategy<Value = Step> {
    let expected = prop_oneof![
        3 => Just(Expected::Any),
        3 => Just(Expected::Current),
        2 => Just(Expected::Absent),
        1 => (0..50_u64).prop_map(Expected::Wrong),
    ];
    let value = proptest::collection::vec(any::<u8>(), 0..=9);
    let prefix = proptest::option::of(0..6_usize);
    prop_oneof![
        6 => (0..6_usize, value, expected.clone()).prop_map(|(k, v, e)| Step::Write(k, v, e)),
        3 => (0..6_usize, expected).prop_map(|(k, e)| Step::Delete(k, e)),
        1 => prefix.clone().prop_map(Step::List),
        1 => (proptest::option::of(0..12_u64), prefix).prop_map(|(back, p)| Step::Watch(back, p)),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    values: BTreeMap<Key, (Bytes, u64)>,
    deleted: BTreeMap<Key, u64>,
    revision: u64,
}

impl Model {
    fn current(&self, key: &Key) -> u64 {
        self.values.get(key).map_or(0, |(_, revision)| *revision)
    }

    fn expected(&self, key: &Key, expected: Expected) -> Option<u64> {
        match expected {
            Expected::Any => None,
            Expected::Current => Some(self.current(key)),
            Expected::Absent => Some(0),
            Expected::Wrong(revision) => Some(revision),
        }
    }

    fn list(&self, prefix: Option<&Key>) -> Vec<Entry> {
        let below = |key: &Key| prefix.is_none_or(|prefix| key.starts_with(prefix));
        let entry = |(key, (value, revision)): (&Key, &(Bytes, u64))| Entry {
            key: key.clone(),
            value: value.clone(),
            revision: *revision,
        };
        self.values.iter().filter(|(key, _)| below(key)).map(entry).collect()
    }

    fn watch(&self, prefix: Option<&Key>, after: Option<u64>) -> Vec<Change> {
        let below = |key: &Key| prefix.is_none_or(|prefix| key.starts_with(prefix));
        let mut changes = BTreeMap::new();
        for entry in self.list(prefix) {
            changes.insert(entry.revision, Change::Put(entry));
        }
        for (key, revision) in self.deleted.iter().filter(|(key, _)| after.is_some() && below(key)) {
            changes.insert(*revision, Change::Deleted { key: key.clone(), revision: *revision });
        }
        let mut changes = changes.split_off(&(after.unwrap_or(0) + 1));
        changes.insert(u64::MAX, Change::Current { revision: self.revision });
        changes.into_values().collect()
    }
}

async fn check_write(bucket: &Bucket, model: &mut Model, key: &Key, value: Vec<u8>, expected: Expected) {
    let revision = model.expected(key, expected);
    let value = Bytes::from(value);
    let outcome = match revision {
        None => bucket.put(key, value.clone()).await,
        Some(0) => bucket.create(key, value.clone()).await,
        Some(revision) => bucket.update(key, value.clone(), revision).await,
    };
    if value.len() > 8 {
        assert!(matches!(outcome, Err(StoreError::TooLarge { size: 9, limit: 8, .. })), "{outcome:?}");
    } else if revision.is_some_and(|revision| revision != model.current(key)) {
        assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
    } else {
        model.revision += 1;
        assert_eq!(outcome.unwrap(), model.revision);
        model.values.insert(key.clone(), (value, model.revision));
        model.deleted.remove(key);
    }
}

async fn check_delete(bucket: &Bucket, model: &mut Model, key: &Key, expected: Expected) {
    let revision = model.expected(key, expected);
    let outcome = bucket.delete(key, revision).await;
    let current = model.current(key);
    if current != 0 && revision.is_some_and(|revision| revision != current) {
        assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
        return;
    }
    outcome.unwrap();
    if model.values.remove(key).is_some() {
        model.revision += 1;
        model.deleted.insert(key.clone(), model.revision);
    }
}

async fn check_watch(bucket: &Bucket, model: &Model, prefix: Option<&Key>, after: Option<u64>) {
    let mut watch = bucket.watch(prefix, after).await.unwrap();
    for change in model.watch(prefix, after) {
        assert_eq!(watch.next().await.unwrap().unwrap(), change);
    }
}

async fn run(steps: Vec<Step>, spec: &'static BucketSpec, folder: Option<PathBuf>) {
    let open = || Bus::new(LocalBus::open(Config { data_dir: folder.clone(), ..Config::default() }).unwrap());
    let keys = keys();
    let mut bus = open();
    let mut bucket = bus.create_bucket(spec).await.unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Write(k, value, expected) => check_write(&bucket, &mut model, &keys[k], value, expected).await,
            Step::Delete(k, expected) => check_delete(&bucket, &mut model, &keys[k], expected).await,
            Step::List(prefix) => {
                let prefix = prefix.map(|p| &keys[p]);
                assert_eq!(bucket.list(prefix).await.unwrap(), model.list(prefix));
            }
            Step::Watch(back, prefix) => {
                let after = back.map(|back| model.revision.saturating_sub(back));
                check_watch(&bucket, &model, prefix.map(|p| &keys[p]), after).await;
            }
            Step::Reopen if folder.is_some() => {
                bus.close().await;
                bus = open();
                bucket = bus.bucket(spec).await.unwrap();
            }
            Step::Reopen => {}
        }
        assert_eq!(bucket.revision().await.unwrap(), model.revision);
        for key in &keys {
            let entry = bucket.get(key).await.unwrap().map(|e| (e.value, e.revision));
            assert_eq!(entry.as_ref(), model.values.get(key));
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_bucket_in_memory_is_its_model(steps in proptest::collection::vec(step(), 0..60)) {
        block_on(run(steps, &MEMORY, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_bucket_on_disk_is_its_model(steps in proptest::collection::vec(step(), 0..40)) {
        let folder = tempfile::tempdir().unwrap();
        block_on(run(steps, &DISK, Some(folder.path().to_owned())));
    }
}
