//! Admission: how many requests are under way at once, and what the others are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arborgate_bus::{Handler, RequestError};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::fixture::{Fixture, eventually, handler, soon, subject, within};

conformance!(on [local_memory nats] {
    a_full_queue_refuses_and_recovers
    capacity_is_never_exceeded
});

/// Handlers that wait for a permit each; how many are under way, and how many at most were.
struct Gate {
    permits: Semaphore,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Gate {
    fn shut() -> Arc<Self> {
        Arc::new(Self { permits: Semaphore::new(0), now: AtomicUsize::new(0), most: AtomicUsize::new(0) })
    }

    fn handler(self: &Arc<Self>) -> Arc<dyn Handler> {
        let gate = Arc::clone(self);
        handler(move |request| {
            let gate = Arc::clone(&gate);
            async move {
                let now = gate.now.fetch_add(1, Ordering::SeqCst) + 1;
                gate.most.fetch_max(now, Ordering::SeqCst);
                gate.permits.acquire().await.unwrap().forget();
                gate.now.fetch_sub(1, Ordering::SeqCst);
                Ok(request.payload)
            }
        })
    }
}

async fn a_full_queue_refuses_and_recovers(f: Fixture) {
    let gate = Gate::shut();
    let _serving = f.two.bus.serve(&subject("full"), Some("g"), 2, gate.handler()).await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let bus = f.one.bus.clone();
        waiting.spawn(async move { bus.request(&subject("full"), Bytes::new(), soon()).await });
    }
    eventually("two are under way", || async { gate.now.load(Ordering::SeqCst) == 2 }).await;
    let before = f.two.metrics.full.get();
    for _ in 0..5 {
        match within(f.one.bus.request(&subject("full"), Bytes::new(), soon())).await {
            Err(RequestError::Full { subject: named }) => assert_eq!(named, subject("full").as_str()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(f.two.metrics.full.get() - before, 5);
    gate.permits.add_permits(2);
    while let Some(done) = within(waiting.join_next()).await {
        done.unwrap().unwrap();
    }
    // A permit may come back after the reply: refused until then, and then no more.
    gate.permits.add_permits(1000);
    eventually("there is room again", || async {
        f.one.bus.request(&subject("full"), Bytes::new(), soon()).await.is_ok()
    })
    .await;
}

async fn capacity_is_never_exceeded(f: Fixture) {
    let gate = Gate::shut();
    gate.permits.add_permits(10_000);
    let _serving = f.two.bus.serve(&subject("four"), None, 4, gate.handler()).await.unwrap();
    let mut asked = JoinSet::new();
    for _ in 0..8 {
        let bus = f.one.bus.clone();
        asked.spawn(async move {
            let (mut answered, mut refused) = (0, 0);
            for _ in 0..50 {
                match bus.request(&subject("four"), Bytes::new(), soon()).await {
                    Ok(_) => answered += 1,
                    Err(RequestError::Full { .. }) => refused += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            (answered, refused)
        });
    }
    let (mut answered, mut refused) = (0, 0);
    while let Some(done) = within(asked.join_next()).await {
        let (a, r) = done.unwrap();
        answered += a;
        refused += r;
    }
    assert_eq!(answered + refused, 400);
    assert!(answered > 0);
    let most = gate.most.load(Ordering::SeqCst);
    assert!((1..=4).contains(&most), "{most} at once");
    assert_eq!(f.two.metrics.full.get(), refused);
}
