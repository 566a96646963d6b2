//! A member of a queue group that leaves under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::support::{PATIENCE, bus, echo, eventually, server, soon, subject, within};

/// async-nats's own ways to end a subscription lose what is under way; see `src/nats/serving.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_under_load_loses_no_request() {
    const ROUNDS: usize = 30;
    let server = server().await;
    let (asker, stays, leaves) = (bus(&server).await, bus(&server).await, bus(&server).await);
    let _stays = stays.serve(&subject("load"), Some("g"), 1024, echo()).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut asking = JoinSet::new();
    for _ in 0..32 {
        let (asker, over, answered) = (asker.clone(), Arc::clone(&over), Arc::clone(&answered));
        asking.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                asker.request(&subject("load"), Bytes::from_static(b"x"), soon()).await?;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok::<_, arborgate_bus::RequestError>(())
        });
    }
    for _ in 0..ROUNDS {
        let serving = leaves.serve(&subject("load"), Some("g"), 1024, echo()).await.unwrap();
        let before = answered.load(Ordering::SeqCst);
        eventually("more are answered", || async { answered.load(Ordering::SeqCst) > before + 200 }).await;
        within(serving.drain(PATIENCE)).await;
    }
    over.store(true, Ordering::SeqCst);
    while let Some(done) = within(asking.join_next()).await {
        done.unwrap().unwrap();
    }
}
