//! The inference service: holds every model version of the registry, answers predictions, registers and removes versions.
//!
//! | module | what |
//! |---|---|
//! | `predict` | the way of a prediction message; passes no mailbox |
//! | `pool`, `job`, `kernel` | threads that compute, fairly and bounded; what they compute for whom; with what |
//! | `ways` | by what is asked of a version: which line, with which kernel |
//! | `keeper`, `model`, `table` | follows the registry; an actor for each version; what is held now |
//! | `artifact` | from an object to a model that computes: fetched, checked, read, compiled, tried |
//! | `jobs` | large work, from durable queues |
//! | `provenance` | whose artifacts are run |
//! | `registry` | operations `register`, `remove` and `change-rollout` |
//!
//! It knows no HTTP, no role and no limit: whoever sends rows says by which grant, and the edge decides that. It depends
//! on no other service.

mod artifact;
mod config;
mod error;
mod job;
mod jobs;
mod keeper;
mod kernel;
mod metrics;
mod model;
mod pool;
mod predict;
mod provenance;
mod registry;
mod running;
mod table;
mod ways;

pub use config::{ArtifactLimits, Config, ModelLimits};
pub use error::Error;
pub use provenance::Policy;
pub use registry::register;
pub use running::{Running, start};

/// Returns when the signal is given, or nobody is left to give it.
async fn signalled(signal: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = signal.wait_for(|given| *given).await;
}
