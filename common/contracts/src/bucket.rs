//! Every bucket of state and what it needs. Values are JSON unless said otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::subject::Key;

/// Where a bucket's entries live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Gone with the last process (all in one) or the last server (NATS).
    Memory,
    /// Survives.
    Disk,
}

/// What a bucket needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSpec {
    /// `[a-z-]+`.
    pub name: &'static str,
    /// Where.
    pub storage: Storage,
    /// How many values of one key are kept, the current one included.
    pub history: u8,
    /// How long an entry lives after it was written; `None`: for ever.
    pub max_age: Option<Duration>,
    /// The largest value, in bytes.
    pub max_value: usize,
}

const fn disk(name: &'static str, max_value: usize) -> BucketSpec {
    BucketSpec { name, storage: Storage::Disk, history: 1, max_age: None, max_value }
}

/// Users and their password hashes, by name: the auth service's own.
pub const USERS: BucketSpec = disk("users", 16 << 10);
/// API keys as keyed hashes, by id: the auth service's own.
pub const API_KEYS: BucketSpec = disk("api-keys", 16 << 10);
/// [`crate::auth::PublicKey`] by `kid`; edges watch it.
pub const SIGNING_KEYS: BucketSpec = disk("signing-keys", 4 << 10);
/// [`crate::auth::Standing`] by principal; edges watch it.
pub const STANDINGS: BucketSpec = disk("standings", 1 << 10);
/// Encryption keys wrapped by the master key, by version: the crypto service's own.
pub const KEYRING: BucketSpec = disk("keyring", 4 << 10);
/// [`crate::registry::Manifest`]s, [`crate::rollout::Rollout`]s and the default model; edges and workers watch it.
pub const MODELS: BucketSpec = disk("models", 768 << 10);
/// [`Meta`] and what else is said once of the whole state.
pub const META: BucketSpec = disk("meta", 4 << 10);
/// The limiter's logs, binary, by hashed key. An entry outlives the longest window by the longest loan.
pub const LIMITS: BucketSpec = BucketSpec {
    name: "limits",
    storage: Storage::Memory,
    history: 1,
    max_age: Some(Duration::from_secs(2 * 86_400)),
    max_value: 256 << 10,
};

/// [`crate::jobs::Job`]s and their progress. Whoever finds one expired removes it; this is for what nobody finds, and for
/// what NATS keeps of deletions.
pub const JOBS: BucketSpec = BucketSpec {
    name: "jobs",
    storage: Storage::Disk,
    history: 1,
    max_age: Some(Duration::from_secs(35 * 86_400)),
    max_value: 64 << 10,
};

/// Every bucket, in the order in which they are made.
pub const ALL: [&BucketSpec; 9] =
    [&META, &USERS, &API_KEYS, &SIGNING_KEYS, &STANDINGS, &KEYRING, &MODELS, &JOBS, &LIMITS];

/// The object store's bucket of model artifacts.
pub const ARTIFACTS: &str = "artifacts";
/// The object store's bucket of what jobs read and write: see [`crate::jobs::Files`].
pub const JOB_FILES: &str = "job-files";

/// The format of all state that this binary writes.
pub const STATE_FORMAT: u32 = 1;

/// What is said once of the whole state, at [`meta_key`]: written last by the first start, so that its presence says
/// that the state is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// [`STATE_FORMAT`] of the binary that wrote it.
    pub format: u32,
    /// Tells whether a master key is the one that wrapped what is here, without telling the key: hex.
    pub master_key_check: String,
}

/// Where [`Meta`] is kept.
pub fn meta_key() -> Key {
    Key::of(&["state"])
}
