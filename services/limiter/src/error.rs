//! Why a limiter did not start. Once it runs, every failure is the answer to a request.

use arborgate_bus::{BusError, StoreError};

/// Why a limiter did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration can not work.
    #[error("limiter.{key} {problem}")]
    Config {
        /// Below `limiter`.
        key: &'static str,
        /// Why.
        problem: String,
    },
    /// It could not subscribe or announce itself.
    #[error("the limiter can not be reached over the bus")]
    Bus(#[from] BusError),
    /// Its bucket could not be opened.
    #[error("the limiter can not open its state")]
    State(#[from] StoreError),
}
