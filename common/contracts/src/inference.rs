//! What the inference service is asked beside predictions, which travel as [`crate::wire`] says.

use serde::{Deserialize, Serialize};

use crate::name::{ModelName, Version};
use crate::operation::operation;
use crate::registry::Manifest;

/// Check an uploaded artifact, predict with it once, and make it a version. The same bytes again under the same
/// version give the manifest that is there; other bytes are a `Conflict`; what is not a model is `Invalid`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Register {
    /// Of the model.
    pub model: ModelName,
    /// Of the version.
    pub version: Version,
    /// Where the artifact is in the object store.
    pub object: String,
    /// Its SHA-256, lower-case hex, as the edge computed it in passing.
    pub digest: String,
    /// Its bytes.
    pub size: u64,
    /// Names of the features in order; empty: the file's own, or `x0`, `x1`, ….
    pub features: Vec<String>,
    /// What a person calls the classes, in the file's order; empty: the file's own.
    pub classes: Vec<String>,
    /// Whether the model answers `POST /predict` from now on.
    pub default: bool,
    /// Who, as [`crate::auth::Principal`] prints.
    pub created_by: String,
}
operation!(Register => Registered, Inference, "register", Safe, 60000);

/// What became of an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registered {
    /// As kept.
    pub manifest: Manifest,
    /// False: it was there already.
    pub created: bool,
}

/// Remove a version and its artifact. `NotFound`. Workers let it go when what is under way is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remove {
    /// Of the model.
    pub model: ModelName,
    /// Of the version.
    pub version: Version,
}
operation!(Remove => (), Inference, "remove", Never, 10000);

/// The operation's token in the direct subject of predictions.
pub const PREDICT: &str = "predict";
