//! Large work: jobs are taken from a durable queue by whichever worker is free. One worker goes on with a job from its
//! file to its result; it divides the file into chunks, which all workers take from a second queue. Each step may be done
//! twice, or begun and left: what counts is what is stored.
//!
//! | module | what |
//! |---|---|
//! | `records` | what is known of a job, changed by compare-and-set; its files and messages |
//! | `whole` | one job from its file to its result |
//! | `reading` | the file, divided into chunks |
//! | `chunk` | the rows of one chunk, predicted |
//! | `writing` | the pieces put together to the result |
//! | `grid` | how rows and answers are stored in between |
//! | `sweep` | what is over, or was left behind, is removed |

mod chunk;
mod grid;
mod reading;
mod records;
mod sweep;
mod whole;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arborgate_bus::{Bus, Delivery, Queue, StoreError};
use arborgate_contracts::JobId;
use tokio::task::JoinSet;

use crate::artifact::Loader;
use crate::config;
use crate::metrics::Metrics;
use crate::model::Calls;
use crate::table::Table;
use records::Records;

/// Before work that failed for a cause outside of it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why work on a job ended early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// The job is over, or gone: nothing is to be done.
    #[error("the job is over")]
    Moot,
    /// The job can not be done: for who asked.
    #[error("{0}")]
    Fault(String),
    /// The state, or the machine.
    #[error("the state failed")]
    Store(#[from] StoreError),
    /// The machine.
    #[error("{what} failed")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread panicked.
    #[error("a thread ended unexpectedly")]
    Panicked,
}

/// The models of this worker.
pub(crate) struct Models {
    pub(crate) table: Arc<Table>,
    /// By which one that rests is woken.
    pub(crate) calls: Calls,
    pub(crate) loader: Loader,
}

/// What works on jobs share.
pub(super) struct Shared {
    records: Records,
    models: Models,
    metrics: Metrics,
    scratch: Option<PathBuf>,
    /// Rows that are handed to the pool together.
    slice: usize,
}

/// Work on jobs. Dropped, it ends; what was under way is given back.
pub(crate) struct Jobs {
    tasks: JoinSet<()>,
}

impl Jobs {
    /// Takes work from now on.
    pub(crate) async fn start(
        bus: &Bus,
        config: &config::Config,
        models: Models,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let records = Records::open(bus).await?;
        let scratch = config.jobs.scratch.clone();
        let slice = config.queue_rows.min(config.batch_rows).max(1);
        let shared = Arc::new(Shared { records, models, metrics, scratch, slice });
        let mut tasks = JoinSet::new();
        for _ in 0..config.jobs.at_once {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move { take(&shared.records.jobs.clone(), |taken| whole::work(&shared, taken)).await });
        }
        for _ in 0..config.thread_count() {
            let shared = Arc::clone(&shared);
            tasks.spawn(async move { take(&shared.records.chunks.clone(), |taken| chunk::work(&shared, taken)).await });
        }
        tasks.spawn(sweep::run(shared, config.jobs.sweep_every.get()));
        Ok(Self { tasks })
    }

    /// Ends it: what is under way is given back.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Works on one message after another until the bus is closed.
async fn take<'w, F: Future<Output = ()> + 'w>(queue: &Queue, work: impl Fn(Delivery) -> F) {
    loop {
        match queue.next().await {
            Ok(taken) => work(taken).await,
            Err(error) if error.is_closed() => return,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no work on jobs can be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What becomes of a message after work on it.
async fn settle(taken: Delivery, job: &JobId, outcome: Result<(), Ended>) {
    let said = match outcome {
        Ok(()) | Err(Ended::Moot | Ended::Fault(_)) => taken.ack().await,
        Err(error) => {
            tracing::warn!(%job, error = &error as &dyn std::error::Error, "work on a job is put off");
            taken.release(PAUSE).await
        }
    };
    if let Err(error) = said {
        tracing::warn!(%job, error = &error as &dyn std::error::Error, "a message of a job may come again");
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
