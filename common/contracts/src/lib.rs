//! What Arborgate's services say to each other: names, subjects, operations, errors, stored records and the binary
//! layout of rows. It knows no transport and no service: serde only.
//!
//! | module | what |
//! |---|---|
//! | [`name`] | names that can only be legal: models, versions, users, instances |
//! | [`subject`] | every subject on the bus, and keys of buckets |
//! | [`operation`] | what a request to a service is: types, subject, whether it may be repeated |
//! | [`auth`], [`limiter`], [`crypto`], [`inference`] | each service's operations |
//! | [`api_key`] | the text of an API key: its form and its checksum |
//! | [`wire`] | the binary layout of predictions |
//! | [`registry`], [`signature`] | the manifest of a model version; what its uploader says of it |
//! | [`rollout`] | which version of a model answers |
//! | [`provenance`] | what a signature of an artifact says |
//! | [`jobs`] | large work: its records, files and messages |
//! | [`bucket`], [`queue`] | every bucket and every work queue, and what each needs |
//! | [`permission`] | permissions, roles, and which role holds what |
//! | [`deadline`], [`trace`] | what every request carries |
//! | [`error`] | one `ErrorCode` for the system |

pub mod api_key;
pub mod auth;
pub mod bucket;
pub mod crypto;
pub mod deadline;
pub mod error;
pub mod inference;
pub mod jobs;
pub mod limiter;
pub mod name;
pub mod operation;
pub mod permission;
pub mod presence;
pub mod provenance;
pub mod queue;
pub mod registry;
pub mod rollout;
pub mod signature;
pub mod subject;
pub mod trace;
pub mod wire;

pub use deadline::Deadline;
pub use error::{ErrorCode, Fault, ServiceError};
pub use name::{InstanceId, JobId, ModelName, RequestId, UserName, Version};
pub use operation::{Operation, Repeat, Service};
pub use subject::{Key, Subject};
pub use trace::TraceContext;
