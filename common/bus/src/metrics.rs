//! What every kind of bus counts of its bounded queues. It counts nothing that went well: services do that.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters of one bus. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Requests refused as [`crate::RequestError::Full`].
    pub full: Counter,
    /// Published messages dropped because a subscription's buffer was full.
    pub dropped: Counter,
    /// Changes of the state refused as [`crate::StoreError::Full`].
    pub writes_full: Counter,
}

impl Metrics {
    /// Registers each; the names begin with `bus_`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "bus_requests_full",
            "Requests refused because the responder's queue was full",
            self.full.clone(),
        );
        registry.register(
            "bus_messages_dropped",
            "Published messages dropped because a subscriber's buffer was full",
            self.dropped.clone(),
        );
        registry.register(
            "bus_writes_full",
            "Changes of the state refused because their queue was full",
            self.writes_full.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_registered_and_count_together() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.clone().register(&mut registry);
        metrics.full.inc();
        metrics.dropped.inc_by(2);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("bus_requests_full_total 1\n"), "{text}");
        assert!(text.contains("bus_messages_dropped_total 2\n"), "{text}");
    }
}
