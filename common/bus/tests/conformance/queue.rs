//! Work queues: each message to one who takes it, again until it is acknowledged, never after that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arborgate_bus::{Added, Delivery, Queue, StoreError};
use arborgate_contracts::RequestId;
use arborgate_contracts::queue::QueueSpec;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::fixture::{Fixture, eventually, within};

conformance!(on [local_memory local_disk nats] {
    a_queue_is_there_only_once_made
    what_is_published_is_delivered_and_gone_once_acknowledged
    what_a_dead_consumer_had_is_delivered_again
    work_that_goes_on_is_left_alone
    what_is_dropped_or_given_back_is_delivered_again
    one_who_stops_waiting_takes_nothing_along
    several_share_and_none_works_twice
    one_id_is_there_once
    a_full_queue_refuses_and_recovers
    a_message_that_always_fails_is_given_up
    what_is_too_large_is_refused
    who_waits_is_told_that_it_is_closed
});

/// Left for long.
static WORK: QueueSpec =
    QueueSpec { name: "work", max_messages: 8, max_message: 1024, ack_wait: Duration::from_secs(3600), max_deliver: 3 };
/// Left for a moment.
static HASTY: QueueSpec = QueueSpec { ack_wait: Duration::from_millis(400), ..WORK };
static WIDE: QueueSpec = QueueSpec { max_messages: 10_000, ..WORK };

const SOON: Duration = Duration::from_millis(700);

fn id(text: &str) -> RequestId {
    text.parse().unwrap()
}

async fn make(f: &Fixture, spec: &'static QueueSpec) -> (Queue, Queue) {
    let one = f.one.bus.create_queue(spec).await.unwrap();
    (one, f.two.bus.queue(spec).await.unwrap())
}

async fn put(queue: &Queue, text: &str) -> Added {
    within(queue.publish(&id(text), Bytes::copy_from_slice(text.as_bytes()))).await.unwrap()
}

async fn take(queue: &Queue) -> Delivery {
    within(queue.next()).await.unwrap()
}

async fn nothing_comes(queue: &Queue) {
    if let Ok(taken) = timeout(SOON, queue.next()).await {
        let taken = taken.unwrap();
        panic!("{taken:?}: {:?}", taken.payload);
    }
}

