//! What the inference service is asked beside predictions, which travel as [`crate::wire`] says.

use serde::{Deserialize, Serialize};

use crate::name::{ModelName, Version};
use crate::operation::operation;
use crate::provenance::Provenance;
use crate::registry::Manifest;
use crate::rollout::{Rollout, Shadow, Split};
use crate::signature::GivenSignature;

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
    /// What its uploader says of it, beside what the file says.
    pub signature: GivenSignature,
    /// Who vouches for the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Whether another version of the model goes on answering, until this one is promoted.
    #[serde(default)]
    pub held_back: bool,
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

/// Remove a version and its artifact. `NotFound`; `Conflict` while the model's [`Rollout`] names it and there are others.
/// Workers let it go when what is under way is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remove {
    /// Of the model.
    pub model: ModelName,
    /// Of the version.
    pub version: Version,
}
operation!(Remove => (), Inference, "remove", Never, 10000);

/// Change which version of a model answers. `NotFound`, `Conflict`, `Invalid`; what was asked is done whole or not at all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangeRollout {
    /// Of the model.
    pub model: ModelName,
    /// What is to be different.
    pub change: Change,
    /// Who, as [`crate::auth::Principal`] prints.
    pub changed_by: String,
}
operation!(ChangeRollout => Rollout, Inference, "change-rollout", Never, 10000);

/// What is to be different.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// This version answers everything; a split ends.
    Promote(Version),
    /// The version that answered before the last promotion, and is still there, answers everything; a split ends.
    Rollback,
    /// Some versions answer a share; `None`: none does.
    Split(Option<Split>),
    /// A version is asked as well, and its answers are compared and dropped; `None`: none is.
    Shadow(Option<Shadow>),
    /// Workers hold it.
    Load(Version),
    /// Workers let it go, and its artifact stays: why.
    Unload(Version, String),
    /// Workers hold every version.
    LoadAll,
    /// Workers let every version go, and their artifacts stay: why.
    UnloadAll(String),
}

/// The operation's token in the direct subject of predictions.
pub const PREDICT: &str = "predict";
