//! Entries that live for a time.

use std::time::Duration;

use arborgate_contracts::bucket::{BucketSpec, Storage};
use bytes::Bytes;

use crate::fixture::{Fixture, bucket, eventually, key};

conformance!(on [local_memory local_disk nats] {
    an_old_entry_is_gone
    an_old_entry_in_memory_is_gone
    what_is_written_again_lives_again
});

const AGE: Duration = Duration::from_secs(1);
static DISK: BucketSpec = BucketSpec { max_age: Some(AGE), ..bucket("aging") };
static MEMORY: BucketSpec = BucketSpec { storage: Storage::Memory, ..DISK };

async fn an_old_entry_is_gone(f: Fixture) {
    ages(&f, &DISK).await;
}

async fn an_old_entry_in_memory_is_gone(f: Fixture) {
    ages(&f, &MEMORY).await;
}

async fn ages(f: &Fixture, spec: &'static BucketSpec) {
    let aging = f.one.bus.create_bucket(spec).await.unwrap();
    let a = key(&["a"]);
    let first = aging.create(&a, Bytes::from_static(b"1")).await.unwrap();
    eventually("it is gone", || async { aging.get(&a).await.unwrap().is_none() }).await;
    eventually("it is listed no more", || async { aging.list(None).await.unwrap().is_empty() }).await;
    // Gone is absent: it can be made, and not updated. Revisions go on.
    let outcome = aging.update(&a, Bytes::from_static(b"2"), first).await;
    assert!(crate::key_value::is_conflict(&outcome, &a), "{outcome:?}");
    assert_eq!(aging.revision().await.unwrap(), first);
    let second = aging.create(&a, Bytes::from_static(b"3")).await.unwrap();
    assert!(second > first);
}

async fn what_is_written_again_lives_again(f: Fixture) {
    let aging = f.one.bus.create_bucket(&DISK).await.unwrap();
    let (kept, left) = (key(&["kept"]), key(&["left"]));
    aging.put(&left, Bytes::new()).await.unwrap();
    eventually("what was left alone is gone, and what was written again is not", || async {
        aging.put(&kept, Bytes::from_static(b"x")).await.unwrap();
        let there = aging.get(&kept).await.unwrap().is_some_and(|entry| entry.value == "x");
        there && aging.get(&left).await.unwrap().is_none()
    })
    .await;
}
