//! Backups: every bucket and every artifact as one tar stream, and back. Secrets in it stay wrapped by the master key,
//! which is not in it. What passes with time (jobs and their
//! files, the limiter's logs) is left out.
//!
//! Entries: `arborgate/backup.json` first ([`Header`]), `buckets/<name>/<key>` and `artifacts/<name>`, then
//! `arborgate/end.json`, whose absence says that the stream was cut off.

mod read;
mod write;

use arborgate_contracts::bucket::{ALL, BucketSpec, JOBS, Storage};
use serde::{Deserialize, Serialize};

pub use read::{RestoreError, Restored, restore};
pub use write::{BackupError, stream};

/// The first entry.
#[derive(Debug, Serialize, Deserialize)]
pub struct Header {
    /// Of the backup.
    pub format: u32,
    /// Of the state in it.
    pub state_format: u32,
    /// Tells which master key the secrets in it need.
    pub master_key_check: String,
}

/// [`Header::format`].
pub const FORMAT: u32 = 1;

const HEADER: &str = "arborgate/backup.json";
const END: &str = "arborgate/end.json";

/// What is kept: what survives a restart and does not pass with time.
fn kept() -> impl Iterator<Item = &'static BucketSpec> {
    ALL.into_iter().filter(|spec| spec.storage == Storage::Disk && spec.name != JOBS.name)
}
