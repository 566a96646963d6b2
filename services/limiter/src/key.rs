//! The actor of one key: it takes all questions that wait and answers them by one compare-and-set.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arborgate_actor::{Actor, Next};
use arborgate_bus::StoreError;
use arborgate_contracts::{ErrorCode, Key, ServiceError};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Clock;
use crate::log::{Log, LogError};
use crate::metrics::Metrics;
use crate::question::Question;
use crate::store::Store;

/// A refusal is not read out of memory that was last known to be current longer ago: others may have made room.
const FRESH: Duration = Duration::from_millis(250);
/// The longest pause before a change is tried again.
const LONGEST_PAUSE_MS: u64 = 16;
/// How often the state may fail one after another before those who wait are told.
const FAILURES: u32 = 3;

/// What all keys share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

/// Questions that wait for a key; bounded by who puts them in. It outlives the actor's panics.
pub(crate) type Waiting = Mutex<VecDeque<Question>>;

/// Look: something waits. Sent after it was put in; so a look is never lost, even when the mailbox is full of them.
pub(crate) struct Look;

pub(crate) struct KeyActor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: Key,
    pub(crate) waiting: Arc<Waiting>,
    /// As of the last change or read; `None` when it is not known.
    pub(crate) known: Option<Known>,
}

pub(crate) struct Known {
    log: Log,
    /// 0: the key is not there.
    revision: u64,
    at: Instant,
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stored log can not be read")]
    Log(#[from] LogError),
}

impl Actor for KeyActor {
    type Message = Look;
    const NAME: &'static str = "limiter key";

    async fn handle(&mut self, _: Look) -> Next {
        let batch: Vec<Question> = std::mem::take(&mut *self.waiting.lock()).into();
        self.settle(batch).await;
        Next::Continue
    }
}

impl KeyActor {
    /// Answers every question whose asker still waits.
    async fn settle(&mut self, mut batch: Vec<Question>) {
        let mut failures = 0;
        for attempt in 0u32.. {
            batch.retain(Question::is_wanted);
            let Some(latest) = batch.iter().map(Question::deadline).max() else { return };
            let failed = match tokio::time::timeout_at(latest.into(), self.attempt(&mut batch)).await {
                Ok(Ok(())) => {
                    self.shared.metrics.batch.observe(batch.len() as f64);
                    batch.into_iter().for_each(|question| question.answer(&self.shared.metrics));
                    return;
                }
                Ok(Err(Failed::Store(StoreError::Conflict { .. }))) => {
                    self.shared.metrics.conflicts.inc();
                    failures = 0;
                    None
                }
                Ok(Err(error)) => Some(error),
                // Nobody waits any more.
                Err(_) => continue,
            };
            if let Some(error) = failed {
                self.shared.metrics.state_failures.inc();
                failures += 1;
                if failures == FAILURES || matches!(error, Failed::Log(_)) {
                    tracing::error!(key = %self.key, error = &error as &dyn std::error::Error, "a limit can not be decided");
                    let detail = "the limiter can not reach its state; try again shortly";
                    batch.into_iter().for_each(|q| q.fail(ServiceError::new(ErrorCode::Unavailable, detail)));
                    return;
                }
            }
            pause(attempt).await;
        }
    }

    /// Applies all questions to what is known and writes it. After an error nothing is known: the write may have been
    /// done or not, and the ids of questions make it safe to apply them again.
    async fn attempt(&mut self, batch: &mut [Question]) -> Result<(), Failed> {
        let mut known = match self.known.take() {
            Some(known) => known,
            None => self.read().await?,
        };
        loop {
            let now = (self.shared.clock)();
            let (mut changed, mut refused) = (false, false);
            for question in &mut *batch {
                let applied = question.apply(&mut known.log, now);
                changed |= applied.changed;
                refused |= applied.refused;
            }
            if changed {
                known.revision = self.shared.store.write(&self.key, known.log.encode(), known.revision).await?;
                known.at = Instant::now();
            } else if refused && known.at.elapsed() > FRESH {
                known = self.read().await?;
                continue;
            }
            self.known = Some(known);
            return Ok(());
        }
    }

    async fn read(&self) -> Result<Known, Failed> {
        let at = Instant::now();
        Ok(match self.shared.store.get(&self.key).await? {
            Some(entry) => Known { log: Log::decode(&entry.value)?, revision: entry.revision, at },
            None => Known { log: Log::default(), revision: 0, at },
        })
    }
}

/// None at first, then longer and of random length, so that replicas do not meet again.
async fn pause(attempt: u32) {
    let most = (1 << attempt.min(5)) >> 1;
    match most.min(LONGEST_PAUSE_MS) {
        0 => tokio::task::yield_now().await,
        most => tokio::time::sleep(Duration::from_micros(rand::random_range(0..most * 1_000))).await,
    }
}
