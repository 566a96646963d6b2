//! What the service counts. Names are given without the service's own, which the registry's prefix adds.

use std::time::Instant;

use arborgate_contracts::{ErrorCode, ServiceError};
use arborgate_runtime::metrics::WORK_SECONDS;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    operations: Family<Labels<2>, Counter>,
    seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    pub(crate) keys: Gauge,
    pub(crate) unreadable: Gauge,
    pub(crate) catch_ups: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            operations: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(WORK_SECONDS)),
            keys: Gauge::default(),
            unreadable: Gauge::default(),
            catch_ups: Counter::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("crypto");
        let metrics = Self::default();
        registry.register("operations", "Requests, by operation and outcome", metrics.operations.clone());
        let seconds = "Time from a request's arrival to its answer, by operation";
        registry.register_with_unit("operation", seconds, Unit::Seconds, metrics.seconds.clone());
        registry.register("keys", "Versions of the encryption key that can be used", metrics.keys.clone());
        registry.register("unreadable_keys", "Entries of the keyring that can not be used", metrics.unreadable.clone());
        let catch_ups = "Times the keyring was read again for a token that no key opened";
        registry.register("catch_ups", catch_ups, metrics.catch_ups.clone());
        metrics
    }

    /// Measures a request from now until the answer is given, or it is dropped.
    pub(crate) fn measure(&self, operation: &'static str) -> Measure<'_> {
        Measure { metrics: self, operation, began: Instant::now(), outcome: "abandoned" }
    }
}

/// A request under way.
pub(crate) struct Measure<'a> {
    metrics: &'a Metrics,
    operation: &'static str,
    began: Instant,
    outcome: &'static str,
}

impl Measure<'_> {
    pub(crate) fn end<T>(mut self, result: Result<T, ServiceError>) -> Result<T, ServiceError> {
        self.outcome = match &result {
            Ok(_) => "ok",
            Err(error) => outcome(error.code),
        };
        result
    }
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        let operation = ("operation", self.operation);
        self.metrics.operations.get_or_create(&[operation, ("outcome", self.outcome)]).inc();
        self.metrics.seconds.get_or_create(&[operation]).observe(self.began.elapsed().as_secs_f64());
    }
}

fn outcome(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::DecryptionFailed => "decryption_failed",
        ErrorCode::TooLarge => "too_large",
        ErrorCode::Overloaded => "overloaded",
        ErrorCode::DeadlineExceeded => "deadline",
        ErrorCode::Unavailable => "unavailable",
        ErrorCode::Conflict => "conflict",
        _ => "internal",
    }
}
