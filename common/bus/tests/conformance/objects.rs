//! Object stores: streams in and out, whole or not at all.

use arborgate_bus::{ObjectInfo, ObjectStream, Objects, StoreError};
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, within};

conformance!(on [local_memory local_disk nats] {
    a_store_is_there_only_once_made
    what_is_put_is_read
    a_later_put_replaces
    a_reader_keeps_what_it_began
    what_is_deleted_is_gone
    list_is_by_name
    what_is_missing_is_said
    a_stream_that_fails_leaves_nothing
    a_stream_that_fails_leaves_what_was_there
    racing_puts_leave_one_whole
    bad_names_are_refused
    every_good_name_is_accepted
});

const STORE: &str = "artifacts";
const MIB: usize = 1 << 20;

async fn make(f: &Fixture) -> Objects {
    f.one.bus.create_objects(STORE).await.unwrap()
}

fn chunks(chunks: Vec<std::io::Result<Bytes>>) -> ObjectStream {
    Box::pin(futures_util::stream::iter(chunks))
}

fn whole(bytes: &[u8]) -> ObjectStream {
    chunks(bytes.chunks(60_000).map(|c| Ok(Bytes::copy_from_slice(c))).collect())
}

fn broken(bytes: &[u8]) -> ObjectStream {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    chunks(vec![Ok(Bytes::copy_from_slice(bytes)), Err(reset)])
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

/// Bytes that repeat at no power of two.
fn content(size: usize, seed: u32) -> Vec<u8> {
    (0..size).map(|i| (i as u32 % 65_521).wrapping_mul(seed).to_le_bytes()[1]).collect()
}

fn info(name: &str, bytes: &[u8]) -> ObjectInfo {
    ObjectInfo { name: name.into(), size: bytes.len() as u64, digest: digest(bytes) }
}

async fn a_store_is_there_only_once_made(f: Fixture) {
    match f.two.bus.objects(STORE).await {
        Err(StoreError::NoBucket { bucket }) => assert_eq!(bucket, STORE),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was never made"),
    }
    make(&f).await.put("a", whole(b"1")).await.unwrap();
    make(&f).await;
    assert_eq!(f.two.bus.objects(STORE).await.unwrap().list().await.unwrap(), [info("a", b"1")]);
}

async fn what_is_put_is_read(f: Fixture) {
    let here = make(&f).await;
    let there = f.two.bus.objects(STORE).await.unwrap();
    for size in [0, 1, 60_000, 131_072, 5 * MIB + 1] {
        let bytes = content(size, 2_654_435_761);
        let name = format!("of/{size}");
        let put = within(here.put(&name, whole(&bytes))).await.unwrap();
        assert_eq!(put, info(&name, &bytes));
        let mut object = within(there.get(&name)).await.unwrap();
        assert_eq!(object.info, put);
        let mut read = Vec::new();
        within(object.reader.read_to_end(&mut read)).await.unwrap();
        assert!(read == bytes, "of {size}");
        assert!(within(there.get_all(&name, size as u64)).await.unwrap() == bytes);
    }
    // Chunks may be empty, and one alone may be large.
    let large = content(3 * MIB, 40_503);
    let odd = vec![Ok(Bytes::new()), Ok(Bytes::from(large.clone())), Ok(Bytes::new())];
    assert_eq!(within(here.put("odd", chunks(odd))).await.unwrap(), info("odd", &large));
    assert!(within(there.get_all("odd", u64::MAX)).await.unwrap() == large);
    let over = within(there.get_all("odd", large.len() as u64 - 1)).await;
    assert!(matches!(over, Err(StoreError::TooLarge { .. })), "{over:?}");
}

async fn a_later_put_replaces(f: Fixture) {
    let store = make(&f).await;
    store.put("a", whole(&content(200_000, 3))).await.unwrap();
    let put = store.put("a", whole(b"short")).await.unwrap();
    assert_eq!(put, info("a", b"short"));
    assert_eq!(store.get_all("a", 100).await.unwrap(), &b"short"[..]);
    assert_eq!(store.list().await.unwrap(), [put]);
}

/// Whole or an error: never a mixture, never a part that looks whole.
async fn a_reader_keeps_what_it_began(f: Fixture) {
    let store = make(&f).await;
    let old = content(3 * MIB, 5);
    store.put("a", whole(&old)).await.unwrap();
    let mut reading = store.get("a").await.unwrap();
    let mut read = vec![0; 1000];
    within(reading.reader.read_exact(&mut read)).await.unwrap();
    store.put("a", whole(&content(3 * MIB, 7))).await.unwrap();
    if within(reading.reader.read_to_end(&mut read)).await.is_ok() {
        assert!(read == old);
    }
}

async fn what_is_deleted_is_gone(f: Fixture) {
    let store = make(&f).await;
    store.put("a", whole(b"1")).await.unwrap();
    store.put("b", whole(b"2")).await.unwrap();
    store.delete("a").await.unwrap();
    assert!(matches!(store.get("a").await, Err(StoreError::NoObject { .. })));
    assert_eq!(store.list().await.unwrap(), [info("b", b"2")]);
    store.delete("a").await.unwrap();
    store.delete("never").await.unwrap();
    store.put("a", whole(b"3")).await.unwrap();
    assert_eq!(store.get_all("a", 10).await.unwrap(), &b"3"[..]);
}

async fn list_is_by_name(f: Fixture) {
    let store = make(&f).await;
    assert_eq!(store.list().await.unwrap(), []);
    for name in ["b", "a/2", "a.1", "a/1", "A"] {
        store.put(name, whole(name.as_bytes())).await.unwrap();
    }
    let expected: Vec<_> = ["A", "a.1", "a/1", "a/2", "b"].iter().map(|n| info(n, n.as_bytes())).collect();
    assert_eq!(store.list().await.unwrap(), expected);
}

async fn what_is_missing_is_said(f: Fixture) {
    let store = make(&f).await;
    match store.get("models/none").await {
        Err(StoreError::NoObject { name }) => assert_eq!(name, "models/none"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was never put"),
    }
}

async fn a_stream_that_fails_leaves_nothing(f: Fixture) {
    let store = make(&f).await;
    for bytes in [vec![], content(100, 3), content(MIB, 3)] {
        let outcome = within(store.put("a", broken(&bytes))).await;
        assert!(matches!(outcome, Err(StoreError::Input(_))), "{outcome:?}");
        assert!(matches!(store.get("a").await, Err(StoreError::NoObject { .. })));
        assert_eq!(store.list().await.unwrap(), []);
    }
}

async fn a_stream_that_fails_leaves_what_was_there(f: Fixture) {
    let store = make(&f).await;
    let old = content(300_000, 11);
    let put = store.put("a", whole(&old)).await.unwrap();
    within(store.put("a", broken(&content(300_000, 13)))).await.unwrap_err();
    assert_eq!(store.list().await.unwrap(), [put]);
    assert!(within(store.get_all("a", MIB as u64)).await.unwrap() == old);
}

async fn racing_puts_leave_one_whole(f: Fixture) {
    let here = make(&f).await;
    let there = f.two.bus.objects(STORE).await.unwrap();
    let all: Vec<Vec<u8>> = (0..4).map(|i| content(200_000 + i, 17 + i as u32)).collect();
    let mut racing = JoinSet::new();
    for (i, bytes) in all.iter().enumerate() {
        let store = if i % 2 == 0 { here.clone() } else { there.clone() };
        let stream = whole(bytes);
        racing.spawn(async move { store.put("one", stream).await });
    }
    while let Some(done) = within(racing.join_next()).await {
        // Losing a race may be an error; half a win may not be.
        drop(done.unwrap());
    }
    let read = within(here.get_all("one", MIB as u64)).await.unwrap();
    assert!(all.iter().any(|bytes| *read == **bytes));
    assert_eq!(here.list().await.unwrap(), [info("one", &read)]);
}

async fn bad_names_are_refused(f: Fixture) {
    let store = make(&f).await;
    let long = "x".repeat(256);
    let bad =
        ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\\b", "a b", "é", "a\0b", "a\nb", "a*", &long];
    for name in bad {
        let put = within(store.put(name, whole(b"x"))).await;
        assert!(put.is_err(), "{name:?} was accepted");
        assert!(within(store.get(name)).await.is_err(), "{name:?} was read");
        assert!(within(store.delete(name)).await.is_err(), "{name:?} was deleted");
    }
    assert_eq!(store.list().await.unwrap(), []);
}

async fn every_good_name_is_accepted(f: Fixture) {
    let store = make(&f).await;
    let long = "x/".repeat(127) + "x";
    for name in ["a", "...", "a..b", "-", "_", "A-Z_0.9/b", "con", &long] {
        let put = within(store.put(name, whole(name.as_bytes()))).await.unwrap();
        assert_eq!(put, info(name, name.as_bytes()));
        assert_eq!(store.get_all(name, 300).await.unwrap(), name.as_bytes());
    }
}
