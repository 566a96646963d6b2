//! Counts and times of requests by operation.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::operations::{OPERATIONS, Operation};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    operation: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOperation {
    operation: &'static str,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// One operation's, looked up once.
struct Held {
    answers: [Counter; 5],
    seconds: Histogram,
}

/// Of all operations.
pub struct Metrics(Vec<Held>);

impl Metrics {
    /// In a registry.
    pub fn new(registry: &mut Registry) -> Self {
        let answers = Family::<Status, Counter>::default();
        let seconds = Family::<ByOperation, Histogram>::new_with_constructor(|| {
            Histogram::new(arborgate_runtime::metrics::REQUEST_SECONDS)
        });
        registry.register("edge_requests", "answers by operation and class of status", answers.clone());
        registry.register("edge_request_seconds", "from a request's headers to its answer", seconds.clone());
        let held = OPERATIONS.iter().map(|o| Held {
            answers: CLASSES.map(|status| answers.get_or_create(&Status { operation: o.id, status }).clone()),
            seconds: seconds.get_or_create(&ByOperation { operation: o.id }).clone(),
        });
        Self(held.collect())
    }

    /// An answer.
    pub fn observe(&self, operation: &'static Operation, status: StatusCode, took: Duration) {
        let index = OPERATIONS.iter().position(|o| std::ptr::eq(o, operation));
        let Some(held) = index.and_then(|i| self.0.get(i)) else { return };
        if let Some(counter) = held.answers.get(usize::from(status.as_u16() / 100).saturating_sub(1)) {
            counter.inc();
        }
        held.seconds.observe(took.as_secs_f64());
    }
}
