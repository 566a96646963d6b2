//! Publish and subscribe: who hears what, in which order, and what a slow subscriber misses.

use bytes::Bytes;

use crate::fixture::{Fixture, eventually, subject, within};

conformance!(on [local_memory nats] {
    every_subscriber_hears_everything_in_order
    nobody_need_hear
    a_slow_subscriber_misses_the_newest_and_it_is_counted
    a_subscriber_that_left_is_not_waited_for
    too_large_to_publish
});

fn numbered(i: usize) -> Bytes {
    Bytes::from(i.to_string())
}

async fn every_subscriber_hears_everything_in_order(f: Fixture) {
    let mut here = f.one.bus.subscribe(&subject("news"), 64).await.unwrap();
    let mut there = f.two.bus.subscribe(&subject("news"), 64).await.unwrap();
    let mut other = f.two.bus.subscribe(&subject("other"), 64).await.unwrap();
    for i in 0..50 {
        f.one.bus.publish(&subject("news"), numbered(i)).await.unwrap();
    }
    f.one.bus.publish(&subject("other"), Bytes::new()).await.unwrap();
    for i in 0..50 {
        assert_eq!(within(here.next()).await.unwrap(), numbered(i));
        assert_eq!(within(there.next()).await.unwrap(), numbered(i));
    }
    assert_eq!(within(other.next()).await.unwrap(), Bytes::new());
}

async fn nobody_need_hear(f: Fixture) {
    f.one.bus.publish(&subject("void"), Bytes::from_static(b"x")).await.unwrap();
    // And nothing is kept for who comes later.
    let mut late = f.two.bus.subscribe(&subject("void"), 8).await.unwrap();
    f.one.bus.publish(&subject("void"), Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(within(late.next()).await.unwrap(), "y");
}

async fn a_slow_subscriber_misses_the_newest_and_it_is_counted(f: Fixture) {
    let mut slow = f.two.bus.subscribe(&subject("flood"), 4).await.unwrap();
    let mut quick = f.two.bus.subscribe(&subject("flood"), 200).await.unwrap();
    for i in 0..100 {
        f.one.bus.publish(&subject("flood"), numbered(i)).await.unwrap();
    }
    for i in 0..100 {
        assert_eq!(within(quick.next()).await.unwrap(), numbered(i));
    }
    eventually("what did not fit was counted", || async { f.two.metrics.dropped.get() == 96 }).await;
    for i in 0..4 {
        assert_eq!(within(slow.next()).await.unwrap(), numbered(i));
    }
    f.one.bus.publish(&subject("flood"), Bytes::from_static(b"after")).await.unwrap();
    assert_eq!(within(slow.next()).await.unwrap(), "after");
}

async fn a_subscriber_that_left_is_not_waited_for(f: Fixture) {
    let left = f.two.bus.subscribe(&subject("left"), 1).await.unwrap();
    let mut stays = f.two.bus.subscribe(&subject("left"), 64).await.unwrap();
    drop(left);
    for i in 0..50 {
        f.one.bus.publish(&subject("left"), numbered(i)).await.unwrap();
    }
    for i in 0..50 {
        assert_eq!(within(stays.next()).await.unwrap(), numbered(i));
    }
}

async fn too_large_to_publish(f: Fixture) {
    let mut heard = f.two.bus.subscribe(&subject("large"), 8).await.unwrap();
    let large = Bytes::from(vec![1; f.one.bus.max_payload() + 1]);
    assert!(within(f.one.bus.publish(&subject("large"), large)).await.is_err());
    f.one.bus.publish(&subject("large"), Bytes::from_static(b"small")).await.unwrap();
    assert_eq!(within(heard.next()).await.unwrap(), "small");
}
