//! Buckets: reading, writing, deciding by revision, listing, limits.

use arborgate_bus::{Bucket, StoreError};
use arborgate_contracts::Key;
use arborgate_contracts::bucket::{BucketSpec, Storage};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, bucket, key, within};

conformance!(on [local_memory local_disk nats] {
    a_bucket_is_there_only_once_made
    making_a_bucket_again_changes_nothing
    what_is_written_is_read
    create_needs_absence
    update_needs_the_current_revision
    delete_needs_the_revision_it_names
    values_are_bytes
    a_value_over_the_limit_is_refused
    the_limit_itself_is_accepted
    keys_of_any_text
    list_is_by_key_and_prefix
    the_revision_is_the_newest
    a_race_to_create_has_one_winner
    counting_in_a_race_loses_nothing
    buckets_are_apart
    a_bucket_in_memory_is_a_bucket
});

static SPEC: BucketSpec = bucket("things");

pub(crate) async fn make(f: &Fixture) -> Bucket {
    f.one.bus.create_bucket(&SPEC).await.unwrap()
}

fn text(value: &'static str) -> Bytes {
    Bytes::from_static(value.as_bytes())
}

pub(crate) fn is_conflict(outcome: &Result<u64, StoreError>, key: &Key) -> bool {
    matches!(outcome, Err(StoreError::Conflict { key: named }) if named == key.as_str())
}

async fn a_bucket_is_there_only_once_made(f: Fixture) {
    match f.two.bus.bucket(&SPEC).await {
        Err(StoreError::NoBucket { bucket }) => assert_eq!(bucket, "things"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was never made"),
    }
    make(&f).await;
    f.two.bus.bucket(&SPEC).await.unwrap();
}

async fn making_a_bucket_again_changes_nothing(f: Fixture) {
    let revision = make(&f).await.put(&key(&["a"]), text("1")).await.unwrap();
    let again = f.two.bus.create_bucket(&SPEC).await.unwrap();
    let entry = again.get(&key(&["a"])).await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (text("1"), revision));
}

async fn what_is_written_is_read(f: Fixture) {
    let here = make(&f).await;
    let there = f.two.bus.bucket(&SPEC).await.unwrap();
    let a = key(&["a"]);
    assert_eq!(here.get(&a).await.unwrap(), None);
    let first = here.put(&a, text("1")).await.unwrap();
    assert!(first >= 1);
    let second = there.put(&a, text("2")).await.unwrap();
    assert!(second > first);
    for bucket in [&here, &there] {
        let entry = bucket.get(&a).await.unwrap().unwrap();
        assert_eq!((entry.key, entry.value, entry.revision), (a.clone(), text("2"), second));
    }
    here.delete(&a, None).await.unwrap();
    assert_eq!(there.get(&a).await.unwrap(), None);
    there.put(&a, text("3")).await.unwrap();
    assert_eq!(here.get(&a).await.unwrap().unwrap().value, text("3"));
}

async fn create_needs_absence(f: Fixture) {
    let things = make(&f).await;
    let a = key(&["a"]);
    let first = things.create(&a, text("1")).await.unwrap();
    let again = things.create(&a, text("2")).await;
    assert!(is_conflict(&again, &a), "{again:?}");
    assert_eq!(things.get(&a).await.unwrap().unwrap().value, text("1"));
    things.delete(&a, Some(first)).await.unwrap();
    let second = things.create(&a, text("3")).await.unwrap();
    assert!(second > first);
    let again = things.create(&a, text("4")).await;
    assert!(is_conflict(&again, &a), "{again:?}");
}

async fn update_needs_the_current_revision(f: Fixture) {
    let things = make(&f).await;
    let (a, b) = (key(&["a"]), key(&["b"]));
    let first = things.create(&a, text("1")).await.unwrap();
    let second = things.update(&a, text("2"), first).await.unwrap();
    let newest = things.put(&b, text("other")).await.unwrap();
    for wrong in [first, newest, second + 100] {
        let outcome = things.update(&a, text("3"), wrong).await;
        assert!(is_conflict(&outcome, &a), "{outcome:?}");
    }
    assert_eq!(things.get(&a).await.unwrap().unwrap().value, text("2"));
    let outcome = things.update(&key(&["absent"]), text("x"), second).await;
    assert!(is_conflict(&outcome, &key(&["absent"])), "{outcome:?}");
    assert_eq!(things.get(&key(&["absent"])).await.unwrap(), None);
    things.update(&a, text("3"), second).await.unwrap();
    things.delete(&b, None).await.unwrap();
    let outcome = things.update(&b, text("x"), newest).await;
    assert!(is_conflict(&outcome, &b), "{outcome:?}");
}

