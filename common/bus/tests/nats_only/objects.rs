//! Objects that other clients of NATS read and write, that are damaged, and what is left of what failed.

use arborgate_bus::{ObjectStream, StoreError};
use async_nats::jetstream;
use async_nats::jetstream::object_store::ObjectMetadata;
use bytes::Bytes;
use tokio::io::AsyncReadExt;

use crate::support::{bus, eventually, server, stranger, within};

const STORE: &str = "artifacts";

fn stream(chunks: Vec<std::io::Result<Bytes>>) -> ObjectStream {
    Box::pin(futures_util::stream::iter(chunks))
}

fn whole(bytes: &[u8]) -> ObjectStream {
    stream(vec![Ok(Bytes::copy_from_slice(bytes))])
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

#[tokio::test]
async fn another_client_of_object_stores_understands_it() {
    let server = server().await;
    let ours = bus(&server).await.create_objects(STORE).await.unwrap();
    let theirs = jetstream::new(stranger(&server).await).get_object_store(STORE).await.unwrap();
    let bytes = content(300_000);

    ours.put("of/ours", whole(&bytes)).await.unwrap();
    let mut object = theirs.get("of/ours").await.unwrap();
    let mut read = Vec::new();
    within(object.read_to_end(&mut read)).await.unwrap();
    assert!(read == bytes);

    let metadata = ObjectMetadata { name: "of/theirs".to_owned(), ..Default::default() };
    theirs.put(metadata, &mut bytes.as_slice()).await.unwrap();
    assert!(within(ours.get_all("of/theirs", 1 << 20)).await.unwrap() == bytes);
    let listed = ours.list().await.unwrap();
    assert_eq!(listed.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["of/ours", "of/theirs"]);
    assert_eq!(listed[0].digest, listed[1].digest);
    theirs.delete("of/ours").await.unwrap();
    assert!(matches!(ours.get("of/ours").await, Err(StoreError::NoObject { .. })));
}

/// How many messages the store's stream holds: chunks, and one for each name.
async fn messages(server: &arborgate_testkit::nats::NatsServer) -> u64 {
    let context = jetstream::new(stranger(server).await);
    context.get_stream(format!("OBJ_{STORE}")).await.unwrap().info().await.unwrap().state.messages
}

#[tokio::test]
async fn what_failed_leaves_no_chunk() {
    let server = server().await;
    let store = bus(&server).await.create_objects(STORE).await.unwrap();
    let part = Bytes::from(content(500_000));
    let failing = stream(vec![Ok(part.clone()), Err(std::io::ErrorKind::ConnectionReset.into())]);
    within(store.put("a", failing)).await.unwrap_err();
    assert_eq!(messages(&server).await, 0);
    // Nor does what was given up on the way.
    let endless = futures_util::stream::iter([Ok(part)]);
    let endless = futures_util::StreamExt::chain(endless, futures_util::stream::pending());
    let putting = tokio::spawn({
        let store = store.clone();
        async move { store.put("a", Box::pin(endless)).await }
    });
    eventually("chunks are there", || async { messages(&server).await > 0 }).await;
    putting.abort();
    eventually("no chunk is left", || async { messages(&server).await == 0 }).await;
}

#[tokio::test]
async fn what_was_replaced_leaves_no_chunk_and_what_was_deleted_nothing() {
    let server = server().await;
    let store = bus(&server).await.create_objects(STORE).await.unwrap();
    store.put("a", whole(&content(500_000))).await.unwrap();
    store.put("a", whole(b"short")).await.unwrap();
    // A chunk, and what is said of it.
    assert_eq!(messages(&server).await, 2);
    let racing = (0..8).map(|i| store.put("a", whole(&content(200_000 + i))));
    for put in within(futures_util::future::join_all(racing)).await {
        put.unwrap();
    }
    assert_eq!(messages(&server).await, 3);
    store.delete("a").await.unwrap();
    assert_eq!(messages(&server).await, 0);
}

#[tokio::test]
async fn damage_is_seen() {
    let server = server().await;
    let store = bus(&server).await.create_objects(STORE).await.unwrap();
    let context = jetstream::new(stranger(&server).await);
    let stream = context.get_stream(format!("OBJ_{STORE}")).await.unwrap();
    let bytes = content(300_000);

    // A chunk in the middle is gone.
    store.put("a", whole(&bytes)).await.unwrap();
    assert!(stream.delete_message(2).await.unwrap());
    let error = within(store.get_all("a", 1 << 20)).await.unwrap_err();
    assert!(is_damaged(&error), "{error:?}");

    // A chunk more, and other bytes of the same size.
    store.put("b", whole(&bytes)).await.unwrap();
    let info = context.get_object_store(STORE).await.unwrap().info("b").await.unwrap();
    let chunks = format!("$O.{STORE}.C.{}", info.nuid);
    stream.purge().filter(&chunks).await.unwrap();
    context.publish(chunks.clone(), vec![1; 300_000].into()).await.unwrap().await.unwrap();
    let error = within(store.get_all("b", 1 << 20)).await.unwrap_err();
    assert!(is_damaged(&error), "{error:?}");
    stream.purge().filter(&chunks).await.unwrap();
    context.publish(chunks, vec![1; 300_001].into()).await.unwrap().await.unwrap();
    let error = within(store.get_all("b", 1 << 20)).await.unwrap_err();
    assert!(is_damaged(&error), "{error:?}");
}

fn is_damaged(error: &StoreError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(StoreError::Damaged { .. })) {
            return true;
        }
        if let Some(StoreError::Damaged { .. }) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref())
        {
            return true;
        }
        cause = error.source();
    }
    false
}
