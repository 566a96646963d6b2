//! What every Arborgate process needs before it serves anything: configuration, telemetry, shutdown, TLS material,
//! secret files and the operations listener.
//!
//! It knows no service, no transport between services and no HTTP API: it depends on no other Arborgate crate.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | defaults, file, environment and flags merged into one typed value; secrets, durations, byte sizes |
//! | [`files`] | files written whole with tight modes, secrets read, the data folder and its lock |
//! | [`master_key`] | the key that wraps the secrets of the state |
//! | [`metrics`] | one Prometheus registry a process, and the process's own figures |
//! | [`ops`] | `/livez`, `/readyz`, `/metrics`: the listener, the health it reports, a client to ask it |
//! | [`shutdown`] | signals, cancellation, draining within a grace time |
//! | [`telemetry`] | logs to the terminal, OpenTelemetry traces, W3C trace context |
//! | [`tls`] | the development CA, rustls configurations, certificates reloaded when their files change |

pub mod config;
mod error;
pub mod files;
pub mod master_key;
pub mod metrics;
pub mod ops;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

pub use error::Error;
