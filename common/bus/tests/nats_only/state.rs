//! Buckets that other clients of NATS read and write, that break, and that are made twice at once.

use arborgate_bus::{Change, Entry, StoreError};
use async_nats::jetstream;
use bytes::Bytes;
use futures_util::TryStreamExt;

use crate::support::{THINGS, bus, eventually, key, server, stranger, until_connected, within};

#[tokio::test]
async fn another_client_of_key_value_understands_it() {
    let server = server().await;
    let bus = bus(&server).await;
    let ours = bus.create_bucket(&THINGS).await.unwrap();
    let theirs = jetstream::new(stranger(&server).await).get_key_value("things").await.unwrap();

    let revision = ours.put(&key("a"), Bytes::from_static(b"1")).await.unwrap();
    let entry = theirs.entry("a").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (Bytes::from_static(b"1"), revision));
    let revision = theirs.update("a", "2".into(), revision).await.unwrap();
    assert_eq!(ours.get(&key("a")).await.unwrap().unwrap().value, "2");
    ours.delete(&key("a"), Some(revision)).await.unwrap();
    assert_eq!(theirs.get("a").await.unwrap(), None);

    let mut watch = ours.watch(None, None).await.unwrap();
    assert!(matches!(within(watch.next()).await.unwrap().unwrap(), Change::Current { .. }));
    theirs.create("a", "3".into()).await.unwrap();
    assert!(matches!(within(watch.next()).await.unwrap().unwrap(), Change::Put(Entry { value, .. }) if value == "3"));
    theirs.delete("a").await.unwrap();
    assert!(matches!(within(watch.next()).await.unwrap().unwrap(), Change::Deleted { .. }));
    theirs.put("b", "4".into()).await.unwrap();
    theirs.purge("b").await.unwrap();
    assert!(matches!(within(watch.next()).await.unwrap().unwrap(), Change::Put(_)));
    assert!(matches!(within(watch.next()).await.unwrap().unwrap(), Change::Deleted { .. }));
    assert!(ours.get(&key("b")).await.unwrap().is_none());
    // A key that is none of ours is left out, and not an error.
    theirs.put("a/b", "5".into()).await.unwrap();
    assert_eq!(within(ours.list(None)).await.unwrap(), []);
}

#[tokio::test]
async fn making_leaves_what_is_there_as_it_is() {
    let server = server().await;
    let bus = bus(&server).await;
    let context = jetstream::new(stranger(&server).await);
    let config = jetstream::kv::Config { bucket: "things".to_owned(), history: 7, ..Default::default() };
    context.create_key_value(config).await.unwrap();
    bus.create_bucket(&THINGS).await.unwrap();
    let mut stream = context.get_stream("KV_things").await.unwrap();
    assert_eq!(stream.info().await.unwrap().config.max_messages_per_subject, 7);
}

#[tokio::test]
async fn many_may_make_it_at_once() {
    let server = server().await;
    let buses = [bus(&server).await, bus(&server).await, bus(&server).await];
    let making = buses.iter().map(|bus| async {
        bus.create_bucket(&THINGS).await.map(drop)?;
        bus.create_objects("objects").await.map(drop)
    });
    for made in within(futures_util::future::join_all(making)).await {
        made.unwrap();
    }
}

#[tokio::test]
async fn a_watch_outlives_its_consumer_and_its_server() {
    let mut server = server().await;
    let bus = bus(&server).await;
    let things = bus.create_bucket(&THINGS).await.unwrap();
    let mut watch = things.watch(None, None).await.unwrap();
    assert!(matches!(within(watch.next()).await.unwrap().unwrap(), Change::Current { .. }));
    let mut put_and_see = async |name: &str| {
        let revision = things.put(&key(name), Bytes::new()).await.unwrap();
        let change = within(watch.next()).await.unwrap().unwrap();
        assert_eq!(change, Change::Put(Entry { key: key(name), value: Bytes::new(), revision }));
    };
    put_and_see("a").await;

    let stream = jetstream::new(stranger(&server).await).get_stream("KV_things").await.unwrap();
    let names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    assert_eq!(names.len(), 1);
    stream.delete_consumer(&names[0]).await.unwrap();
    put_and_see("b").await;

    server.kill().unwrap();
    until_connected(&bus, false).await;
    server.restart().await.unwrap();
    until_connected(&bus, true).await;
    eventually("the bucket is there again", || async { things.get(&key("a")).await.is_ok() }).await;
    put_and_see("c").await;
}

#[tokio::test]
async fn a_watch_that_ended_leaves_no_consumer() {
    let server = server().await;
    let bus = bus(&server).await;
    let things = bus.create_bucket(&THINGS).await.unwrap();
    let stream = jetstream::new(stranger(&server).await).get_stream("KV_things").await.unwrap();
    drop(things.watch(None, None).await.unwrap());
    within(things.list(None)).await.unwrap();
    eventually("no consumer is left", || async {
        stream.consumer_names().try_collect::<Vec<_>>().await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_bucket_that_was_made_anew_ends_its_watches() {
    let server = server().await;
    let bus = bus(&server).await;
    let things = bus.create_bucket(&THINGS).await.unwrap();
    let mut last = 0;
    for name in ["a", "b", "c"] {
        last = things.put(&key(name), Bytes::new()).await.unwrap();
    }
    let mut watch = things.watch(None, Some(last)).await.unwrap();
    assert!(matches!(within(watch.next()).await.unwrap().unwrap(), Change::Current { .. }));
    let context = jetstream::new(stranger(&server).await);
    context.delete_key_value("things").await.unwrap();
    let error = within(watch.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::NoBucket { .. }), "{error:?}");
    assert!(within(watch.next()).await.is_none());

    // Begun again after a revision that the new bucket never had: all of it is new.
    bus.create_bucket(&THINGS).await.unwrap();
    let revision = things.put(&key("new"), Bytes::new()).await.unwrap();
    assert!(revision < last);
    let mut watch = things.watch(None, Some(last)).await.unwrap();
    assert!(
        matches!(within(watch.next()).await.unwrap().unwrap(), Change::Put(Entry { revision: r, .. }) if r == revision)
    );
    let current = within(watch.next()).await.unwrap().unwrap();
    assert_eq!(current, Change::Current { revision });
}

#[tokio::test]
async fn without_jetstream_it_says_so_and_not_that_there_is_no_bucket() {
    use arborgate_testkit::nats::{NatsOptions, NatsServer};
    let server = NatsServer::start(NatsOptions { without_jetstream: true, ..NatsOptions::default() }).await.unwrap();
    let bus = bus(&server).await;
    let error = within(bus.bucket(&THINGS)).await.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Backend { .. }), "{error:?}");
    assert!(within(bus.create_bucket(&THINGS)).await.is_err());
}
