//! Deadlines: how long a request waits, and what its handler learns of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arborgate_bus::{Meta, RequestError};
use arborgate_contracts::Deadline;
use bytes::Bytes;

use crate::fixture::{Fixture, PATIENCE, handler, soon, subject, within};

conformance!(on [local_memory nats] {
    a_slow_handler_is_not_waited_for
    a_deadline_that_has_passed_asks_nobody
    the_handler_knows_what_is_left
});

async fn a_slow_handler_is_not_waited_for(f: Fixture) {
    let answer = handler(|request| async move {
        if request.payload.is_empty() {
            std::future::pending::<()>().await;
        }
        Ok(request.payload)
    });
    let _serving = f.two.bus.serve(&subject("slow"), None, 8, answer).await.unwrap();
    let meta = Meta::within(Duration::from_millis(100));
    match within(f.one.bus.request(&subject("slow"), Bytes::new(), meta)).await {
        Err(RequestError::Timeout { subject: named }) => assert_eq!(named, subject("slow").as_str()),
        other => panic!("{other:?}"),
    }
    assert!(meta.deadline.has_passed(), "it gave up early");
    // What nobody waits for takes no room for ever.
    for _ in 0..20 {
        let meta = Meta::within(Duration::from_millis(10));
        let outcome = within(f.one.bus.request(&subject("slow"), Bytes::new(), meta)).await;
        assert!(matches!(outcome, Err(RequestError::Timeout { .. } | RequestError::Full { .. })), "{outcome:?}");
    }
    crate::fixture::eventually("it answers again", || async {
        f.one.bus.request(&subject("slow"), Bytes::from_static(b"x"), soon()).await.is_ok()
    })
    .await;
}

async fn a_deadline_that_has_passed_asks_nobody(f: Fixture) {
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let answer = handler(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok(Bytes::new()) }
    });
    let _serving = f.two.bus.serve(&subject("late"), None, 8, answer).await.unwrap();
    let late = Meta { deadline: Deadline::after(Duration::ZERO), trace: None };
    for _ in 0..10 {
        let outcome = within(f.one.bus.request(&subject("late"), Bytes::new(), late)).await;
        assert!(matches!(outcome, Err(RequestError::Timeout { .. })), "{outcome:?}");
    }
    within(f.one.bus.request(&subject("late"), Bytes::new(), soon())).await.unwrap();
    assert_eq!(handled.load(Ordering::SeqCst), 1);
}

async fn the_handler_knows_what_is_left(f: Fixture) {
    let answer = handler(|request| async move {
        let left = request.meta.deadline.remaining().as_millis();
        Ok(Bytes::from(left.to_string()))
    });
    let _serving = f.two.bus.serve(&subject("left"), None, 8, answer).await.unwrap();
    let reply = within(f.one.bus.request(&subject("left"), Bytes::new(), soon())).await.unwrap();
    let left: u128 = std::str::from_utf8(&reply).unwrap().parse().unwrap();
    // Rounding up to whole milliseconds between processes may add one.
    assert!(left > 0 && left <= PATIENCE.as_millis() + 1, "{left}");
}
