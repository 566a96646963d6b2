//! The end of a process: signals, one cancellation that everything listens to, and a drain with a grace time.
//!
//! Nothing here is global: a test, or an embedder, may hold several.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Error;

/// The conventional status of a process that ended by SIGINT: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// One way down, shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Tasks that were still running when the grace time was over.
    pub stragglers: usize,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the shutdown begins.
    pub fn token(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Begins the shutdown without waiting for it.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Resolves when the shutdown begins.
    pub async fn wait(&self) {
        self.begun.cancelled().await;
    }

    /// Resolves when the drain is over: for what must outlast it, such as the operations listener.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Starts a task for which the drain waits. It must end by itself soon after [`Shutdown::token`] is cancelled.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Begins the shutdown and waits, at most `grace`, until every tracked task has ended.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.begin();
        self.tasks.close();
        let stragglers = match tokio::time::timeout(grace, self.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tasks.len(),
        };
        self.ended.cancel();
        Drained { stragglers }
    }
}

/// Handles SIGINT and SIGTERM from now on. The future resolves with the name of the first; a second ends the process at
/// once with status 130.
///
/// # Errors
/// [`Error::Signals`] where the handlers can not be installed.
pub fn signals() -> Result<impl Future<Output = &'static str> + Send, Error> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    Ok(async move {
        let first = next(&mut interrupt, &mut terminate).await;
        tokio::spawn(async move {
            let second = next(&mut interrupt, &mut terminate).await;
            tracing::warn!("{second} again: ending without draining");
            std::process::exit(INTERRUPTED)
        });
        first
    })
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_what_runs() {
        let shutdown = Shutdown::new();
        let done = Arc::new(AtomicBool::new(false));
        let (token, flag) = (shutdown.token(), Arc::clone(&done));
        shutdown.spawn(async move {
            token.cancelled().await;
            tokio::task::yield_now().await;
            flag.store(true, Ordering::SeqCst);
        });
        assert!(!shutdown.is_begun());
        let drained = shutdown.drain(Duration::from_secs(60)).await;
        assert_eq!(drained, Drained { stragglers: 0 });
        assert!(done.load(Ordering::SeqCst));
        shutdown.wait().await;
        shutdown.ended().await;
    }

    #[tokio::test]
    async fn a_straggler_is_counted_and_not_waited_for() {
        let shutdown = Shutdown::new();
        let straggler = shutdown.spawn(std::future::pending::<()>());
        shutdown.spawn(async {}).await.unwrap();
        assert_eq!(shutdown.drain(Duration::ZERO).await, Drained { stragglers: 1 });
        straggler.abort();
    }
}
