//! Watches: what is there, what changed since, what changes.

use arborgate_bus::{Bucket, Change, Entry, Watch};
use arborgate_contracts::bucket::BucketSpec;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::fixture::{Fixture, bucket, key, within};

conformance!(on [local_memory local_disk nats] {
    an_empty_bucket_is_current_at_once
    first_what_is_there_then_what_changes
    what_was_deleted_before_is_not_there
    from_a_revision_what_changed_since
    from_the_newest_revision_nothing
    only_below_the_prefix
    every_watch_sees_everything
    a_watch_that_ended_hinders_nobody
    a_slow_reader_misses_nothing
});

static SPEC: BucketSpec = bucket("watched");

/// A change in short, without its revision.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Put(String, String),
    Deleted(String),
    Current,
}

fn put(key: &str, value: &str) -> Seen {
    Seen::Put(key.into(), value.into())
}

fn deleted(key: &str) -> Seen {
    Seen::Deleted(key.into())
}

/// A watch whose revisions are checked to grow.
struct Reader(Watch, u64);

impl Reader {
    async fn on(bucket: &Bucket, prefix: Option<&str>, after: Option<u64>) -> Self {
        let prefix = prefix.map(|p| key(&[p]));
        Self(bucket.watch(prefix.as_ref(), after).await.unwrap(), after.unwrap_or(0))
    }

    async fn next(&mut self) -> Seen {
        match within(self.0.next()).await.unwrap().unwrap() {
            Change::Put(Entry { key, value, revision }) => {
                assert!(revision > self.1, "revision {revision} after {}", self.1);
                self.1 = revision;
                put(key.as_str(), std::str::from_utf8(&value).unwrap())
            }
            Change::Deleted { key, revision } => {
                assert!(revision > self.1, "revision {revision} after {}", self.1);
                self.1 = revision;
                deleted(key.as_str())
            }
            Change::Current { revision } => {
                assert!(revision >= self.1, "current at {revision} after {}", self.1);
                self.1 = revision;
                Seen::Current
            }
        }
    }

    async fn up_to_current(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            match self.next().await {
                Seen::Current => return seen,
                change => seen.push(change),
            }
        }
    }
}

async fn write(bucket: &Bucket, name: &str, value: &str) -> u64 {
    bucket.put(&key(&[name]), Bytes::from(value.to_owned())).await.unwrap()
}

async fn an_empty_bucket_is_current_at_once(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    for after in [None, Some(0)] {
        let mut reader = Reader::on(&bucket, None, after).await;
        assert_eq!(reader.next().await, Seen::Current);
        assert_eq!(reader.1, 0);
    }
}

async fn first_what_is_there_then_what_changes(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    let there = f.two.bus.bucket(&SPEC).await.unwrap();
    write(&bucket, "b", "1").await;
    write(&bucket, "a", "1").await;
    let newest = write(&bucket, "b", "2").await;
    let mut reader = Reader::on(&there, None, None).await;
    assert_eq!(reader.up_to_current().await, [put("a", "1"), put("b", "2")]);
    assert_eq!(reader.1, newest);
    write(&bucket, "a", "2").await;
    bucket.delete(&key(&["b"]), None).await.unwrap();
    write(&there, "b", "3").await;
    for change in [put("a", "2"), deleted("b"), put("b", "3")] {
        assert_eq!(reader.next().await, change);
    }
    assert_eq!(reader.1, bucket.revision().await.unwrap());
}

async fn what_was_deleted_before_is_not_there(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    write(&bucket, "a", "1").await;
    write(&bucket, "b", "1").await;
    bucket.delete(&key(&["a"]), None).await.unwrap();
    let mut reader = Reader::on(&bucket, None, None).await;
    assert_eq!(reader.up_to_current().await, [put("b", "1")]);
    // Every change up to the deletion was seen, though it is not shown.
    assert_eq!(reader.1, bucket.revision().await.unwrap());
}

