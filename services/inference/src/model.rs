//! The actor of one model version on this worker: it loads the version, serves its subject, tries again when that fails,
//! sets it aside when it crashes too often, and lets it go when it is wanted no more. Predictions do not pass it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arborgate_actor::{Actor, Next};
use arborgate_bus::{Bus, Handler, Serving};
use arborgate_contracts::registry::{Manifest, manifest_key};
use arborgate_contracts::{Key, Service, Subject};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::artifact::{self, Announced, Loader};
use crate::error::LoadError;
use crate::metrics::Metrics;
use crate::pool::Lines;
use crate::signalled;
use crate::table::{Loaded, Table, Wish};
use crate::ways::{Report, Source, Ways};

/// The first pause after a failed load; each one more doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Crashes within [`CRASHES_COUNT_FOR`] after which a version is set aside.
const MOST_CRASHES: usize = 3;
/// How long a crash counts.
const CRASHES_COUNT_FOR: Duration = Duration::from_secs(3600);

/// What all models of a worker share.
pub(crate) struct Worker {
    pub(crate) bus: Bus,
    pub(crate) loader: Loader,
    pub(crate) lines: Lines,
    pub(crate) table: Arc<Table>,
    pub(crate) predict: Arc<dyn Handler>,
    pub(crate) calls: Calls,
    pub(crate) metrics: Metrics,
    /// Labels of which a model must have one to be held; empty: every model is.
    pub(crate) hold: Vec<String>,
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
    /// It rests, and is asked.
    Wake,
    /// It panicked while computing.
    Panicked,
}

/// What the actor of a version is told by those who do not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// See [`Message::Wake`].
    Wake,
    /// See [`Message::Panicked`].
    Panicked,
}

/// Where calls are left, by the version's manifest. Full, one is lost: who wakes calls again, and panics come again.
pub(crate) type Calls = mpsc::Sender<(Key, Call)>;

/// How a version fares, beyond the life of its actor.
#[derive(Default)]
pub(crate) struct Standing {
    /// When it is to be told [`Message::Retry`]: its load failed.
    pub(crate) retry_at: Option<Instant>,
    /// When it crashed, as long as that counts; once set aside, it stays so.
    crashes: Vec<Instant>,
}

impl Standing {
    /// Counts a crash. From now on the version is set aside: why.
    pub(crate) fn crashed(&mut self, how: &str, now: Instant) -> Option<String> {
        if !self.is_aside() {
            self.crashes.retain(|at| now.saturating_duration_since(*at) < CRASHES_COUNT_FOR);
        }
        self.crashes.push(now);
        let why = || format!("set aside: it crashed {} times, the last time while {how}", self.crashes.len());
        self.is_aside().then(why)
    }

    /// Whether it crashed too often.
    pub(crate) fn is_aside(&self) -> bool {
        self.crashes.len() >= MOST_CRASHES
    }
}

pub(crate) struct ModelVersion {
    worker: Arc<Worker>,
    manifest: Arc<Manifest>,
    wish: Wish,
    /// True when the version is wanted no more.
    retired: watch::Receiver<bool>,
    served: Option<Served>,
    failures: u32,
    standing: Arc<Mutex<Standing>>,
}

/// A version that answers, or rests. Dropped, it answers no more.
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
        self.worker.table.withdraw(&self.manifest.model, &self.manifest.version, self.wish, None);
    }
}

impl ModelVersion {
    pub(crate) fn new(
        worker: Arc<Worker>,
        manifest: Arc<Manifest>,
        wish: Wish,
        retired: watch::Receiver<bool>,
        standing: Arc<Mutex<Standing>>,
    ) -> Self {
        Self { worker, manifest, wish, retired, served: None, failures: 0, standing }
    }

