//! Which version of a model answers when none is named: one record a model, in bucket `models` at [`rollout_key`], changed
//! by compare-and-set. Without one the version added last answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{ModelName, Version};
use crate::subject::Key;

/// The record's own format.
pub const ROLLOUT_FORMAT: u32 = 1;
/// Promotions that can be rolled back, at most.
pub const LONGEST_HISTORY: usize = 16;
/// Versions with a share, at most.
pub const MOST_SHARES: usize = 16;
/// A whole in [`Share::basis_points`].
pub const WHOLE: u32 = 10_000;

/// Where a model's rollout is kept.
pub fn rollout_key(model: &ModelName) -> Key {
    Key::of(&["rollout", model.as_str()])
}

/// Which version of a model answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// [`ROLLOUT_FORMAT`].
    pub format: u32,
    /// Of the model.
    pub model: ModelName,
    /// What no share takes; `None`: the version added last.
    pub current: Option<Version>,
    /// What was current before, the last one last.
    #[serde(default)]
    pub history: Vec<Version>,
    /// Versions that answer a share.
    #[serde(default)]
    pub split: Option<Split>,
    /// A version that is compared.
    #[serde(default)]
    pub shadow: Option<Shadow>,
    /// Versions that no worker holds.
    #[serde(default)]
    pub unloaded: BTreeMap<Version, Unloaded>,
    /// RFC 3339.
    pub changed_at: String,
    /// As [`crate::auth::Principal`] prints.
    pub changed_by: String,
}

impl Rollout {
    /// What traffic of the model names the version for, in a sentence; `None`: nothing.
    pub fn names(&self, version: &Version) -> Option<&'static str> {
        if self.current.as_ref() == Some(version) {
            return Some("it is the current version; promote another first");
        }
        if self.split.as_ref().is_some_and(|split| split.shares.iter().any(|share| share.version == *version)) {
            return Some("it has a share of the traffic; end the split first");
        }
        let shadows = self.shadow.as_ref().is_some_and(|shadow| shadow.version == *version);
        shadows.then_some("it is the shadow; end that first")
    }
}

/// Versions that answer a share; the current one answers the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// One to [`MOST_SHARES`], of different versions, together at most [`WHOLE`].
    pub shares: Vec<Share>,
    /// What has the same version answer again; `None`: chance decides each request.
    #[serde(default)]
    pub sticky: Option<Sticky>,
}

/// What a version answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which.
    pub version: Version,
    /// 1 to [`WHOLE`].
    pub basis_points: u32,
}

/// By what a caller stays with a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    /// By the user or the API key.
    Principal,
    /// By the value of a header, in lower case; chance decides a request without it.
    Header(String),
}

/// A version that is asked as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// Which.
    pub version: Version,
    /// Of the requests, 1 to [`WHOLE`].
    pub basis_points: u32,
    /// Values agree that differ by at most this, relative to the greater of 1 and the value; of a classifier the labels must
    /// agree as well.
    pub tolerance: f64,
}

/// Why no worker holds a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unloaded {
    /// In the words of who unloaded it.
    pub reason: String,
    /// RFC 3339.
    pub at: String,
    /// As [`crate::auth::Principal`] prints.
    pub by: String,
}
