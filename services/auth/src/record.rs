//! What the auth service keeps in its own buckets. Each record says its format; a newer one is refused.

use std::collections::BTreeSet;

use arborgate_bus::{Entry, StoreError};
use arborgate_contracts::auth::{ApiKey, User};
use arborgate_contracts::name::KeyId;
use arborgate_contracts::permission::Role;
use arborgate_contracts::{Key, UserName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;

/// The newest format of every record here.
pub(crate) const FORMAT: u32 = 1;

/// A user, in bucket `users` at [`user_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRecord {
    pub(crate) format: u32,
    pub(crate) name: UserName,
    /// Tells this user from one of the same name before or after.
    pub(crate) uid: Uuid,
    /// A PHC string of Argon2id.
    pub(crate) hash: String,
    pub(crate) roles: Vec<Role>,
    /// Microseconds since 1970.
    pub(crate) created: u64,
    /// Of the tokens that are signed from now on.
    pub(crate) generation: u64,
}

/// An API key, in bucket `api-keys` at [`api_key_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiKeyRecord {
    pub(crate) format: u32,
    pub(crate) id: KeyId,
    /// HMAC-SHA-256 of the SHA-256 of the key's text, hex.
    pub(crate) mac: String,
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    /// Microseconds since 1970.
    pub(crate) created: u64,
    pub(crate) created_by: String,
    /// Seconds since 1970.
    pub(crate) expires_at: Option<u64>,
    pub(crate) generation: u64,
}

/// The administrators, in bucket `users` at [`admins_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdminIndex {
    pub(crate) format: u32,
    pub(crate) admins: BTreeSet<Administrator>,
}

/// One administrator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Administrator {
    pub(crate) name: UserName,
    pub(crate) uid: Uuid,
}

pub(crate) fn user_key(name: &UserName) -> Key {
    Key::of(&[name.as_str()])
}

/// No user's: a name is never empty.
pub(crate) fn admins_key() -> Key {
    Key::of(&["", "admins"])
}

pub(crate) fn api_key_key(id: &KeyId) -> Key {
    Key::of(&[id.as_str()])
}

pub(crate) fn user_standing(name: &UserName) -> Key {
    Key::of(&["user", name.as_str()])
}

pub(crate) fn api_key_standing(id: &KeyId) -> Key {
    Key::of(&["api-key", id.as_str()])
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A record of a format that this binary knows.
pub(crate) fn read<T: DeserializeOwned>(entry: &Entry) -> Result<T, Error> {
    let Format { format } = entry.json()?;
    if format > FORMAT {
        return Err(Error::Format { key: entry.key.to_string(), found: format, known: FORMAT });
    }
    Ok(entry.json()?)
}

/// The record of an entry that may be absent, and its revision.
pub(crate) fn read_optional<T: DeserializeOwned>(entry: Option<Entry>) -> Result<Option<(T, u64)>, Error> {
    entry.map(|entry| Ok((read(&entry)?, entry.revision))).transpose()
}

/// Whether a write lost against another; any other failure is passed on.
pub(crate) fn lost<T>(outcome: Result<T, StoreError>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl UserRecord {
    pub(crate) fn is_admin(&self) -> bool {
        self.roles.contains(&Role::Admin)
    }

    pub(crate) fn administrator(&self) -> Administrator {
        Administrator { name: self.name.clone(), uid: self.uid }
    }

    pub(crate) fn shown(&self) -> Result<User, Error> {
        Ok(User {
            name: self.name.clone(),
            roles: self.roles.clone(),
            created_at: rfc3339(self.created / 1_000_000, &user_key(&self.name))?,
        })
    }
}

impl ApiKeyRecord {
    pub(crate) fn shown(&self) -> Result<ApiKey, Error> {
        let key = api_key_key(&self.id);
        Ok(ApiKey {
            id: self.id.clone(),
            name: self.name.clone(),
            roles: self.roles.clone(),
            created_at: rfc3339(self.created / 1_000_000, &key)?,
            created_by: self.created_by.clone(),
            expires_at: self.expires_at.map(|at| rfc3339(at, &key)).transpose()?,
        })
    }
}

/// Roles once each, in their order.
pub(crate) fn distinct(mut roles: Vec<Role>) -> Vec<Role> {
    roles.sort_unstable();
    roles.dedup();
    roles
}

fn rfc3339(seconds: u64, key: &Key) -> Result<String, Error> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map(|time| time.to_string())
        .ok_or_else(|| Error::Damaged { key: key.to_string(), what: "a time is beyond the year 9999" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_record_is_refused() {
        let entry = |json: &str| Entry { key: admins_key(), value: json.to_owned().into(), revision: 1 };
        let index: AdminIndex = read(&entry(r#"{"format":1,"admins":[]}"#)).unwrap();
        assert!(index.admins.is_empty());
        let newer = read::<AdminIndex>(&entry(r#"{"format":2,"administrators":{}}"#)).unwrap_err();
        assert!(matches!(newer, Error::Format { found: 2, known: 1, .. }), "{newer}");
        for broken in ["", "[]", "{}", r#"{"format":-1}"#, r#"{"format":1}"#] {
            assert!(matches!(read::<AdminIndex>(&entry(broken)), Err(Error::Store(_))), "{broken}");
        }
    }

    #[test]
    fn the_index_is_at_no_user_s_key() {
        assert_ne!(admins_key(), user_key(&"admins".parse().unwrap()));
        assert_eq!(admins_key().tokens().unwrap().len(), 2);
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0, &admins_key()).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_795_471_200, &admins_key()).unwrap(), "2026-11-23T22:00:00Z");
        assert!(rfc3339(u64::MAX, &admins_key()).is_err());
    }
}
