//! How the service fails to start, and how a model fails to load.

use arborgate_bus::{BusError, StoreError};

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration can not work.
    #[error("inference.{key} {problem}")]
    Config {
        /// Below `inference`.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A subscription or an announcement failed.
    #[error("the inference service can not be reached over the bus")]
    Bus(#[from] BusError),
    /// The registry or the object store can not be opened.
    #[error("the model registry can not be read")]
    Store(#[from] StoreError),
    /// The system gives no thread.
    #[error("a compute thread can not be started")]
    Thread(#[source] std::io::Error),
}

/// Why an artifact is not a model that can be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("the artifact can not be fetched")]
    Fetch(#[from] StoreError),
    #[error("the artifact was not fetched within {0:?}")]
    Slow(std::time::Duration),
    #[error("the file has {size} bytes; at most {limit} are taken")]
    TooLarge { size: u64, limit: u64 },
    #[error("the file has {found} bytes where {expected} were announced")]
    Size { found: u64, expected: u64 },
    #[error("the file's SHA-256 is {found} where {expected} was announced")]
    Digest { found: String, expected: String },
    #[error(transparent)]
    Unverified(#[from] crate::provenance::Unverified),
    #[error(
        "the model takes {bytes} bytes of memory; the models of this worker have {limit} together (inference.memory)"
    )]
    OverBudget { bytes: u64, limit: u64 },
    #[error(transparent)]
    Read(#[from] arborgate_forest::Error),
    #[error("the model can not be compiled")]
    Compile(#[from] arborgate_forest::CompileError),
    #[error("the model fails its trial prediction: {0}")]
    Canary(String),
    #[error("the model is not the one of its manifest: {0}")]
    Manifest(String),
    #[error("the model's subject can not be served")]
    Serve(#[from] BusError),
    #[error("loading the model panicked")]
    Panicked,
}

/// An error and its causes, in one line for people.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(because) = cause {
        text.push_str(": ");
        text.push_str(&because.to_string());
        cause = because.source();
    }
    text
}
