//! Logs to standard error, as readable text or JSON, and OpenTelemetry traces over OTLP/HTTP where a collector is
//! configured; W3C trace context to and from other processes.
//!
//! A span for a request is made with [`request_span!`](crate::request_span), which without a collector costs one read
//! of an atomic flag, as do [`current_traceparent`] and [`set_parent`]. Text in fields is escaped: nothing that a
//! client sent can begin a line of the log or colour a terminal.
//!
//! The subscriber is the process's; a second [`init`] is an error. Figures are not here but in [`crate::metrics`].

mod context;
mod escape;
mod otlp;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::Error;
use crate::config::{HumanDuration, Secret};

pub use escape::escaped;

pub use context::{Traceparent, current_traceparent, is_exporting, set_parent};
#[doc(hidden)]
pub use tracing;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub format: Format,
    /// As `tracing-subscriber`'s `EnvFilter` reads it: `info`, `warn,arborgate_edge=debug`.
    pub filter: String,
    pub otlp: OtlpConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Text, filter: "info".to_owned(), otlp: OtlpConfig::default() }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// The collector's base address, such as `http://collector:4318`; traces are off without one.
    pub endpoint: Option<String>,
    /// The share of the traces that begin here which is kept, 0 to 1. A trace that began elsewhere is kept or not as
    /// its `traceparent` says.
    pub sample_ratio: f64,
    /// `service.name`; without one, what [`init`] was given.
    pub service_name: Option<String>,
    /// Headers to the collector, such as its API key.
    pub headers: BTreeMap<String, Secret>,
    /// What to trust of an `https` collector, in PEM form; without it, what the system trusts.
    pub ca_cert: Option<PathBuf>,
    /// For one export.
    pub timeout: HumanDuration,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            sample_ratio: 1.0,
            service_name: None,
            headers: BTreeMap::new(),
            ca_cert: None,
            timeout: HumanDuration(std::time::Duration::from_secs(10)),
        }
    }
}

/// A span for a request that may cross processes: `info_span!` while traces are exported, else none.
///
/// It is not entered before [`set_parent`], which has no effect on a span that was.
#[macro_export]
macro_rules! request_span {
    ($($arguments:tt)*) => {
        if $crate::telemetry::is_exporting() {
            $crate::telemetry::tracing::info_span!($($arguments)*)
        } else {
            $crate::telemetry::tracing::Span::none()
        }
    };
}

/// Exports what is left when dropped.
#[derive(Debug)]
#[must_use = "spans that were not exported are lost without it"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Guard {
    /// Exports what is left, waiting at most five seconds. Logs go on; spans do not.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(provider) = self.provider.take() else { return };
        context::set_exporting(false);
        if let Err(error) = provider.shutdown() {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the process's telemetry. `service` and `instance` name it in traces. It may block for as long as it takes to
/// start a thread, and may be called inside or outside of an asynchronous runtime.
///
/// # Errors
/// A filter that can not be read, an endpoint that is no address, or telemetry that is started already.
pub fn init(config: &Config, service: &str, instance: &str) -> Result<Guard, Error> {
    let filter =
        EnvFilter::try_new(&config.filter).map_err(|source| Error::Filter { filter: config.filter.clone(), source })?;
    let provider = otlp::provider(&config.otlp, service, instance)?;
    let logs = match config.format {
        Format::Text => fmt::layer()
            .fmt_fields(escape::EscapedFields)
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_writer(std::io::stderr)
            .boxed(),
        Format::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    let installed = match &provider {
        // the filter of the log must not decide which spans are exported
        Some(provider) => Registry::default().with(logs.with_filter(filter)).with(otlp::layer(provider)).try_init(),
        None => Registry::default().with(logs).with(filter).try_init(),
    };
    installed.map_err(Error::TelemetryTwice)?;
    context::set_exporting(provider.is_some());
    Ok(Guard { provider })
}
