//! Limits hold, through however many replicas.

use std::sync::atomic::Ordering;
use std::time::Duration;

use arborgate_contracts::bucket::LIMITS;
use arborgate_contracts::limiter::{Decision, Limit};
use arborgate_contracts::{ErrorCode, Key, Service};
use arborgate_limiter::{Config, MAX_DECIDED};
use arborgate_runtime::config::HumanDuration;
use futures_util::future::join_all;

use crate::stage::{LONG, MINUTE, Stage, borrow, code, config, decide, limit, until};

/// How many of `count` different requests at once are allowed.
async fn allowed(stage: &Stage, round: &str, count: usize, limit: Limit) -> usize {
    let all = (0..count).map(|n| async move {
        let request = decide("k", format!("{round}-{n}"), limit, 0);
        stage.decide(&request).await.unwrap().allowed
    });
    join_all(all).await.into_iter().filter(|allowed| *allowed).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_a_minute_are_five_of_two_hundred_at_once_through_three_replicas() {
    let stage = Stage::with(3, config()).await;
    let five = limit(5, MINUTE);
    assert_eq!(allowed(&stage, "a", 200, five).await, 5);
    stage.advance(MINUTE - 1);
    assert_eq!(allowed(&stage, "b", 200, five).await, 0);
    stage.advance(1);
    assert_eq!(allowed(&stage, "c", 200, five).await, 5);
    assert_eq!(stage.metric("limiter_decisions_total{outcome=\"allowed\"}"), 10.0);
    assert_eq!(stage.metric("limiter_decisions_total{outcome=\"refused\"}"), 590.0);
    assert_eq!(stage.metric("limiter_keys"), 3.0);
    // Ten permits are at most ten writes that win; each can make those of the two other replicas lose. Refusals write none.
    assert!(stage.faults.written.load(Ordering::SeqCst) <= 30, "refusals write nothing");
}

#[tokio::test]
async fn keys_do_not_disturb_each_other() {
    let stage = Stage::with(2, config()).await;
    let one = limit(1, MINUTE);
    for key in ["a", "b", "c.d", "c"] {
        assert!(stage.decide(&decide(key, "x", one, 0)).await.unwrap().allowed);
        assert!(!stage.decide(&decide(key, "y", one, 0)).await.unwrap().allowed);
    }
}

#[tokio::test]
async fn a_question_repeated_elsewhere_is_counted_once() {
    let stage = Stage::with(3, config()).await;
    let two = limit(2, MINUTE);
    for replica in [0, 1, 2, 0] {
        let decision = stage.decide_at(replica, &decide("k", "same", two, 0), LONG).await.unwrap();
        assert_eq!(decision, Decision { allowed: true, remaining: 1, reset_ms: 60_000, wait_ms: 0 });
    }
    assert_eq!(stage.decide_at(1, &decide("k", "another", two, 0), LONG).await.unwrap().remaining, 0);
    let third = stage.decide_at(2, &decide("k", "third", two, 0), LONG).await.unwrap();
    assert_eq!(third, Decision { allowed: false, remaining: 0, reset_ms: 60_000, wait_ms: 0 });
}

#[tokio::test]
async fn throttling_books_ahead_and_in_turn() {
    let stage = Stage::with(2, config()).await;
    let one = limit(1, 1_000);
    let mut waits = Vec::new();
    for n in 0..4 {
        let decision = stage.decide(&decide("k", n, one, 2_500)).await.unwrap();
        waits.push((decision.allowed, decision.wait_ms, decision.reset_ms));
    }
    assert_eq!(waits, [(true, 0, 1_000), (true, 1_000, 1_000), (true, 2_000, 1_000), (false, 0, 3_000)]);
    stage.advance(400);
    assert_eq!(stage.decide(&decide("k", 1, one, 2_500)).await.unwrap().wait_ms, 600);
    assert_eq!(stage.metric("limiter_decisions_total{outcome=\"waited\"}"), 3.0);
}

#[tokio::test]
async fn the_clocks_of_replicas_may_differ_by_the_tolerance() {
    let tolerant = Config { clock_tolerance: HumanDuration(Duration::from_millis(250)), ..config() };
    let stage = Stage::with(1, tolerant).await;
    let one = limit(1, 1_000);
    assert!(stage.decide(&decide("k", "a", one, 0)).await.unwrap().allowed);
    // The end of the limit's own window is told; who comes then waits for what the clocks may differ by.
    assert_eq!(stage.decide(&decide("k", "b", one, 0)).await.unwrap().reset_ms, 1_000);
    stage.advance(999);
    let early = stage.decide(&decide("k", "c", one, 0)).await.unwrap();
    assert_eq!((early.allowed, early.reset_ms), (false, 1));
    stage.advance(1);
    let c = stage.decide(&decide("k", "c", one, 0)).await.unwrap();
    assert_eq!((c.allowed, c.wait_ms), (true, 250));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loans_of_all_edges_together_keep_the_limit() {
    let stage = Stage::with(3, config()).await;
    let thousand = limit(1_000, 10_000);
    let stage = &stage;
    let loans = (0..50).map(|n| async move { stage.borrow(&borrow("k", n, thousand, 400, &[])).await.unwrap() });
    let loans = join_all(loans).await;
    let lent: u32 = loans.iter().map(|loan| loan.granted).sum();
    assert!(lent <= 1_000 && lent > 980, "{lent}");
    assert!(loans.iter().all(|loan| loan.granted <= 400 && (loan.granted == 0) == (loan.valid_ms == 0)));
    let first = loans.iter().position(|loan| loan.granted == 400).unwrap();
    // The same loan, wherever it is asked again, and what comes back is there for others.
    assert_eq!(stage.borrow(&borrow("k", first, thousand, 400, &[])).await.unwrap().granted, 400);
    let next = stage.borrow(&borrow("k", "next", thousand, 1_000, &[(&first.to_string(), 100)])).await.unwrap();
    assert_eq!(next.granted, (300 + 1_000 - lent).div_ceil(2));
    assert_eq!(stage.metric("limiter_permits_lent_total"), f64::from(lent + 400 + next.granted));
    // Who borrows and who asks for each request share the limit.
    stage.advance(10_000 + 500);
    assert!(stage.decide(&decide("k", "d", thousand, 0)).await.unwrap().allowed);
    assert_eq!(stage.borrow(&borrow("k", "last", thousand, 1_000, &[])).await.unwrap().granted, 500);
}

#[tokio::test]
async fn room_that_others_make_is_seen() {
    let stage = Stage::with(2, config()).await;
    let few = limit(2, 3_600_000);
    let ask = |replica: usize, id: &'static str| {
        let request = decide("k", id, few, 0);
        let stage = &stage;
        async move { stage.decide_at(replica, &request, LONG).await.unwrap().allowed }
    };
    assert_eq!(stage.borrow(&borrow("k", "loan", few, 2, &[])).await.unwrap().granted, 1);
    assert!(ask(0, "a").await && !ask(0, "b").await && !ask(1, "b").await);
    // Whichever replica takes it back, the other hears of it without any time passing on the limiter's clock.
    assert_eq!(stage.borrow(&borrow("k", "none", few, 0, &[("loan", 0)])).await.unwrap().remaining, 1);
    let end = std::time::Instant::now() + LONG;
    while !ask(0, "c").await {
        assert!(std::time::Instant::now() < end, "replica 0 never sees what was returned");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let end = std::time::Instant::now() + LONG;
    while !ask(1, "c").await {
        assert!(std::time::Instant::now() < end, "replica 1 never sees that c was allowed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!ask(0, "d").await);
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_with_every_fault() {
    let stage = Stage::with(1, config()).await;
    let error = stage.decide(&decide("", 1, limit(0, 0), 0)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    let places: Vec<_> = error.faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(places, ["/key", "/limit/permits", "/limit/window_ms"]);
    let high = limit(MAX_DECIDED + 1, MINUTE);
    let error = stage.decide(&decide("k", 1, high, 0)).await.unwrap_err();
    assert!(error.faults[0].detail.contains("10000"), "{error:?}");
    assert!(stage.borrow(&borrow("k", 1, high, 1, &[])).await.is_ok());
    for (key, window) in [("k".repeat(129), MINUTE), ("é".to_owned(), MINUTE), ("k".to_owned(), 86_400_001)] {
        assert_eq!(stage.decide(&decide(&key, 1, limit(1, window), 0)).await.unwrap_err().code, ErrorCode::Invalid);
    }
    let many = vec![("x", 0); 257];
    assert_eq!(stage.borrow(&borrow("k", 1, high, 1, &many)).await.unwrap_err().faults[0].pointer, "/returned");
    assert_eq!(stage.metric("limiter_keys"), 1.0, "what makes no sense makes no actor");
}

#[tokio::test]
async fn keys_are_let_go_and_their_logs_are_not() {
    let stage = Stage::with(1, Config { idle_after: HumanDuration(Duration::from_secs(1)), ..config() }).await;
    let one = limit(1, MINUTE);
    assert!(stage.decide(&decide("k", "a", one, 0)).await.unwrap().allowed);
    assert_eq!(stage.metric("limiter_keys"), 1.0);
    until("the idle key is let go", || stage.metric("limiter_keys") == 0.0).await;
    assert!(!stage.decide(&decide("k", "b", one, 0)).await.unwrap().allowed);
    let bucket = stage.bus.bucket(&LIMITS).await.unwrap();
    assert_eq!(bucket.list(None).await.unwrap().len(), 1);
    assert!(bucket.get(&Key::of(&["k"])).await.unwrap().is_some());
}

#[tokio::test]
async fn more_keys_than_may_be_active_are_refused_until_one_is_idle() {
    let stage = Stage::with(1, Config { keys: 2, ..config() }).await;
    let one = limit(1, MINUTE);
    for key in ["a", "b"] {
        assert!(stage.decide_at(0, &decide(key, "x", one, 0), LONG).await.unwrap().allowed);
    }
    assert_eq!(code(stage.decide_at(0, &decide("c", "x", one, 0), LONG).await.unwrap_err()), ErrorCode::Overloaded);
    assert_eq!(stage.metric("limiter_full_total{queue=\"keys\"}"), 1.0);
    // Known keys are served all the while; after a second without a question one makes room.
    assert!(!stage.decide_at(0, &decide("a", "y", one, 0), LONG).await.unwrap().allowed);
    let end = std::time::Instant::now() + LONG;
    while stage.decide_at(0, &decide("c", "x", one, 0), LONG).await.is_err() {
        assert!(std::time::Instant::now() < end, "no key makes room");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_configuration_that_can_not_work_does_not_start() {
    let bus = Stage::with(0, config()).await.bus;
    let mut registry = prometheus_client::registry::Registry::default();
    let bad = Config { mailbox: 0, ..config() };
    let error = arborgate_limiter::start(bad, bus.clone(), "x".parse().unwrap(), &mut registry).await.err().unwrap();
    assert!(error.to_string().contains("limiter.mailbox is 0"), "{error}");
    // By the system's clock.
    let running =
        arborgate_limiter::start(Config::default(), bus.clone(), "y".parse().unwrap(), &mut registry).await.unwrap();
    let directory = arborgate_bus::Directory::start(&bus, Service::Limiter).await.unwrap();
    until("it is announced", || directory.peers().len() == 1).await;
    running.drain(LONG).await;
    until("it has left", || directory.peers().is_empty()).await;
}
