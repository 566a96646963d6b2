//! The actor of one model version on this worker: it loads the version, serves its subject, tries again when that fails,
//! and lets it go when it is wanted no more. Predictions do not pass it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arborgate_actor::{Actor, Next};
use arborgate_bus::{Bus, Handler, Serving};
use arborgate_contracts::registry::Manifest;
use arborgate_contracts::{Service, Subject};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::artifact::{self, Announced, Loader};
use crate::error::LoadError;
use crate::metrics::Metrics;
use crate::pool::Lines;
use crate::signalled;
use crate::table::{Loaded, Table, Wish};
use crate::ways::{Source, Ways};

/// The first pause after a failed load; each one more doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What all models of a worker share.
pub(crate) struct Worker {
    pub(crate) bus: Bus,
    pub(crate) loader: Loader,
    pub(crate) lines: Lines,
    pub(crate) table: Arc<Table>,
    pub(crate) predict: Arc<dyn Handler>,
    pub(crate) metrics: Metrics,
    /// Messages under way on the subject of one version.
    pub(crate) capacity: usize,
    pub(crate) retry_at_most: Duration,
    /// Milliseconds in which requests under way are answered when a version goes.
    pub(crate) grace_ms: AtomicU64,
}

pub(crate) enum Message {
    /// Answered when a load has been tried: whether the version is served.
    Tried(oneshot::Sender<bool>),
    /// Load again: the pause after the last try is over.
    Retry,
}

/// When a version whose load failed is to be told [`Message::Retry`].
pub(crate) type RetryAt = Arc<Mutex<Option<Instant>>>;

pub(crate) struct ModelVersion {
    worker: Arc<Worker>,
    manifest: Arc<Manifest>,
    wish: Wish,
    /// True when the version is wanted no more.
    retired: watch::Receiver<bool>,
    served: Option<Served>,
    failures: u32,
    retry_at: RetryAt,
}

/// A version that answers. Dropped, it answers no more.
struct Served {
    serving: Serving,
    _entry: Entry,
}

/// A model in the table, taken out when dropped.
struct Entry {
    worker: Arc<Worker>,
    manifest: Arc<Manifest>,
    wish: Wish,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.table.withdraw(&self.manifest.model, &self.manifest.version, self.wish);
    }
}

impl ModelVersion {
    pub(crate) fn new(
        worker: Arc<Worker>,
        manifest: Arc<Manifest>,
        wish: Wish,
        retired: watch::Receiver<bool>,
        retry_at: RetryAt,
    ) -> Self {
        Self { worker, manifest, wish, retired, served: None, failures: 0, retry_at }
    }

    async fn attempt(&mut self) {
        let mut retired = self.retired.clone();
        let outcome = tokio::select! {
            () = signalled(&mut retired) => return,
            outcome = self.load() => outcome,
        };
        let Manifest { model, version, digest, .. } = &*self.manifest;
        match outcome {
            Ok(None) => {}
            Ok(served) => {
                self.failures = 0;
                self.served = served;
                tracing::info!(%model, %version, digest, "serving a model");
            }
            Err(error) => {
                self.worker.metrics.load_failures.inc();
                let pause = pause(self.failures, self.worker.retry_at_most);
                self.failures = self.failures.saturating_add(1);
                *self.retry_at.lock() = Some(Instant::now() + pause);
                let error: &dyn std::error::Error = &error;
                tracing::error!(%model, %version, digest, error, again_in = ?pause, "a model can not be loaded");
            }
        }
    }

    /// Fetched, checked, compiled, tried; then in the table, and only then subscribed and announced. `None`: it is wanted
    /// no more.
    async fn load(&self) -> Result<Option<Served>, LoadError> {
        let Self { worker, manifest, wish, .. } = self;
        let Manifest { model, version, object, size, digest, .. } = &**manifest;
        let artifact = worker.loader.load(Announced { object, size: *size, digest }).await?;
        artifact::check(manifest, &artifact)?;
        let source = Source { loader: worker.loader.clone(), manifest: Arc::clone(manifest) };
        let ways = Ways::new(artifact.compiled, artifact.trial_ns, worker.lines.clone(), source);
        if !worker.table.put(model, version, *wish, Arc::new(Loaded { ways })) {
            return Ok(None);
        }
        let entry = Entry { worker: Arc::clone(worker), manifest: Arc::clone(manifest), wish: *wish };
        let subject = Subject::predict(model, version);
        let group = Some(Service::Inference.as_str());
        let serving = worker.bus.serve(&subject, group, worker.capacity, Arc::clone(&worker.predict)).await?;
        worker.table.announce(model, version, *wish);
        Ok(Some(Served { serving, _entry: entry }))
    }
}

/// 250 ms, doubled with each failure before.
fn pause(failures: u32, at_most: Duration) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(at_most.max(FIRST_PAUSE))
}

impl Actor for ModelVersion {
    type Message = Message;

    const NAME: &'static str = "model-version";

    async fn started(&mut self) {
        self.attempt().await;
    }

    async fn handle(&mut self, message: Message) -> Next {
        match message {
            Message::Tried(answer) => {
                // Nobody need wait for it.
                let _ = answer.send(self.served.is_some());
            }
            Message::Retry if self.served.is_none() => self.attempt().await,
            Message::Retry => {}
        }
        Next::Continue
    }

    async fn stopped(&mut self) {
        if let Some(Served { serving, _entry: entry }) = self.served.take() {
            let grace = Duration::from_millis(self.worker.grace_ms.load(Ordering::Relaxed));
            serving.drain(grace).await;
            drop(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let at_most = Duration::from_secs(60);
        assert_eq!(pause(0, at_most), FIRST_PAUSE);
        assert_eq!(pause(3, at_most), FIRST_PAUSE * 8);
        assert_eq!(pause(u32::MAX, at_most), at_most);
        assert_eq!(pause(5, Duration::ZERO), FIRST_PAUSE);
    }
}
