//! One Prometheus registry a process: a part of it for each service, named `arborgate_SERVICE_…`, and the process's own
//! figures under the names that every Prometheus client uses.
//!
//! Metrics are made and counted with `prometheus-client`; this only gathers them.

mod process;

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry as Inner;

/// The media type of what [`Registry::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds for requests that cross a network: 500 µs to 10 s.
pub const REQUEST_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds in seconds for work inside a process: 10 µs to 1 s.
pub const WORK_SECONDS: [f64; 15] =
    [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// Upper bounds for counts, such as the rows of a batch.
pub const SIZES: [f64; 13] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0];

/// Shared by its clones.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<RwLock<Inner>>,
    adopted: Arc<RwLock<Vec<Inner>>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry that holds the process's own figures.
    pub fn new() -> Self {
        let mut inner = Inner::default();
        inner.register_collector(Box::new(process::ProcessCollector));
        Self { inner: Arc::new(RwLock::new(inner)), adopted: Arc::default() }
    }

    /// Registers a service's metrics: `register` gets a registry whose names begin with `arborgate_` and the service.
    /// Once a service, for each call opens a part of its own.
    pub fn service<T>(&self, service: &str, register: impl FnOnce(&mut Inner) -> T) -> T {
        register(self.inner.write().sub_registry_with_prefix("arborgate").sub_registry_with_prefix(service))
    }

    /// Adds a registry that was filled apart: a service registers its metrics while it starts.
    pub fn adopt(&self, registry: Inner) {
        self.adopted.write().push(registry);
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// A metric that can not be written.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.inner.read())?;
        for registry in self.adopted.read().iter() {
            text::encode_registry(&mut text, registry)?;
        }
        text::encode_eof(&mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::histogram::Histogram;

    use super::*;

    #[test]
    fn services_are_named_apart() {
        let registry = Registry::new();
        let requests: Counter = registry.service("edge", |edge| {
            let requests = Counter::default();
            edge.register("requests", "Requests answered", requests.clone());
            requests
        });
        let waits = Histogram::new(REQUEST_SECONDS);
        registry.clone().service("limiter", |limiter| limiter.register("wait_seconds", "Waits", waits.clone()));
        requests.inc_by(3);
        waits.observe(0.2);
        let text = registry.encode().unwrap();
        assert!(text.contains("\narborgate_edge_requests_total 3\n"), "{text}");
        assert!(text.contains("\narborgate_limiter_wait_seconds_bucket{le=\"0.25\"} 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn an_adopted_registry_is_encoded_with_the_others() {
        let registry = Registry::new();
        let mut apart = Inner::with_prefix("arborgate");
        apart.register("auth_sign_ins", "Sign-ins", Counter::<u64>::default());
        registry.clone().adopt(apart);
        let text = registry.encode().unwrap();
        assert!(text.contains("\narborgate_auth_sign_ins_total 0\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn bucket_lists_rise() {
        for list in [REQUEST_SECONDS.as_slice(), &WORK_SECONDS, &SIZES] {
            assert!(list.is_sorted_by(|low, high| low < high));
        }
    }
}