async fn a_queue_is_there_only_once_made(f: Fixture) {
    match f.two.bus.queue(&WORK).await {
        Err(StoreError::NoBucket { bucket }) => assert_eq!(bucket, "work"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was never made"),
    }
    let (one, _) = make(&f, &WORK).await;
    put(&one, "a").await;
    let again = f.two.bus.create_queue(&WORK).await.unwrap();
    assert_eq!(again.length().await.unwrap(), 1);
    assert_eq!(take(&again).await.payload, "a");
}

async fn what_is_published_is_delivered_and_gone_once_acknowledged(f: Fixture) {
    let (one, two) = make(&f, &WORK).await;
    for text in ["a", "b", "c"] {
        assert_eq!(put(&one, text).await, Added::New);
    }
    for text in ["a", "b", "c"] {
        let taken = take(&two).await;
        assert_eq!((&taken.payload[..], taken.attempt, taken.exhausted), (text.as_bytes(), 1, false));
        within(taken.ack()).await.unwrap();
    }
    eventually("nothing is left", || async { one.length().await.unwrap() == 0 }).await;
    nothing_comes(&one).await;
}

async fn what_a_dead_consumer_had_is_delivered_again(f: Fixture) {
    let (one, two) = make(&f, &HASTY).await;
    put(&one, "a").await;
    // As a process that is killed: it says nothing any more.
    std::mem::forget(take(&one).await);
    let taken = take(&two).await;
    assert_eq!((&taken.payload[..], taken.attempt), (&b"a"[..], 2));
    within(taken.ack()).await.unwrap();
    nothing_comes(&one).await;
}

async fn work_that_goes_on_is_left_alone(f: Fixture) {
    let (one, two) = make(&f, &HASTY).await;
    put(&one, "a").await;
    let taken = take(&one).await;
    taken.held(async { nothing_comes(&two).await }).await;
    within(taken.ack()).await.unwrap();
    nothing_comes(&two).await;
}

async fn what_is_dropped_or_given_back_is_delivered_again(f: Fixture) {
    let (one, two) = make(&f, &WORK).await;
    put(&one, "a").await;
    drop(take(&one).await);
    let taken = take(&two).await;
    assert_eq!(taken.attempt, 2);
    let began = Instant::now();
    within(taken.release(SOON)).await.unwrap();
    assert_eq!(take(&one).await.attempt, 3);
    // A server may be a little early by its own clock.
    assert!(began.elapsed() > SOON - Duration::from_millis(50), "{:?}", began.elapsed());
}

async fn one_who_stops_waiting_takes_nothing_along(f: Fixture) {
    let (one, two) = make(&f, &WORK).await;
    for _ in 0..5 {
        assert!(timeout(Duration::from_millis(20), one.next()).await.is_err());
    }
    for text in ["a", "b", "c"] {
        put(&one, text).await;
    }
    let mut all = BTreeSet::new();
    while all.len() < 3 {
        let taken = take(&two).await;
        all.insert(taken.payload.clone());
        within(taken.ack()).await.unwrap();
    }
}

async fn several_share_and_none_works_twice(f: Fixture) {
    const MESSAGES: usize = 200;
    let (one, two) = make(&f, &WIDE).await;
    let mut workers = JoinSet::new();
    for worker in 0..4 {
        let queue = if worker % 2 == 0 { one.clone() } else { two.clone() };
        workers.spawn(async move {
            let mut done = Vec::new();
            while let Ok(taken) = timeout(2 * SOON, queue.next()).await {
                let taken = taken.unwrap();
                done.push(taken.payload.clone());
                taken.ack().await.unwrap();
            }
            done
        });
    }
    for i in 0..MESSAGES {
        put(&one, &format!("m{i}")).await;
    }
    let mut times: BTreeMap<Bytes, usize> = BTreeMap::new();
    let mut busy = 0;
    while let Some(done) = within(workers.join_next()).await {
        let done = done.unwrap();
        busy += usize::from(!done.is_empty());
        done.into_iter().for_each(|payload| *times.entry(payload).or_default() += 1);
    }
    assert_eq!(times.len(), MESSAGES);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    assert!(busy > 1);
}

async fn one_id_is_there_once(f: Fixture) {
    let (one, two) = make(&f, &WORK).await;
    let mut racing = JoinSet::new();
    for i in 0..8 {
        let queue = if i % 2 == 0 { one.clone() } else { two.clone() };
        racing.spawn(async move { put(&queue, "a").await });
    }
    let added = racing.join_all().await;
    assert_eq!(added.iter().filter(|added| **added == Added::New).count(), 1, "{added:?}");
    let taken = take(&one).await;
    // Also while somebody works on it.
    assert_eq!(put(&two, "a").await, Added::AlreadyThere);
    within(taken.ack()).await.unwrap();
    nothing_comes(&one).await;
    // Done is done: the same is new work.
    assert_eq!(put(&two, "a").await, Added::New);
    // Perhaps not the first time: it may have been on its way to who stopped waiting just now.
    assert_eq!(take(&one).await.payload, "a");
}

async fn a_full_queue_refuses_and_recovers(f: Fixture) {
    let (one, two) = make(&f, &WORK).await;
    for i in 0..WORK.max_messages {
        put(&one, &format!("m{i}")).await;
    }
    // What is there is no fault, however full.
    assert_eq!(put(&two, "m0").await, Added::AlreadyThere);
    match within(one.publish(&id("more"), Bytes::new())).await {
        Err(StoreError::QueueFull { queue }) => assert_eq!(queue, "work"),
        other => panic!("{other:?}"),
    }
    let taken = take(&two).await;
    let still = within(one.publish(&id("more"), Bytes::new())).await;
    assert!(matches!(still, Err(StoreError::QueueFull { .. })), "{still:?}");
    within(taken.ack()).await.unwrap();
    eventually("there is room", || async { one.publish(&id("more"), Bytes::new()).await.is_ok() }).await;
}

async fn a_message_that_always_fails_is_given_up(f: Fixture) {
    let (one, two) = make(&f, &WORK).await;
    put(&one, "a").await;
    for attempt in 1..=WORK.max_deliver {
        let taken = take(&one).await;
        assert_eq!((taken.attempt, taken.exhausted), (attempt, false));
    }
    let last = take(&two).await;
    assert!(last.exhausted, "{last:?}");
    // Whoever gives it up may die as well.
    drop(last);
    let last = take(&two).await;
    assert!(last.exhausted, "{last:?}");
    within(last.ack()).await.unwrap();
    nothing_comes(&one).await;
    assert_eq!(one.length().await.unwrap(), 0);
}

async fn what_is_too_large_is_refused(f: Fixture) {
    let (one, _) = make(&f, &WORK).await;
    let fits = Bytes::from(vec![7; WORK.max_message]);
    let over = Bytes::from(vec![7; WORK.max_message + 1]);
    let refused = within(one.publish(&id("over"), over)).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { size: 1025, limit: 1024, .. })), "{refused:?}");
    within(one.publish(&id("fits"), fits.clone())).await.unwrap();
    assert_eq!(take(&one).await.payload, fits);
}

async fn who_waits_is_told_that_it_is_closed(f: Fixture) {
    let (one, _) = make(&f, &WORK).await;
    let waiting = tokio::spawn({
        let queue = one.clone();
        async move { queue.next().await.map(drop) }
    });
    // Whether it waits already or not, it ends.
    f.one.bus.close().await;
    let error = within(waiting).await.unwrap().unwrap_err();
    assert!(error.is_closed(), "{error:?}");
    assert!(within(one.publish(&id("late"), Bytes::new())).await.is_err());
}
