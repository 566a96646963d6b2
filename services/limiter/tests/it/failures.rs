//! Replicas that go, and a state that fails, is late, is lost or is damaged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arborgate_bus::RequestError;
use arborgate_contracts::bucket::LIMITS;
use arborgate_contracts::{ErrorCode, Key};
use arborgate_limiter::Config;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::stage::{Fault, LONG, MINUTE, Stage, borrow, code, config, decide, limit, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_goes_midway_loses_nothing() {
    let mut stage = Stage::with(3, config()).await;
    let forty = limit(40, MINUTE);
    let ask = |n: u32| {
        let (client, request) = (stage.client.clone(), decide("k", n, forty, 0));
        tokio::spawn(async move {
            let meta = arborgate_bus::Meta::within(LONG);
            client.call(&request, None, meta).await.unwrap().allowed
        })
    };
    let mut asked: Vec<_> = (0..30).map(ask).collect();
    tokio::task::yield_now().await;
    // One falls over with what it was doing, one leaves as it should.
    let (_, falls, _) = stage.replicas.remove(0);
    drop(falls);
    asked.extend((30..60).map(ask));
    let (_, leaves, _) = stage.replicas.remove(0);
    let leaving = tokio::spawn(leaves.drain(LONG));
    asked.extend((60..120).map(ask));
    leaving.await.unwrap();
    let allowed = join_all(asked).await.into_iter().filter(|allowed| *allowed.as_ref().unwrap()).count();
    assert_eq!(allowed, 40);
    assert!(!stage.decide(&decide("k", "late", forty, 0)).await.unwrap().allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_conflicts_counts_right() {
    let stage = Stage::with(3, config()).await;
    let hundred = limit(100, MINUTE);
    // Beside the conflicts that three replicas make by themselves, every second write meets one.
    stage
        .faults
        .writes
        .lock()
        .extend((0..400).map(|n| if n % 2 == 0 { Fault::Conflict } else { Fault::Stalled(open()) }));
    let stage = &stage;
    let all = (0..300).map(|n| async move { stage.decide(&decide("k", n, hundred, 0)).await.unwrap().allowed });
    assert_eq!(join_all(all).await.into_iter().filter(|allowed| *allowed).count(), 100);
    assert!(stage.metric("limiter_conflicts_total") >= 1.0);
}

fn open() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

#[tokio::test]
async fn a_write_of_which_nobody_knows_is_counted_once() {
    let stage = Stage::with(1, config()).await;
    let two = limit(2, MINUTE);
    stage.faults.writes.lock().push_back(Fault::BrokenAfterwards);
    let decision = stage.decide(&decide("k", "a", two, 0)).await.unwrap();
    assert_eq!((decision.allowed, decision.remaining), (true, 1));
    stage.faults.writes.lock().push_back(Fault::Broken);
    let decision = stage.decide(&decide("k", "b", two, 0)).await.unwrap();
    assert_eq!((decision.allowed, decision.remaining), (true, 0));
    assert_eq!(stage.metric("limiter_state_failures_total"), 2.0);
}

#[tokio::test]
async fn a_state_that_stays_broken_is_said_to_be() {
    let stage = Stage::with(1, config()).await;
    let one = limit(1, MINUTE);
    stage.faults.reads.lock().extend((0..3).map(|_| Fault::Broken));
    let error = stage.decide(&decide("k", "a", one, 0)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(stage.decide(&decide("k", "a", one, 0)).await.unwrap().allowed, "it recovers");
}

#[tokio::test]
async fn when_the_bucket_is_lost_limits_start_empty() {
    let stage = Stage::with(2, config()).await;
    let one = limit(1, MINUTE);
    let made = stage.faults.made_anew.load(Ordering::SeqCst);
    assert!(stage.decide(&decide("k", "a", one, 0)).await.unwrap().allowed);
    // As NATS does when its only server restarts: the entry is gone and so is the bucket.
    stage.bus.bucket(&LIMITS).await.unwrap().delete(&Key::of(&["k"]), None).await.unwrap();
    stage.faults.reads.lock().push_back(Fault::NoBucket);
    stage.faults.writes.lock().push_back(Fault::NoBucket);
    let end = std::time::Instant::now() + LONG;
    let mut n = 0;
    while !stage.decide_at(0, &decide("k", format!("b{n}"), one, 0), LONG).await.unwrap().allowed {
        assert!(std::time::Instant::now() < end, "replica 0 never sees that its state is lost");
        tokio::time::sleep(Duration::from_millis(10)).await;
        n += 1;
    }
    assert!(stage.faults.made_anew.load(Ordering::SeqCst) > made);
    assert!(stage.metric("limiter_state_lost_total") >= 1.0);
    assert!(!stage.decide_at(0, &decide("k", "d", one, 0), LONG).await.unwrap().allowed);
}

#[tokio::test]
async fn a_log_that_can_not_be_read_allows_nothing() {
    let stage = Stage::with(1, config()).await;
    let bucket = stage.bus.bucket(&LIMITS).await.unwrap();
    let key = Key::of(&["k"]);
    let revision = bucket.create(&key, vec![9, 9, 9].into()).await.unwrap();
    let error = stage.decide(&decide("k", "a", limit(5, MINUTE), 0)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(bucket.get(&key).await.unwrap().unwrap().revision, revision, "and changes nothing");
}

#[tokio::test]
async fn a_state_that_is_late_makes_questions_time_out_and_what_nobody_awaits_is_not_counted() {
    let stage = Stage::with(1, Config { mailbox: 2, ..config() }).await;
    let (gate, two) = (Arc::new(Semaphore::new(0)), limit(2, MINUTE));
    stage.faults.reads.lock().push_back(Fault::Stalled(Arc::clone(&gate)));
    let patient_request = decide("k", "patient", two, 0);
    let patient = stage.decide_at(0, &patient_request, LONG);
    let others = async {
        // The actor has taken the first; two more may wait, and the next is refused at once.
        until("the actor reads", || stage.faults.reads.lock().is_empty()).await;
        let brief = Duration::from_millis(100);
        let requests = [decide("k", "x", two, 0), decide("k", "y", two, 0), decide("k", "z", two, 0)];
        let outcomes = join_all(requests.iter().map(|request| stage.decide_at(0, request, brief))).await;
        let late = |error: &RequestError| match error {
            RequestError::Timeout { .. } => true,
            RequestError::Service(error) => error.code == ErrorCode::DeadlineExceeded,
            _ => false,
        };
        let errors: Vec<_> = outcomes.into_iter().map(Result::unwrap_err).collect();
        assert_eq!(errors.iter().filter(|error| late(error)).count(), 2, "{errors:?}");
        let full: Vec<_> = errors.into_iter().filter(|error| !late(error)).map(code).collect();
        assert_eq!(full, [ErrorCode::Overloaded]);
        assert_eq!(stage.metric("limiter_full_total{queue=\"mailbox\"}"), 1.0);
        gate.add_permits(1);
    };
    let (patient, ()) = tokio::join!(patient, others);
    assert_eq!(patient.unwrap().remaining, 1);
    let next = stage.decide(&decide("k", "next", two, 0)).await.unwrap();
    assert_eq!((next.allowed, next.remaining), (true, 0), "those who gave up were not counted");
}

#[tokio::test]
async fn a_state_that_hangs_holds_nobody_beyond_the_deadline() {
    let stage = Stage::with(1, config()).await;
    let never = Arc::new(Semaphore::new(0));
    stage.faults.writes.lock().push_back(Fault::Stalled(Arc::clone(&never)));
    let one = limit(1, MINUTE);
    assert!(stage.decide_at(0, &decide("k", "a", one, 0), Duration::from_millis(50)).await.is_err());
    // The actor has given up as well, and the next finds it at work.
    assert!(stage.decide_at(0, &decide("k", "b", one, 0), LONG).await.unwrap().allowed);
}

#[tokio::test]
async fn draining_answers_what_is_under_way() {
    let mut stage = Stage::with(1, config()).await;
    let gate = Arc::new(Semaphore::new(0));
    stage.faults.reads.lock().push_back(Fault::Stalled(Arc::clone(&gate)));
    let (_, running, _registry) = stage.replicas.pop().unwrap();
    let request = borrow("k", 1, limit(100, MINUTE), 10, &[]);
    let asking = stage.borrow(&request);
    let ending = async {
        until("the actor reads", || stage.faults.reads.lock().is_empty()).await;
        let drain = tokio::spawn(running.drain(LONG));
        until("it has left", || stage.directory.peers().is_empty()).await;
        gate.add_permits(1);
        drain.await.unwrap();
    };
    let (loan, ()) = tokio::join!(asking, ending);
    assert_eq!(loan.unwrap().granted, 10);
    let request = decide("k", "late", limit(1, MINUTE), 0);
    let meta = arborgate_bus::Meta::within(Duration::from_millis(200));
    assert!(stage.client.call(&request, None, meta).await.is_err(), "nobody is left");
}
