//! Connections that are not there yet, break, and come back.

use std::io::Write;
use std::sync::{Arc, Mutex};

use arborgate_bus::{BusError, RequestError, StoreError};
use arborgate_contracts::bucket::{BucketSpec, Storage};
use bytes::Bytes;
use tracing::instrument::WithSubscriber;

use crate::support::{
    SPEC, THINGS, ages, bus, bus_by, config, echo, eventually, handler, key, server, server_with, soon, subject,
    until_connected, within,
};

/// A place that log lines are written to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn one_that_comes_before_nats_waits_and_says_so() {
    let mut server = server().await;
    server.stop().await.unwrap();
    let log = Log::default();
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish();
    let config = config(&server);
    let connecting = tokio::spawn(async move { bus_by(&config).await }.with_subscriber(subscriber));
    let said = format!("waiting for NATS at 127.0.0.1:{}", server.port());
    eventually("it says that it waits", || async { log.text().contains(&said) }).await;
    assert!(!connecting.is_finished());
    server.restart().await.unwrap();
    let bus = within(connecting).await.unwrap();
    let _serving = bus.serve(&subject("late"), None, 1, echo()).await.unwrap();
    within(bus.request(&subject("late"), Bytes::new(), soon())).await.unwrap();
}

#[tokio::test]
async fn after_a_restart_of_the_server_everything_goes_on() {
    let mut server = server().await;
    let (one, two) = (bus(&server).await, bus(&server).await);
    let _serving = two.serve(&subject("echo"), Some("g"), 8, echo()).await.unwrap();
    let mut heard = two.subscribe(&subject("news"), 8).await.unwrap();
    let things = one.create_bucket(&THINGS).await.unwrap();
    things.put(&key("a"), Bytes::from_static(b"1")).await.unwrap();

    server.stop().await.unwrap();
    until_connected(&one, false).await;
    until_connected(&two, false).await;
    // At once, and not when the deadline is over.
    let asked = within(one.request(&subject("echo"), Bytes::new(), ages())).await;
    assert!(matches!(asked, Err(RequestError::Bus(BusError::Transport { .. }))), "{asked:?}");
    assert!(within(one.publish(&subject("news"), Bytes::new())).await.is_err());
    assert!(within(things.get(&key("a"))).await.is_err());
    assert!(within(one.serve(&subject("x"), None, 1, echo())).await.is_err());

    server.restart().await.unwrap();
    until_connected(&one, true).await;
    until_connected(&two, true).await;
    within(one.request(&subject("echo"), Bytes::new(), soon())).await.unwrap();
    one.publish(&subject("news"), Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(within(heard.next()).await.unwrap(), "again");
    // JetStream may need a moment longer than NATS.
    eventually("the bucket is there again", || async { things.get(&key("a")).await.is_ok() }).await;
    assert_eq!(things.get(&key("a")).await.unwrap().unwrap().value, "1");
    things.put(&key("a"), Bytes::from_static(b"2")).await.unwrap();
}

#[tokio::test]
async fn requests_under_way_learn_that_the_connection_broke() {
    let mut server = server().await;
    let (one, two) = (bus(&server).await, bus(&server).await);
    let (began, mut begun) = tokio::sync::mpsc::channel(1);
    let stuck = handler(move |_| {
        let began = began.clone();
        async move {
            began.send(()).await.unwrap();
            std::future::pending().await
        }
    });
    let _serving = two.serve(&subject("stuck"), None, 8, stuck).await.unwrap();
    let asking = tokio::spawn(async move { one.request(&subject("stuck"), Bytes::new(), ages()).await });
    within(begun.recv()).await.unwrap();
    server.kill().unwrap();
    let asked = within(asking).await.unwrap();
    assert!(matches!(asked, Err(RequestError::Bus(BusError::Transport { .. }))), "{asked:?}");
}

#[tokio::test]
async fn a_bucket_in_memory_is_gone_with_the_server() {
    static FLEETING: BucketSpec = BucketSpec { name: "fleeting", storage: Storage::Memory, ..SPEC };
    let mut server = server().await;
    let bus = bus(&server).await;
    let fleeting = bus.create_bucket(&FLEETING).await.unwrap();
    fleeting.put(&key("a"), Bytes::new()).await.unwrap();
    server.stop().await.unwrap();
    until_connected(&bus, false).await;
    server.restart().await.unwrap();
    until_connected(&bus, true).await;
    eventually("it is known to be gone", || async {
        matches!(bus.bucket(&FLEETING).await, Err(StoreError::NoBucket { .. }))
    })
    .await;
}

#[tokio::test]
async fn the_server_says_how_large_a_message_may_be() {
    let server = server_with("max_payload: 65536\n").await;
    let bus = bus(&server).await;
    let limit = bus.max_payload();
    assert!(limit > 60_000 && limit < 65_536, "{limit}");
    let _serving = bus.serve(&subject("echo"), None, 1, echo()).await.unwrap();
    let brim = Bytes::from(vec![1; limit]);
    assert_eq!(within(bus.request(&subject("echo"), brim.clone(), soon())).await.unwrap(), brim);
    // Values and objects keep to it, too.
    static LARGE: BucketSpec = BucketSpec { max_value: 1 << 20, ..SPEC };
    let large = bus.create_bucket(&LARGE).await.unwrap();
    match large.put(&key("a"), Bytes::from(vec![1; 65_536])).await {
        Err(StoreError::TooLarge { size, limit: named, .. }) => assert_eq!((size, named), (65_536, limit)),
        other => panic!("{other:?}"),
    }
    let store = bus.create_objects("objects").await.unwrap();
    let content = Bytes::from(vec![9; 300_000]);
    let stream = Box::pin(futures_util::stream::iter([Ok(content.clone())]));
    within(store.put("a", stream)).await.unwrap();
    assert_eq!(within(store.get_all("a", 1 << 20)).await.unwrap(), content);
}
