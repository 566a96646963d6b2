//! A version's ways to answer, by what is asked. Values and labels have a line of their own from the start; all other
//! kinds are seldom, and get theirs, and what they need beside the compiled model, when they are first asked.

use std::collections::HashMap;
use std::sync::Arc;

use arborgate_contracts::registry::Manifest;
use arborgate_contracts::wire::Asked;
use arborgate_contracts::{ErrorCode, ServiceError};
use arborgate_forest::{Compiled, Explainer, Leaves, Model};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::artifact::{Announced, Loader};
use crate::error::LoadError;
use crate::kernel::{Reporting, Several};
use crate::pool::{Line, Lines, Urgency};

/// How many times longer a row takes than its prediction, until that is measured: to begin with too much is better, since
/// the first rows are then computed by the pool and not by an async task.
const LEAVES_TAKE: u64 = 16;
const CONTRIBUTIONS_TAKE: u64 = 256;

/// See the module. Dropped with the version.
pub(crate) struct Ways {
    line: Line,
    compiled: Arc<Compiled>,
    lines: Lines,
    trial_ns: u64,
    others: Mutex<HashMap<(Asked, Urgency), Arc<Line>>>,
    source: Source,
    leaves: Kept<Leaves>,
    explainer: Kept<Explainer>,
    /// Told of a kernel's panic.
    report: Report,
}

/// See [`Reporting`].
pub(crate) type Report = Arc<dyn Fn() + Send + Sync>;

/// What was made, or why it can not be.
type Kept<T> = Arc<OnceCell<Result<Arc<T>, String>>>;

/// Where the model itself can be read again: it is not kept, since it takes more memory than what predicts.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) loader: Loader,
    pub(crate) manifest: Arc<Manifest>,
    /// Told when the version takes more memory than before.
    pub(crate) grown: Report,
}

impl Ways {
    pub(crate) fn new(compiled: Compiled, trial_ns: u64, lines: Lines, source: Source, report: Report) -> Self {
        let compiled = Arc::new(compiled);
        let kernel = Reporting { kernel: Arc::clone(&compiled) as _, report: Arc::clone(&report) };
        let line = lines.open(Arc::new(kernel), trial_ns, Urgency::Now);
        let (others, leaves, explainer) = (Mutex::default(), Kept::default(), Kept::default());
        Self { line, compiled, lines, trial_ns, others, source, leaves, explainer, report }
    }

    /// In memory, of all that was made so far.
    pub(crate) fn bytes(&self) -> u64 {
        fn kept<T>(kept: &Kept<T>, bytes: fn(&T) -> usize) -> usize {
            kept.get().and_then(|made| made.as_ref().ok()).map_or(0, |made| bytes(made))
        }
        (self.compiled.bytes() + kept(&self.leaves, Leaves::bytes) + kept(&self.explainer, Explainer::bytes)) as u64
    }

    /// Of values and labels.
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// What predicts.
    pub(crate) fn compiled(&self) -> &Arc<Compiled> {
        &self.compiled
    }

    /// Of anything else, and of what nobody waits for. The first time it may take as long as reading the model.
    pub(crate) async fn other(&self, asked: Asked, urgency: Urgency) -> Result<Arc<Line>, ServiceError> {
        if let Some(line) = self.others.lock().get(&(asked, urgency)) {
            return Ok(Arc::clone(line));
        }
        let leaves = match asked.has(Asked::LEAVES) {
            true => Some(
                self.keep(
                    &self.leaves,
                    "the leaves of this model can not be told",
                    |model| Ok(Leaves::new(model)),
                    Leaves::bytes,
                )
                .await?,
            ),
            false => None,
        };
        let explain = |model: &Model| Explainer::new(model).map_err(|why| why.to_string());
        let explainer = match asked.has(Asked::CONTRIBUTIONS) {
            true => {
                Some(self.keep(&self.explainer, "this model can not be explained", explain, Explainer::bytes).await?)
            }
            false => None,
        };
        let several = Several { asked, compiled: Arc::clone(&self.compiled), leaves, explainer };
        let trial_ns = self.trial_ns.saturating_mul(match asked {
            _ if asked.has(Asked::CONTRIBUTIONS) => CONTRIBUTIONS_TAKE,
            _ if asked.has(Asked::LEAVES) => LEAVES_TAKE,
            _ => 1,
        });
        let mut others = self.others.lock();
        let kernel = Reporting { kernel: Arc::new(several), report: Arc::clone(&self.report) };
        let open = || Arc::new(self.lines.open(Arc::new(kernel), trial_ns, urgency));
        let line = others.entry((asked, urgency)).or_insert_with(open);
        Ok(Arc::clone(line))
    }

    /// What is made of the model, once, within the memory that models have.
    async fn keep<T: Send + Sync + 'static>(
        &self,
        kept: &Kept<T>,
        refusal: &str,
        make: impl FnOnce(&Model) -> Result<T, String> + Send + 'static,
        bytes: fn(&T) -> usize,
    ) -> Result<Arc<T>, ServiceError> {
        let (own, limit) = (self.compiled.bytes() as u64, self.source.loader.memory());
        let within = move |model: Model| {
            let made = make(&model)?;
            let more = bytes(&made) as u64;
            if limit > 0 && own.saturating_add(more) > limit {
                return Err(format!(
                    "they take {more} bytes of memory beside the model's {own}; the models of this worker have {limit} \
                     together (inference.memory)"
                ));
            }
            Ok(Arc::new(made))
        };
        let made = self.source.keep(kept, within).await?;
        made.map_err(|why| ServiceError::new(ErrorCode::Invalid, format!("{refusal}: {why}")))
    }
}

impl Source {
    /// What is made of the model, once. The work goes on when who asks first goes away: others wait for it.
    async fn keep<T: Send + Sync + 'static>(
        &self,
        kept: &Kept<T>,
        make: impl FnOnce(Model) -> Result<Arc<T>, String> + Send + 'static,
    ) -> Result<Result<Arc<T>, String>, ServiceError> {
        if let Some(kept) = kept.get() {
            return Ok(kept.clone());
        }
        let (kept, source) = (Arc::clone(kept), self.clone());
        let making = tokio::spawn(async move {
            let made = kept.get_or_try_init(|| source.make(make)).await.cloned();
            (source.grown)();
            made
        });
        match making.await {
            Ok(Ok(kept)) => Ok(kept),
            Ok(Err(error)) => {
                let Manifest { model, version, .. } = &*self.manifest;
                let error: &dyn std::error::Error = &error;
                tracing::error!(%model, %version, error, "a model can not be read again");
                Err(ServiceError::new(ErrorCode::Unavailable, "the model can not be read again; try again shortly"))
            }
            Err(_) => Err(ServiceError::internal()),
        }
    }

    async fn make<T: Send + 'static>(&self, make: impl FnOnce(Model) -> T + Send + 'static) -> Result<T, LoadError> {
        let artifact = self.loader.load(Announced::from(&*self.manifest)).await?;
        let made = tokio::task::spawn_blocking(move || make(artifact.model));
        made.await.map_err(|_| LoadError::Panicked)
    }
}
