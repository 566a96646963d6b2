//! Encryption as a service, and its keys.

use arborgate_contracts::crypto::{Decrypt, Encrypt, ExportKeys, RotateKey};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::Tag;
use super::payload::{Made, RawJson, Rendered, Shown, State};
use crate::front::admitted::Admitted;
use crate::front::body::Fields;
use crate::front::problem::Problem;

pub(super) struct Api(pub State);

/// What is to be encrypted, or was decrypted.
#[derive(Object, Serialize)]
struct Plaintext {
    /// Any text.
    #[oai(validator(max_length = 1048576))]
    plaintext: String,
}
impl Shown for Plaintext {}

/// A Fernet token.
#[derive(Object, Serialize)]
struct Ciphertext {
    /// `gAAAAA…`
    ciphertext: String,
}
impl Shown for Ciphertext {}

/// A key of the ring, without the key.
#[derive(Object, Serialize)]
struct KeyVersion {
    /// 1, 2, …; the highest encrypts.
    version: u32,
    /// RFC 3339.
    created_at: String,
}

/// A key of the ring, in the open.
#[derive(Object, Serialize)]
struct ExportedKey {
    /// Which.
    version: u32,
    /// As `cryptography.fernet.Fernet(key)` takes it.
    key: String,
}

#[OpenApi(tag = "Tag::Encryption")]
impl Api {
    /// Encrypt a text
    ///
    /// Gives a Fernet token by the newest key.
    #[oai(path = "/encrypt", method = "post", operation_id = "encrypt")]
    async fn encrypt(&self, admitted: Admitted, body: RawJson<Plaintext>) -> Result<Rendered<Ciphertext>, Problem> {
        let mut fields = Fields::parse(&body.bytes)?;
        let plaintext = fields.text("plaintext");
        fields.finish()?;
        let encrypted = self.0.get()?.crypto.call(&Encrypt { plaintext }, None, admitted.meta).await?;
        Rendered::of(&Ciphertext { ciphertext: encrypted.ciphertext })
    }

    /// Decrypt a Fernet token
    ///
    /// By whichever key of the ring made it.
    #[oai(path = "/decrypt", method = "post", operation_id = "decrypt")]
    async fn decrypt(&self, admitted: Admitted, body: RawJson<Ciphertext>) -> Result<Rendered<Plaintext>, Problem> {
        let mut fields = Fields::parse(&body.bytes)?;
        let ciphertext = fields.text("ciphertext");
        fields.finish()?;
        let decrypted = self.0.get()?.crypto.call(&Decrypt { ciphertext }, None, admitted.meta).await?;
        Rendered::of(&Plaintext { plaintext: decrypted.plaintext })
    }

    /// Make a new key the newest
    ///
    /// What was encrypted before stays readable.
    #[oai(path = "/v1/encryption-keys", method = "post", operation_id = "rotate_encryption_key")]
    async fn rotate(&self, admitted: Admitted) -> Result<Made<KeyVersion>, Problem> {
        let key = self.0.get()?.crypto.call(&RotateKey {}, None, admitted.meta).await?;
        Ok(Made { rendered: Rendered::of(&key)?, created: true })
    }

    /// Export the keys
    ///
    /// Newest first, in the open: whoever has them reads everything.
    #[oai(path = "/v1/encryption-keys/export", method = "post", operation_id = "export_encryption_keys")]
    async fn export(&self, admitted: Admitted) -> Result<Rendered<Vec<ExportedKey>>, Problem> {
        let keys = self.0.get()?.crypto.call(&ExportKeys {}, None, admitted.meta).await?;
        tracing::warn!(by = %admitted.caller.principal, "encryption keys were exported");
        Rendered::of(&keys)
    }
}
