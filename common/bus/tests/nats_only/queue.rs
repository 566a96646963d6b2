//! Work queues whose server dies, and whose consumer is gone.

use std::time::Duration;

use arborgate_bus::Added;
use arborgate_contracts::queue::QueueSpec;
use async_nats::jetstream;
use bytes::Bytes;

use crate::support::{bus, eventually, server, stranger, until_connected, within};

static WORK: QueueSpec = QueueSpec {
    name: "work",
    max_messages: 100,
    max_message: 1024,
    ack_wait: Duration::from_millis(500),
    max_deliver: 3,
};

#[tokio::test]
async fn what_waits_survives_the_server_and_so_do_those_who_wait() {
    let mut server = server().await;
    let bus = bus(&server).await;
    let queue = bus.create_queue(&WORK).await.unwrap();
    let id = |text: &str| text.parse().unwrap();
    queue.publish(&id("done"), Bytes::from_static(b"done")).await.unwrap();
    within(queue.next()).await.unwrap().ack().await.unwrap();
    queue.publish(&id("begun"), Bytes::from_static(b"begun")).await.unwrap();
    let begun = within(queue.next()).await.unwrap();
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await }
    });
    server.kill().unwrap();
    until_connected(&bus, false).await;
    assert!(queue.publish(&id("lost"), Bytes::new()).await.is_err());
    std::mem::forget(begun);
    server.restart().await.unwrap();
    let again = within(waiting).await.unwrap().unwrap();
    // How often it was delivered the server may have forgotten.
    assert_eq!(again.payload, "begun");
    assert_eq!(within(queue.publish(&id("begun"), Bytes::new())).await.unwrap(), Added::AlreadyThere);
    within(again.ack()).await.unwrap();
    eventually("nothing is left", || async { queue.length().await.is_ok_and(|left| left == 0) }).await;
}

#[tokio::test]
async fn a_consumer_that_was_deleted_is_made_again() {
    let server = server().await;
    let bus = bus(&server).await;
    let queue = bus.create_queue(&WORK).await.unwrap();
    let stream = jetstream::new(stranger(&server).await).get_stream("QUEUE_work").await.unwrap();
    stream.delete_consumer("workers").await.unwrap();
    queue.publish(&"a".parse().unwrap(), Bytes::from_static(b"a")).await.unwrap();
    let taken = within(queue.next()).await.unwrap();
    assert_eq!(taken.payload, "a");
    within(taken.ack()).await.unwrap();
}
