//! Ends: draining, dropping what serves, closing the bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arborgate_bus::{BusError, Handler, Meta, RequestError, follow};
use arborgate_contracts::bucket::USERS;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, PATIENCE, echo, eventually, handler, soon, subject, within};

conformance!(on [local_memory nats] {
    draining_answers_those_under_way
    draining_waits_no_longer_than_its_grace
    dropping_what_serves_forgets_those_under_way
    closing_ends_requests_and_subscriptions
    a_follower_ends_with_the_bus
    connected_until_closed
});

/// A handler that waits for a permit, and how many began.
fn waiting() -> (Arc<dyn Handler>, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (permits, began) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (p, b) = (Arc::clone(&permits), Arc::clone(&began));
    let handler = handler(move |request| {
        let permits = Arc::clone(&p);
        b.fetch_add(1, Ordering::SeqCst);
        async move {
            permits.acquire().await.unwrap().forget();
            Ok(request.payload)
        }
    });
    (handler, permits, began)
}

fn ask(f: &Fixture, into: &mut JoinSet<Result<Bytes, RequestError>>, name: &'static str, meta: Meta) {
    let bus = f.one.bus.clone();
    into.spawn(async move { bus.request(&subject(name), Bytes::from_static(b"x"), meta).await });
}

async fn draining_answers_those_under_way(f: Fixture) {
    let (answer, permits, began) = waiting();
    let serving = f.two.bus.serve(&subject("drain"), Some("g"), 64, answer).await.unwrap();
    let mut asked = JoinSet::new();
    for _ in 0..3 {
        ask(&f, &mut asked, "drain", soon());
    }
    eventually("three began", || async { began.load(Ordering::SeqCst) == 3 }).await;
    let drained = tokio::spawn(serving.drain(PATIENCE));
    eventually("no more are taken", || async {
        let meta = Meta::within(Duration::from_millis(100));
        let outcome = f.one.bus.request(&subject("drain"), Bytes::new(), meta).await;
        matches!(outcome, Err(RequestError::NoResponders { .. }))
    })
    .await;
    assert!(!drained.is_finished());
    permits.add_permits(1000);
    while let Some(done) = within(asked.join_next()).await {
        assert_eq!(done.unwrap().unwrap(), "x");
    }
    within(drained).await.unwrap();
}

async fn draining_waits_no_longer_than_its_grace(f: Fixture) {
    let (answer, _permits, began) = waiting();
    let serving = f.two.bus.serve(&subject("stuck"), Some("g"), 64, answer).await.unwrap();
    let mut asked = JoinSet::new();
    ask(&f, &mut asked, "stuck", Meta::within(Duration::from_secs(2)));
    eventually("it began", || async { began.load(Ordering::SeqCst) == 1 }).await;
    within(serving.drain(Duration::from_millis(50))).await;
    let outcome = within(asked.join_next()).await.unwrap().unwrap();
    assert!(outcome.is_err(), "{outcome:?}");
}

async fn dropping_what_serves_forgets_those_under_way(f: Fixture) {
    let (answer, _permits, began) = waiting();
    let serving = f.two.bus.serve(&subject("dropped"), Some("g"), 64, answer).await.unwrap();
    let mut asked = JoinSet::new();
    ask(&f, &mut asked, "dropped", Meta::within(Duration::from_secs(2)));
    eventually("it began", || async { began.load(Ordering::SeqCst) == 1 }).await;
    drop(serving);
    match within(asked.join_next()).await.unwrap().unwrap() {
        // Not `NoResponders`: the work was begun, so it is no fact that it was not done.
        Err(RequestError::Timeout { .. } | RequestError::Bus(BusError::Transport { .. })) => {}
        other => panic!("{other:?}"),
    }
}

async fn closing_ends_requests_and_subscriptions(f: Fixture) {
    let (answer, _permits, began) = waiting();
    let _serving = f.two.bus.serve(&subject("closing"), None, 64, answer).await.unwrap();
    let mut heard = f.one.bus.subscribe(&subject("news"), 8).await.unwrap();
    let mut asked = JoinSet::new();
    ask(&f, &mut asked, "closing", soon());
    eventually("it began", || async { began.load(Ordering::SeqCst) == 1 }).await;
    within(f.one.bus.close()).await;
    let outcome = within(asked.join_next()).await.unwrap().unwrap();
    assert!(matches!(outcome, Err(RequestError::Bus(BusError::Closed))), "{outcome:?}");
    assert!(within(heard.next()).await.is_none());

    let later = within(f.one.bus.request(&subject("closing"), Bytes::new(), soon())).await;
    assert!(matches!(later, Err(RequestError::Bus(BusError::Closed))), "{later:?}");
    let later = within(f.one.bus.publish(&subject("news"), Bytes::new())).await;
    assert!(matches!(later, Err(BusError::Closed)), "{later:?}");
    assert!(matches!(within(f.one.bus.subscribe(&subject("news"), 8)).await, Err(BusError::Closed)));
    assert!(matches!(within(f.one.bus.serve(&subject("x"), None, 8, echo())).await, Err(BusError::Closed)));
    within(f.one.bus.close()).await;
}

/// Not that it begins again and again, and says that a watch broke.
async fn a_follower_ends_with_the_bus(f: Fixture) {
    let bucket = f.one.bus.create_bucket(&USERS).await.unwrap();
    let follows = Arc::new(());
    let held = Arc::clone(&follows);
    let _follower = follow(bucket, move |_| drop(Arc::clone(&held))).await.unwrap();
    assert_eq!(Arc::strong_count(&follows), 2);
    within(f.one.bus.close()).await;
    eventually("it has ended", || async { Arc::strong_count(&follows) == 1 }).await;
}

async fn connected_until_closed(f: Fixture) {
    let mut connected = f.one.bus.connected();
    within(connected.wait_for(|is| *is)).await.unwrap();
    f.one.bus.close().await;
    // The sender may be gone with the bus: what it said last stays.
    let _ = within(connected.wait_for(|is| !*is)).await;
    assert!(!*connected.borrow());
}
