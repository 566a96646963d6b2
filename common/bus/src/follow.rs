//! Keeping a snapshot of a bucket current: the watch, and beginning it again where it broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::error::StoreError;
use crate::store::{Bucket, Change, Watch};

/// Between tries to begin a broken watch again.
const PAUSE: Duration = Duration::from_millis(200);

/// A bucket being followed until this is dropped.
pub struct Follower {
    applied: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Every change up to this revision was applied.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Calls `apply` for all that is there, then returns; then for every change, beginning again from the last revision
/// when the watch breaks, until the bus is closed. Expiry by age is not seen.
pub async fn follow(bucket: Bucket, mut apply: impl FnMut(Change) + Send + 'static) -> Result<Follower, StoreError> {
    let applied = Arc::new(AtomicU64::new(0));
    let mut watch = bucket.watch(None, None).await?;
    loop {
        let Some(change) = watch.next().await else { return Err(closed()) };
        if take(change?, &mut apply, &applied) {
            break;
        }
    }
    let seen = Arc::clone(&applied);
    let task = tokio::spawn(async move {
        loop {
            match watch.next().await {
                Some(Ok(change)) => {
                    take(change, &mut apply, &seen);
                }
                broken => {
                    let Some(begun) = again(&bucket, seen.load(Ordering::Acquire), broken.and_then(Result::err)).await
                    else {
                        return;
                    };
                    watch = begun;
                }
            }
        }
    });
    Ok(Follower { applied, task })
}

/// Applies a change; whether it says that all is current.
fn take(change: Change, apply: &mut impl FnMut(Change), applied: &AtomicU64) -> bool {
    let (revision, current) = match &change {
        Change::Put(entry) => (entry.revision, false),
        Change::Deleted { revision, .. } => (*revision, false),
        Change::Current { revision } => (*revision, true),
    };
    apply(change);
    applied.fetch_max(revision, Ordering::AcqRel);
    current
}

/// A watch in the place of one that broke; none when the bus is closed.
async fn again(bucket: &Bucket, after: u64, mut broken: Option<StoreError>) -> Option<Watch> {
    loop {
        if broken.as_ref().is_some_and(StoreError::is_closed) {
            return None;
        }
        if let Some(error) = &broken {
            tracing::warn!(error = error as &dyn std::error::Error, "a watch broke; beginning again");
        }
        tokio::time::sleep(PAUSE).await;
        match bucket.watch(None, Some(after)).await {
            Ok(watch) => return Some(watch),
            Err(error) => broken = Some(error),
        }
    }
}

fn closed() -> StoreError {
    StoreError::backend("beginning a watch")("the watch ended before it was current")
}
