//! How instances of a service make themselves known: each publishes an [`Announcement`] once a second, when what it holds
//! changes, when asked by a roll call, and, empty, when it leaves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{InstanceId, ModelName, Version};

/// How often an instance announces itself unasked.
pub const EVERY: Duration = Duration::from_secs(1);
/// After this long without a word an instance is taken to be gone.
pub const GONE_AFTER: Duration = Duration::from_millis(3500);

/// An instance is here, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Who.
    pub instance: InstanceId,
    /// Whether it takes new requests; false: it is leaving.
    pub serving: bool,
    /// For inference: the versions that it answers for.
    #[serde(default)]
    pub holds: Vec<Held>,
    /// For inference: the versions that it does not answer for though it is told to hold them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<Aside>,
}

/// What an instance has to announce beside that it is here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holding {
    /// As [`Announcement::holds`].
    pub holds: Vec<Held>,
    /// As [`Announcement::aside`].
    pub aside: Vec<Aside>,
}

/// A model version that a worker does not answer for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// Which.
    #[serde(flatten)]
    pub version: Held,
    /// Why, in a sentence for people.
    pub reason: String,
}

/// A model version that a worker has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Held {
    /// Of the model.
    pub model: ModelName,
    /// Of the version.
    pub version: Version,
    /// SHA-256 of the artifact, lower-case hex.
    pub digest: String,
}
