//! What the service counts, below `inference`.

use arborgate_contracts::ErrorCode;
use arborgate_runtime::metrics::{SIZES, WORK_SECONDS};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type By = Family<[(&'static str, &'static str); 1], Counter>;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) rows: Counter,
    pub(crate) batches: Counter,
    pub(crate) batch_rows: Histogram,
    pub(crate) queue_seconds: Histogram,
    pub(crate) compute_seconds: Histogram,
    pub(crate) models: Gauge,
    pub(crate) model_bytes: Gauge,
    pub(crate) evictions: Counter,
    pub(crate) load_failures: Counter,
    pub(crate) panics: Counter,
    pub(crate) job_rows: Counter,
    jobs: By,
    refused: By,
}

/// Why a segment, or a whole message, was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Overloaded,
    Deadline,
    Gone,
    Invalid,
    TooLarge,
    Forbidden,
    NotHeld,
    Unreadable,
    Internal,
    Closing,
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline",
            Self::Gone => "caller_gone",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Forbidden => "forbidden",
            Self::NotHeld => "not_held",
            Self::Unreadable => "unreadable",
            Self::Internal => "internal",
            Self::Closing => "closing",
        }
    }

    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::Overloaded => ErrorCode::Overloaded,
            Self::Deadline | Self::Gone => ErrorCode::DeadlineExceeded,
            Self::Invalid => ErrorCode::Invalid,
            Self::TooLarge => ErrorCode::TooLarge,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::NotHeld | Self::Closing => ErrorCode::Unavailable,
            Self::Unreadable => ErrorCode::BadRequest,
            Self::Internal => ErrorCode::Internal,
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("inference");
        let metrics = Self {
            rows: Counter::default(),
            batches: Counter::default(),
            batch_rows: Histogram::new(SIZES),
            queue_seconds: Histogram::new(WORK_SECONDS),
            compute_seconds: Histogram::new(WORK_SECONDS),
            models: Gauge::default(),
            model_bytes: Gauge::default(),
            evictions: Counter::default(),
            load_failures: Counter::default(),
            panics: Counter::default(),
            job_rows: Counter::default(),
            jobs: By::default(),
            refused: By::default(),
        };
        registry.register("rows", "Rows predicted", metrics.rows.clone());
        registry.register("batches", "Batches computed", metrics.batches.clone());
        registry.register("batch_rows", "Rows of a batch", metrics.batch_rows.clone());
        registry.register_with_unit(
            "queue",
            "Time from a message's arrival to the start of work on it",
            Unit::Seconds,
            metrics.queue_seconds.clone(),
        );
        registry.register_with_unit(
            "compute",
            "Time that a batch took to compute",
            Unit::Seconds,
            metrics.compute_seconds.clone(),
        );
        registry.register("models_loaded", "Model versions that are served", metrics.models.clone());
        registry.register("model_bytes", "Bytes of the models in memory", metrics.model_bytes.clone());
        registry.register("evictions", "Models that rest until they are asked again", metrics.evictions.clone());
        registry.register("load_failures", "Tries to load a model version that failed", metrics.load_failures.clone());
        registry.register("panics", "Panics caught while computing", metrics.panics.clone());
        registry.register("job_rows", "Rows of jobs answered", metrics.job_rows.clone());
        registry.register("jobs", "Jobs that this worker saw to, by what became of them", metrics.jobs.clone());
        registry.register("refused", "Callers' rows refused, by reason", metrics.refused.clone());
        metrics
    }

    /// A job has ended here, or is put off.
    pub(crate) fn job(&self, outcome: &'static str) {
        self.jobs.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn refused(&self, reason: Reason) {
        self.refused.get_or_create(&[("reason", reason.as_str())]).inc();
    }
}