async fn from_a_revision_what_changed_since(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    write(&bucket, "stays", "1").await;
    write(&bucket, "goes", "1").await;
    let seen = write(&bucket, "changes", "1").await;
    bucket.delete(&key(&["goes"]), None).await.unwrap();
    write(&bucket, "changes", "2").await;
    let newest = write(&bucket, "new", "1").await;
    let mut reader = Reader::on(&bucket, None, Some(seen)).await;
    assert_eq!(reader.up_to_current().await, [deleted("goes"), put("changes", "2"), put("new", "1")]);
    assert_eq!(reader.1, newest);
    write(&bucket, "stays", "2").await;
    assert_eq!(reader.next().await, put("stays", "2"));
    // From the very beginning: everything, deletions as well.
    let mut reader = Reader::on(&bucket, None, Some(0)).await;
    let all = [deleted("goes"), put("changes", "2"), put("new", "1"), put("stays", "2")];
    assert_eq!(reader.up_to_current().await, all);
}

async fn from_the_newest_revision_nothing(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    write(&bucket, "a", "1").await;
    let newest = write(&bucket, "b", "1").await;
    let mut reader = Reader::on(&bucket, None, Some(newest)).await;
    assert_eq!(reader.up_to_current().await, []);
    assert_eq!(reader.1, newest);
    write(&bucket, "c", "1").await;
    assert_eq!(reader.next().await, put("c", "1"));
}

async fn only_below_the_prefix(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    let write = async |tokens: &[&str]| bucket.put(&key(tokens), Bytes::from_static(b"x")).await.unwrap();
    write(&["a", "1"]).await;
    write(&["ab", "1"]).await;
    write(&["b"]).await;
    write(&["a"]).await;
    let mut reader = Reader::on(&bucket, Some("a"), None).await;
    assert_eq!(reader.up_to_current().await, [put("a.1", "x"), put("a", "x")]);
    write(&["b", "2"]).await;
    write(&["ab"]).await;
    bucket.delete(&key(&["b"]), None).await.unwrap();
    bucket.delete(&key(&["a", "1"]), None).await.unwrap();
    assert_eq!(reader.next().await, deleted("a.1"));
    write(&["a", "3", "4"]).await;
    assert_eq!(reader.next().await, put("a.3.4", "x"));
    // Nothing below it changed since; the bucket did.
    let newest = write(&["c"]).await;
    let mut reader = Reader::on(&bucket, Some("a"), Some(newest - 1)).await;
    assert_eq!(reader.up_to_current().await, []);
}

async fn every_watch_sees_everything(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    let there = f.two.bus.bucket(&SPEC).await.unwrap();
    let mut readers = [
        Reader::on(&bucket, None, None).await,
        Reader::on(&there, None, None).await,
        Reader::on(&there, None, Some(0)).await,
    ];
    for reader in &mut readers {
        assert_eq!(reader.up_to_current().await, []);
    }
    for i in 0..100 {
        write(&bucket, &format!("k{i}"), "x").await;
    }
    for reader in &mut readers {
        for i in 0..100 {
            assert_eq!(reader.next().await, put(&format!("k{i}"), "x"));
        }
    }
}

async fn a_watch_that_ended_hinders_nobody(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    let mut stays = Reader::on(&bucket, None, None).await;
    for _ in 0..10 {
        drop(Reader::on(&bucket, None, None).await);
    }
    assert_eq!(stays.up_to_current().await, []);
    write(&bucket, "a", "1").await;
    assert_eq!(stays.next().await, put("a", "1"));
}

/// One who reads nothing while much is written may lose the watch, but begun again where it broke it misses nothing.
async fn a_slow_reader_misses_nothing(f: Fixture) {
    const WRITES: usize = 1500;
    let bucket = f.one.bus.create_bucket(&SPEC).await.unwrap();
    let mut watch = bucket.watch(None, None).await.unwrap();
    // Written side by side, for one after the other each waits for the disk.
    let writes = futures_util::stream::iter(0..WRITES).map(|i| {
        let bucket = bucket.clone();
        async move { write(&bucket, &format!("k{i}"), "x").await }
    });
    let newest = writes.buffer_unordered(100).fold(0, async |newest, revision| revision.max(newest)).await;
    let (mut seen, mut last) = (0, 0);
    let reading = async {
        while last < newest {
            match watch.next().await {
                Some(Ok(Change::Put(entry))) => {
                    assert!(entry.revision > last);
                    (seen, last) = (seen + 1, entry.revision);
                }
                Some(Ok(Change::Current { .. })) => {}
                Some(Ok(Change::Deleted { key, .. })) => panic!("{key} was never deleted"),
                Some(Err(_)) | None => watch = bucket.watch(None, Some(last)).await.unwrap(),
            }
        }
    };
    within(reading).await;
    assert_eq!(seen, WRITES);
}
