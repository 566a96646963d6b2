//! What this service counts.

use arborgate_contracts::limiter::{Decision, Loan};
use arborgate_runtime::metrics::SIZES;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    /// `allowed`, `waited` (allowed for later), `refused` or `lent`.
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    /// `keys`: as many are active as may be; `mailbox`: as many questions wait for one as may.
    queue: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    decisions: Family<Outcome, Counter>,
    loans: Family<Outcome, Counter>,
    permits_lent: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) state_failures: Counter,
    pub(crate) state_lost: Counter,
    pub(crate) batch: Histogram,
    pub(crate) keys: Gauge,
    full: Family<Queue, Counter>,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("limiter");
        let metrics = Self {
            decisions: Family::default(),
            loans: Family::default(),
            permits_lent: Counter::default(),
            conflicts: Counter::default(),
            state_failures: Counter::default(),
            state_lost: Counter::default(),
            batch: Histogram::new(SIZES),
            keys: Gauge::default(),
            full: Family::default(),
        };
        registry.register("decisions", "Requests decided upon, by outcome", metrics.decisions.clone());
        registry.register("loans", "Loans asked for, by outcome", metrics.loans.clone());
        registry.register("permits_lent", "Permits lent to edges", metrics.permits_lent.clone());
        registry.register("conflicts", "Changes that another replica forestalled", metrics.conflicts.clone());
        registry.register("state_failures", "Reads and writes of logs that failed", metrics.state_failures.clone());
        registry.register("state_lost", "Times that the bucket of logs was gone", metrics.state_lost.clone());
        registry.register("batch", "Questions answered by one change of a log", metrics.batch.clone());
        registry.register("keys", "Keys that are active", metrics.keys.clone());
        registry.register("full", "Questions refused because a queue was full", metrics.full.clone());
        metrics
    }

    pub(crate) fn decided(&self, decision: &Decision) {
        let outcome = match decision {
            Decision { allowed: false, .. } => "refused",
            Decision { wait_ms: 0, .. } => "allowed",
            _ => "waited",
        };
        self.decisions.get_or_create(&Outcome { outcome }).inc();
    }

    pub(crate) fn lent(&self, loan: &Loan) {
        let outcome = if loan.granted > 0 { "lent" } else { "refused" };
        self.loans.get_or_create(&Outcome { outcome }).inc();
        self.permits_lent.inc_by(u64::from(loan.granted));
    }

    pub(crate) fn full(&self, queue: &'static str) {
        self.full.get_or_create(&Queue { queue }).inc();
    }
}
