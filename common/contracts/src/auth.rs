//! What the auth service is asked, and the records that edges watch. Passwords and the digest of a key's secret travel
//! in requests and are never logged: [`Password`] and [`SecretDigest`] do not print.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{KeyId, UserName};
use crate::operation::operation;
use crate::permission::Role;

/// A password on its way; does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// SHA-256 of an API key's whole text, in lower-case hex: the edge sends this, never the key. Does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretDigest(pub String);

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Principal {
    /// A user, by an access token.
    User {
        /// The user's name.
        name: UserName,
    },
    /// A program, by an API key.
    ApiKey {
        /// The key's public part.
        id: KeyId,
    },
    /// Whoever may open the owner-only socket of an all-in-one.
    Operator,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name } => write!(f, "user:{name}"),
            Self::ApiKey { id } => write!(f, "api-key:{id}"),
            Self::Operator => f.write_str("operator"),
        }
    }
}

/// Sign in with a password: an access token (RFC 9068) for it. Refused with `Unauthenticated`, the same in words and
/// work for an unknown user and a wrong password. Minting twice harms nobody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignIn {
    /// As typed: it may be no legal name at all.
    pub username: String,
    /// As typed.
    pub password: Password,
}

/// An access token; its text does not print.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessToken {
    /// A JWT, `typ` `at+jwt`, `alg` `EdDSA`.
    pub token: String,
    /// Its life, in seconds.
    pub expires_in: u64,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken {{ expires_in: {} }}", self.expires_in)
    }
}
operation!(SignIn => AccessToken, Auth, "sign-in", Safe, 4000);

/// The claims of an access token (RFC 9068 section 2.2), with `roles` (section 2.2.3.1) and `gen`: the generation of the
/// user's record. A token whose `gen` is below the one in [`Standing`] is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The user.
    pub sub: UserName,
    /// Who asked for it; for the password grant the user's own programs.
    pub client_id: String,
    /// Issued at, seconds since 1970.
    pub iat: u64,
    /// Ends, seconds since 1970.
    pub exp: u64,
    /// Its id.
    pub jti: String,
    /// Roles at the time of issue.
    pub roles: Vec<Role>,
    /// Generation of the user's record at the time of issue.
    #[serde(rename = "gen")]
    pub generation: u64,
}

/// `typ` of every access token.
pub const TOKEN_TYPE: &str = "at+jwt";
/// `iss` of every access token.
pub const ISSUER: &str = "arborgate";
/// `aud` of every access token.
pub const AUDIENCE: &str = "arborgate-api";

/// A public signing key in bucket `signing-keys`, at `Key::of(&[kid])`. The private half never leaves its auth replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    /// RFC 7638 thumbprint of the key.
    pub kid: String,
    /// Ed25519 public key, base64url without padding: `x` of the JWK (RFC 8037).
    pub x: String,
    /// Seconds since 1970; tokens by this key that were issued after this are refused.
    pub signs_until: u64,
    /// Seconds since 1970; after this no token by it is good, and the entry may go.
    pub verifies_until: u64,
}

/// In bucket `standings`, at `Key::of(&["user", name])` or `Key::of(&["api-key", id])`: written whenever a user or a key
/// changes or goes, before the change is answered. Edges watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The least generation that is good: microseconds since 1970, always growing for one principal. Removal writes one
    /// too, so that what a removed user holds is below it.
    pub generation: u64,
}

/// What an API key is good for. Refused with `Forbidden` when it is unknown, wrong, expired or revoked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyApiKey {
    /// The public part.
    pub id: KeyId,
    /// Of the whole text.
    pub digest: SecretDigest,
}

/// What an API key is good for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKeyGrant {
    /// What it may do.
    pub roles: Vec<Role>,
    /// Seconds since 1970; `None`: it does not end.
    pub expires_at: Option<u64>,
    /// Of the key's record; below the one in [`Standing`] it is no longer good.
    pub generation: u64,
}
operation!(VerifyApiKey => ApiKeyGrant, Auth, "verify-api-key", Safe, 1000);

/// How far a reader of `standings` must have come to be current. An edge may trust its own memory until a stated time
/// after it *sent* this, once it has applied the revision in the answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lease {}

/// The answer to [`Lease`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leased {
    /// The newest revision of bucket `standings`.
    pub revision: u64,
    /// How long the edge may trust its memory, from when it sent the request.
    pub valid_ms: u64,
}
operation!(Lease => Leased, Auth, "lease", Safe, 500);

/// Whether a verified token is still good: what an edge without a lease asks for each request. Refused with
/// `Unauthenticated` when it is not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckToken {
    /// Whose.
    pub sub: UserName,
    /// Of the token.
    pub generation: u64,
}
operation!(CheckToken => (), Auth, "check-token", Safe, 1000);

/// A user as the API shows one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub name: UserName,
    /// What the user may do.
    pub roles: Vec<Role>,
    /// RFC 3339.
    pub created_at: String,
}

/// Add a user. `Conflict` when the name is taken; `Invalid` for a password that is too short or too long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateUser {
    /// The name.
    pub name: UserName,
    /// 12 to 128 characters.
    pub password: Password,
    /// What the user may do.
    pub roles: Vec<Role>,
}
operation!(CreateUser => User, Auth, "create-user", Never, 10000);

/// All users, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListUsers {}
operation!(ListUsers => Vec<User>, Auth, "list-users", Safe, 2000);

/// Remove a user and revoke what they hold. `NotFound`; `Conflict` for the last administrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteUser {
    /// Whom.
    pub name: UserName,
}
operation!(DeleteUser => (), Auth, "delete-user", Never, 5000);

/// An API key as the API shows one; never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The public part.
    pub id: KeyId,
    /// What a person calls it.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// RFC 3339.
    pub created_at: String,
    /// Who made it, as [`Principal`] prints.
    pub created_by: String,
    /// RFC 3339; `None`: it does not end.
    pub expires_at: Option<String>,
}

/// Make an API key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateApiKey {
    /// What a person calls it, 1 to 64 characters without control characters.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Its life; `None`: it does not end.
    pub expires_in_s: Option<u64>,
    /// Who makes it, as [`Principal`] prints.
    pub created_by: String,
}

/// A new API key. `secret` is in no other answer, ever.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewApiKey {
    /// What is kept.
    pub key: ApiKey,
    /// `arb_live_<id>_<base62>_<crc>`: 256 random bits in base62 and CRC-32 in eight hex digits.
    pub secret: String,
}

impl fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewApiKey {{ key: {:?} }}", self.key)
    }
}
operation!(CreateApiKey => NewApiKey, Auth, "create-api-key", Never, 5000);

/// All API keys, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListApiKeys {}
operation!(ListApiKeys => Vec<ApiKey>, Auth, "list-api-keys", Safe, 2000);

/// Revoke an API key. `NotFound`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteApiKey {
    /// Which.
    pub id: KeyId,
}
operation!(DeleteApiKey => (), Auth, "delete-api-key", Never, 5000);
