//! Counts and times of requests by operation.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::operations::{Match, OPERATIONS, OTHER};

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

/// Of all operations, and at the end of what is none.
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
        let names = OPERATIONS.iter().map(|o| o.id).chain([OTHER]);
        let held = names.map(|operation| Held {
            answers: CLASSES.map(|status| answers.get_or_create(&Status { operation, status }).clone()),
            seconds: seconds.get_or_create(&ByOperation { operation }).clone(),
        });
        Self(held.collect())
    }

    /// An answer.
    pub fn observe(&self, found: Match, status: StatusCode, took: Duration) {
        let index = match found {
            Match::Operation(operation) => OPERATIONS.iter().position(|o| std::ptr::eq(o, operation)),
            Match::OtherMethod | Match::Unknown => None,
        };
        let Some(held) = self.0.get(index.unwrap_or(OPERATIONS.len())) else { return };
        if let Some(counter) = held.answers.get(usize::from(status.as_u16() / 100).saturating_sub(1)) {
            counter.inc();
        }
        held.seconds.observe(took.as_secs_f64());
    }
}
