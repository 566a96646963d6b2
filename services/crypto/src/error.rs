//! How the service fails to start, and why a key of the ring can not be used.

use arborgate_bus::{BusError, StoreError};
use arborgate_runtime::master_key::MasterKeyError;

use crate::fernet::LibraryError;

/// Why the service did not start, or its keyring was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration can not work.
    #[error("crypto.{key} {problem}")]
    Config {
        /// Below `crypto`.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A subscription or an announcement failed.
    #[error("the crypto service can not be reached over the bus")]
    Bus(#[from] BusError),
    /// The bucket can not be read or written.
    #[error("the keyring can not be read or written")]
    Store(#[from] StoreError),
    /// There is no key to encrypt by.
    #[error("the keyring is empty; run `arborgate init` once")]
    Empty,
    /// What stands in the bucket was not written by this service.
    #[error("entry {entry} of the keyring can not be read: {problem}")]
    Entry {
        /// Its key in the bucket.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer binary wrote it.
    #[error("encryption key {version} is of format {found}, and this binary reads formats up to {newest}")]
    Format {
        /// Of the key.
        version: u32,
        /// As the record says.
        found: u32,
        /// That this binary reads.
        newest: u32,
    },
    /// The master key is not the one that wrapped it.
    #[error("encryption key {version} can not be unwrapped; is this the master key that the keyring was made with?")]
    Unwrap {
        /// Of the key.
        version: u32,
        /// Why.
        #[source]
        source: MasterKeyError,
    },
    /// A key can not be wrapped.
    #[error("a new encryption key can not be wrapped")]
    Wrap(#[source] MasterKeyError),
    /// No random bytes.
    #[error("a new encryption key can not be made")]
    Library(#[from] LibraryError),
    /// The ring holds as many keys as are tried on one token, or the versions are at their end.
    #[error("the keyring is full: it holds {0} keys")]
    Full(usize),
}
