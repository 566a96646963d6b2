//! What only the NATS kind counts. It counts no request that went well: their services do.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// What every kind of bus counts.
    pub bus: crate::metrics::Metrics,
    /// Requests whose deadline passed before or while they were handled.
    pub expired: Counter,
    /// Requests without a place to reply to.
    pub unanswerable: Counter,
    /// Handlers that panicked.
    pub panics: Counter,
    /// Times that the client dropped a message before anything here saw it.
    pub slow_consumers: Counter,
    /// Permission violations that the server reported.
    pub violations: Counter,
    /// Times that the connection was lost.
    pub disconnects: Counter,
}

impl Metrics {
    /// Registers each; the names begin with `nats_`, of what every kind counts with `bus_`.
    pub fn register(&self, registry: &mut Registry) {
        self.bus.register(registry);
        let all = [
            ("nats_expired", "Requests whose deadline passed unanswered", &self.expired),
            ("nats_unanswerable", "Requests without a place to reply to", &self.unanswerable),
            ("nats_panics", "Handlers that panicked", &self.panics),
            ("nats_slow_consumers", "Messages dropped by the NATS client", &self.slow_consumers),
            ("nats_violations", "Permission violations reported by the server", &self.violations),
            ("nats_disconnects", "Times that the connection was lost", &self.disconnects),
        ];
        for (name, help, counter) in all {
            registry.register(name, help, counter.clone());
        }
    }
}