async fn delete_needs_the_revision_it_names(f: Fixture) {
    let things = make(&f).await;
    let a = key(&["a"]);
    let first = things.put(&a, text("1")).await.unwrap();
    let second = things.put(&a, text("2")).await.unwrap();
    let outcome = things.delete(&a, Some(first)).await.map(|()| 0);
    assert!(is_conflict(&outcome, &a), "{outcome:?}");
    assert_eq!(things.get(&a).await.unwrap().unwrap().revision, second);
    things.delete(&a, Some(second)).await.unwrap();
    assert_eq!(things.get(&a).await.unwrap(), None);
    // Deleting what is absent is no error.
    things.delete(&a, None).await.unwrap();
    things.delete(&a, Some(second)).await.unwrap();
    things.delete(&key(&["never"]), None).await.unwrap();
    assert_eq!(things.list(None).await.unwrap(), []);
}

async fn values_are_bytes(f: Fixture) {
    let things = make(&f).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    for (i, value) in [vec![], vec![0], every_byte, b"\xff\xfe\r\n".to_vec()].into_iter().enumerate() {
        let k = key(&["bytes", &i.to_string()]);
        let value = Bytes::from(value);
        things.put(&k, value.clone()).await.unwrap();
        assert_eq!(things.get(&k).await.unwrap().unwrap().value, value);
    }
    assert_eq!(things.list(None).await.unwrap().len(), 4);
}