    /// Loads, unless it was set aside.
    async fn attempt(&mut self) {
        if self.standing.lock().is_aside() {
            return;
        }
        let mut retired = self.retired.clone();
        let outcome = tokio::select! {
            () = signalled(&mut retired) => return,
            outcome = self.load() => outcome,
        };
        match outcome {
            Ok(served) => {
                self.failures = 0;
                self.served = served.or(self.served.take());
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &LoadError) {
        let Manifest { model, version, digest, .. } = &*self.manifest;
        self.worker.metrics.load_failures.inc();
        let crashed = matches!(error, LoadError::Panicked);
        if let Some(why) = crashed.then(|| self.standing.lock().crashed("it was loaded", Instant::now())).flatten() {
            return self.set_aside(why);
        }
        let pause = pause(self.failures, self.worker.retry_at_most);
        self.failures = self.failures.saturating_add(1);
        self.standing.lock().retry_at = Some(Instant::now() + pause);
        let why = crate::error::told(error);
        tracing::error!(%model, %version, digest, error = why, again_in = ?pause, "a model can not be loaded");
        self.worker.table.fail(model, version, self.wish, why);
    }

    /// The version answers no more on this worker until it is registered, or loaded by an operator, again.
    fn set_aside(&mut self, why: String) {
        let Manifest { model, version, .. } = &*self.manifest;
        tracing::error!(%model, %version, why, "a model is set aside");
        self.served = None;
        self.worker.table.withdraw(model, version, self.wish, Some(why));
    }

    /// Fetched, checked, compiled, tried; then in the table, and only then subscribed and announced, where it is not yet.
    async fn load(&self) -> Result<Option<Served>, LoadError> {
        let Self { worker, manifest, wish, .. } = self;
        let Manifest { model, version, digest, .. } = &**manifest;
        let artifact = worker.loader.load(Announced::from(&**manifest)).await?;
        artifact::check(manifest, &artifact)?;
        let source = Source { loader: worker.loader.clone(), manifest: Arc::clone(manifest), grown: self.grown() };
        let ways = Ways::new(artifact.compiled, artifact.trial_ns, worker.lines.clone(), source, self.report());
        if !worker.table.put(model, version, *wish, Loaded::new(ways)) || self.served.is_some() {
            return Ok(None);
        }
        let entry = Entry { worker: Arc::clone(worker), manifest: Arc::clone(manifest), wish: *wish };
        let subject = Subject::predict(model, version);
        let group = Some(Service::Inference.as_str());
        let serving = worker.bus.serve(&subject, group, worker.capacity, Arc::clone(&worker.predict)).await?;
        worker.table.announce(model, version, *wish);
        tracing::info!(%model, %version, digest, "serving a model");
        Ok(Some(Served { serving, _entry: entry }))
    }

    fn report(&self) -> Report {
        let calls = self.worker.calls.clone();
        let key = manifest_key(&self.manifest.model, &self.manifest.version);
        Arc::new(move || drop(calls.try_send((key.clone(), Call::Panicked))))
    }

    fn grown(&self) -> Report {
        // The table holds the model.
        let (table, manifest, wish) = (Arc::downgrade(&self.worker.table), Arc::clone(&self.manifest), self.wish);
        Arc::new(move || {
            if let Some(table) = table.upgrade() {
                table.grown(&manifest.model, &manifest.version, wish);
            }
        })
    }

    async fn panicked(&mut self) {
        let crashed = self.standing.lock().crashed("it predicted", Instant::now());
        match crashed {
            Some(why) => self.set_aside(why),
            None => {
                self.served = None;
                self.attempt().await;
            }
        }
    }

    fn rests(&self) -> bool {
        self.served.is_some() && self.worker.table.rests(&self.manifest.model, &self.manifest.version, self.wish)
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
            Message::Retry if self.served.is_none() || self.rests() => self.attempt().await,
            Message::Wake if self.rests() => self.attempt().await,
            Message::Retry | Message::Wake => {}
            Message::Panicked => self.panicked().await,
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
    fn a_version_that_crashes_again_and_again_is_set_aside_with_its_reason() {
        let mut standing = Standing::default();
        let begun = Instant::now();
        let later = begun + CRASHES_COUNT_FOR;
        assert_eq!(standing.crashed("it was loaded", begun), None);
        assert_eq!(standing.crashed("it predicted", begun + Duration::from_secs(1)), None);
        // The first one counts no more.
        assert_eq!(standing.crashed("it predicted", later), None);
        assert!(!standing.is_aside());
        let why = standing.crashed("it predicted", later).unwrap();
        assert_eq!(why, "set aside: it crashed 3 times, the last time while it predicted");
        // It stays so, whenever what was under way crashes as well.
        assert!(standing.crashed("it predicted", later + CRASHES_COUNT_FOR).is_some() && standing.is_aside());
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let at_most = Duration::from_secs(60);
        assert_eq!(pause(0, at_most), FIRST_PAUSE);
        assert_eq!(pause(3, at_most), FIRST_PAUSE * 8);
        assert_eq!(pause(u32::MAX, at_most), at_most);
        assert_eq!(pause(5, Duration::ZERO), FIRST_PAUSE);
    }
}
