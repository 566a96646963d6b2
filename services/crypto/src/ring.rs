//! The encryption keys: how one is kept in the bucket, and those that can be used now. It does not watch and writes
//! nothing.

use std::sync::Arc;

use arborgate_bus::{Entry, to_json};
use arborgate_contracts::Key;
use arborgate_contracts::crypto::{ExportedKey, KeyVersion};
use arborgate_runtime::master_key::MasterKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::fernet::{FernetKey, InvalidToken, KEY_LEN, Token};

/// The most keys that a ring is rotated to: what a text that no key made costs is bounded by it.
pub const MAX_KEYS: usize = 64;

/// Of [`Record`].
const FORMAT: u32 = 1;

/// What the bucket keeps of a key.
#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    version: u32,
    created_at: Timestamp,
    /// What [`MasterKey::wrap`] gave, in URL-safe base64.
    wrapped: String,
}

/// Which format, before the rest is known to be of it.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A key that can be used.
#[derive(Debug)]
pub(crate) struct RingKey {
    pub(crate) version: u32,
    created_at: Timestamp,
    pub(crate) fernet: FernetKey,
}

/// Where a version is kept: ten digits, so that the bucket lists them in order.
pub(crate) fn entry_key(version: u32) -> Key {
    Key::of(&[&format!("{version:010}")])
}

fn version_of(key: &Key) -> Option<u32> {
    let tokens = key.tokens()?;
    let version = tokens.first()?.parse().ok()?;
    (entry_key(version) == *key).then_some(version)
}

/// What a wrapped key is; it opens as nothing else.
fn context(version: u32) -> String {
    format!("keyring/{version}")
}

impl RingKey {
    pub(crate) fn generate(version: u32) -> Result<Self, Error> {
        let now = Timestamp::now();
        let created_at = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Ok(Self { version, created_at, fernet: FernetKey::generate()? })
    }

    /// For the bucket.
    pub(crate) fn seal(&self, master: &MasterKey) -> Result<Bytes, Error> {
        let wrapped = master.wrap(&context(self.version), self.fernet.expose()).map_err(Error::Wrap)?;
        let record = Record {
            format: FORMAT,
            version: self.version,
            created_at: self.created_at,
            wrapped: URL_SAFE.encode(wrapped),
        };
        Ok(to_json(&record)?)
    }

    /// From the bucket.
    pub(crate) fn open(entry: &Entry, master: &MasterKey) -> Result<Self, Error> {
        let problem = |problem: String| Error::Entry { entry: entry.key.to_string(), problem };
        let version = version_of(&entry.key).ok_or_else(|| problem("its key is no version".to_owned()))?;
        let unreadable = |error: serde_json::Error| problem(format!("it is no record of a key: {error}"));
        let Format { format } = serde_json::from_slice(&entry.value).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Error::Format { version, found: format, newest: FORMAT });
        }
        let record: Record = serde_json::from_slice(&entry.value).map_err(unreadable)?;
        if record.version != version {
            return Err(problem(format!("it says that it is version {}", record.version)));
        }
        let wrapped = URL_SAFE.decode(&record.wrapped).map_err(|_| problem("it is not base64".to_owned()))?;
        let unwrapped =
            master.unwrap_bytes(&context(version), &wrapped).map_err(|source| Error::Unwrap { version, source })?;
        let bytes: &[u8; KEY_LEN] = unwrapped
            .as_slice()
            .try_into()
            .map_err(|_| problem(format!("the key has {} bytes, not {KEY_LEN}", unwrapped.len())))?;
        Ok(Self { version, created_at: record.created_at, fernet: FernetKey::new(bytes)? })
    }

    /// Without the key.
    pub(crate) fn describe(&self) -> KeyVersion {
        KeyVersion { version: self.version, created_at: self.created_at.to_string() }
    }
}

/// The keys that can be used, at one moment.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    /// The newest first.
    keys: Vec<Arc<RingKey>>,
}

impl Ring {
    /// Of keys in the order of their versions.
    pub(crate) fn of<'a>(ascending: impl DoubleEndedIterator<Item = &'a Arc<RingKey>>) -> Self {
        Self { keys: ascending.rev().map(Arc::clone).collect() }
    }

    /// The key that encrypts.
    pub(crate) fn newest(&self) -> Option<&FernetKey> {
        self.keys.first().map(|key| &key.fernet)
    }

    /// By whichever key made the token, the newest first.
    pub(crate) fn decrypt(&self, token: &Token) -> Result<Zeroizing<Vec<u8>>, InvalidToken> {
        self.keys.iter().find_map(|key| key.fernet.decrypt(token).ok()).ok_or(InvalidToken)
    }

    /// In the open, the newest first.
    pub(crate) fn export(&self) -> Vec<ExportedKey> {
        let export = |key: &Arc<RingKey>| ExportedKey { version: key.version, key: key.fernet.to_text().to_string() };
        self.keys.iter().map(export).collect()
    }
}