async fn a_value_over_the_limit_is_refused(f: Fixture) {
    let things = make(&f).await;
    let a = key(&["a"]);
    things.put(&a, text("small")).await.unwrap();
    let before = things.revision().await.unwrap();
    let large = Bytes::from(vec![1; SPEC.max_value + 1]);
    for outcome in [things.put(&a, large.clone()).await, things.create(&key(&["b"]), large.clone()).await] {
        match outcome {
            Err(StoreError::TooLarge { size, limit, bucket }) => {
                assert_eq!((size, limit, bucket.as_str()), (SPEC.max_value + 1, SPEC.max_value, SPEC.name));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(things.revision().await.unwrap(), before);
    assert_eq!(things.get(&a).await.unwrap().unwrap().value, text("small"));
}

async fn the_limit_itself_is_accepted(f: Fixture) {
    let things = make(&f).await;
    let value = Bytes::from(vec![1; SPEC.max_value]);
    things.put(&key(&["a", "long-enough-to-count", "if-keys-were-counted"]), value.clone()).await.unwrap();
    assert_eq!(things.list(None).await.unwrap()[0].value, value);
}

async fn keys_of_any_text(f: Fixture) {
    let things = make(&f).await;
    let long = "x".repeat(60);
    let keys: Vec<Key> = [
        vec!["user", "ann@example.org"],
        vec!["user", ""],
        vec!["é", "日本", "\u{1f333}"],
        vec![" ", "*", ">", ".", "=", "\r\n", "\u{0}"],
        vec!["=2E"],
        vec![&long, &long],
    ]
    .iter()
    .map(|tokens| key(tokens))
    .collect();
    for (i, k) in keys.iter().enumerate() {
        things.create(k, Bytes::from(i.to_string())).await.unwrap();
    }
    for (i, k) in keys.iter().enumerate() {
        assert_eq!(things.get(k).await.unwrap().unwrap().value, i.to_string());
    }
    let mut expected = keys.clone();
    expected.sort();
    let listed: Vec<Key> = things.list(None).await.unwrap().into_iter().map(|e| e.key).collect();
    assert_eq!(listed, expected);
}

async fn list_is_by_key_and_prefix(f: Fixture) {
    let things = make(&f).await;
    assert_eq!(things.list(None).await.unwrap(), []);
    let all = [
        key(&["b", "2"]),
        key(&["a"]),
        key(&["a", "z"]),
        key(&["a", "b", "c"]),
        key(&["ab"]),
        key(&["a-b"]),
        key(&["b", "1"]),
    ];
    for k in &all {
        things.put(k, Bytes::copy_from_slice(k.as_str().as_bytes())).await.unwrap();
    }
    things.put(&key(&["a", "gone"]), text("x")).await.unwrap();
    things.delete(&key(&["a", "gone"]), None).await.unwrap();
    let listed = async |prefix: Option<&Key>| -> Vec<String> {
        let entries = within(things.list(prefix)).await.unwrap();
        assert!(entries.iter().all(|e| e.value == e.key.as_str().as_bytes()));
        entries.into_iter().map(|e| e.key.as_str().to_owned()).collect()
    };
    assert_eq!(listed(None).await, ["a", "a-b", "a.b.c", "a.z", "ab", "b.1", "b.2"]);
    assert_eq!(listed(Some(&key(&["a"]))).await, ["a", "a.b.c", "a.z"]);
    assert_eq!(listed(Some(&key(&["a", "b"]))).await, ["a.b.c"]);
    assert_eq!(listed(Some(&key(&["c"]))).await, [""; 0]);
}

async fn the_revision_is_the_newest(f: Fixture) {
    let things = make(&f).await;
    let there = f.two.bus.bucket(&SPEC).await.unwrap();
    assert_eq!(things.revision().await.unwrap(), 0);
    let mut last = 0;
    for i in 0..20 {
        let written = things.put(&key(&[&(i % 3).to_string()]), text("x")).await.unwrap();
        assert!(written > last);
        last = written;
        assert_eq!(there.revision().await.unwrap(), last);
    }
    things.delete(&key(&["1"]), None).await.unwrap();
    let deleted = there.revision().await.unwrap();
    assert!(deleted > last);
    let refused = things.update(&key(&["0"]), text("y"), last + 1000).await;
    assert!(refused.is_err());
    assert_eq!(there.revision().await.unwrap(), deleted);
    assert!(things.put(&key(&["1"]), text("x")).await.unwrap() > deleted);
}

async fn a_race_to_create_has_one_winner(f: Fixture) {
    let things = make(&f).await;
    let there = f.two.bus.bucket(&SPEC).await.unwrap();
    let mut racing = JoinSet::new();
    for i in 0..16 {
        let bucket = if i % 2 == 0 { things.clone() } else { there.clone() };
        racing.spawn(async move { bucket.create(&key(&["one"]), Bytes::from(i.to_string())).await.map(|_| i) });
    }
    let mut winners = Vec::new();
    while let Some(done) = within(racing.join_next()).await {
        match done.unwrap() {
            Ok(i) => winners.push(i),
            Err(StoreError::Conflict { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(things.get(&key(&["one"])).await.unwrap().unwrap().value, winners[0].to_string());
}

async fn counting_in_a_race_loses_nothing(f: Fixture) {
    const TASKS: u64 = 16;
    const EACH: u64 = 10;
    let things = make(&f).await;
    let there = f.two.bus.bucket(&SPEC).await.unwrap();
    let mut counting = JoinSet::new();
    for i in 0..TASKS {
        let bucket = if i % 2 == 0 { things.clone() } else { there.clone() };
        counting.spawn(async move {
            for _ in 0..EACH {
                add_one(&bucket).await;
            }
        });
    }
    while let Some(done) = within(counting.join_next()).await {
        done.unwrap();
    }
    let entry = things.get(&key(&["counter"])).await.unwrap().unwrap();
    assert_eq!(entry.json::<u64>().unwrap(), TASKS * EACH);
}

async fn add_one(bucket: &Bucket) {
    loop {
        let counter = key(&["counter"]);
        let outcome = match bucket.get(&counter).await.unwrap() {
            None => bucket.create(&counter, text("1")).await,
            Some(entry) => {
                let next = entry.json::<u64>().unwrap() + 1;
                bucket.update(&counter, Bytes::from(next.to_string()), entry.revision).await
            }
        };
        match outcome {
            Ok(_) => return,
            Err(StoreError::Conflict { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

async fn buckets_are_apart(f: Fixture) {
    static OTHER: BucketSpec = bucket("things-other");
    let things = make(&f).await;
    let other = f.one.bus.create_bucket(&OTHER).await.unwrap();
    things.put(&key(&["a"]), text("1")).await.unwrap();
    assert_eq!(other.get(&key(&["a"])).await.unwrap(), None);
    assert_eq!(other.revision().await.unwrap(), 0);
    assert_eq!(other.list(None).await.unwrap(), []);
    other.create(&key(&["a"]), text("2")).await.unwrap();
    assert_eq!(things.get(&key(&["a"])).await.unwrap().unwrap().value, text("1"));
}

async fn a_bucket_in_memory_is_a_bucket(f: Fixture) {
    static FLEETING: BucketSpec = BucketSpec { storage: Storage::Memory, ..bucket("fleeting") };
    assert!(matches!(f.one.bus.bucket(&FLEETING).await, Err(StoreError::NoBucket { .. })));
    let fleeting = f.one.bus.create_bucket(&FLEETING).await.unwrap();
    let there = f.two.bus.bucket(&FLEETING).await.unwrap();
    let first = fleeting.create(&key(&["a"]), text("1")).await.unwrap();
    let outcome = there.create(&key(&["a"]), text("2")).await;
    assert!(is_conflict(&outcome, &key(&["a"])), "{outcome:?}");
    there.update(&key(&["a"]), text("2"), first).await.unwrap();
    assert_eq!(fleeting.get(&key(&["a"])).await.unwrap().unwrap().value, text("2"));
}
