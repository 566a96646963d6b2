//! What the crypto service is asked. Plaintext and keys do not print.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::operation::operation;

/// Encrypt a text: a Fernet token by the newest key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Encrypt {
    /// UTF-8; at most what the service is configured for.
    pub plaintext: String,
}
operation!(Encrypt => Encrypted, Crypto, "encrypt", Safe, 1000);

/// A Fernet token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Encrypted {
    /// `gAAAAA…`
    pub ciphertext: String,
}

/// Decrypt a Fernet token by whichever key of the ring made it. Refused with `DecryptionFailed`, in the same words for
/// every cause.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decrypt {
    /// `gAAAAA…`
    pub ciphertext: String,
}
operation!(Decrypt => Decrypted, Crypto, "decrypt", Safe, 1000);

/// A plaintext; does not print.
#[derive(Clone, Serialize, Deserialize)]
pub struct Decrypted {
    /// UTF-8.
    pub plaintext: String,
}

/// Make a new key the newest. Asked twice it makes two, which harms nobody, but only one was wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RotateKey {}
operation!(RotateKey => KeyVersion, Crypto, "rotate-key", Never, 5000);

/// A key of the ring, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// 1, 2, …; the highest encrypts.
    pub version: u32,
    /// RFC 3339.
    pub created_at: String,
}

/// The keys themselves, newest first, for `cryptography.fernet.MultiFernet`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportKeys {}
operation!(ExportKeys => Vec<ExportedKey>, Crypto, "export-keys", Safe, 2000);

/// A key of the ring, in the open; does not print.
#[derive(Clone, Serialize, Deserialize)]
pub struct ExportedKey {
    /// Which.
    pub version: u32,
    /// URL-safe base64 of 32 bytes, as `Fernet(key)` takes it.
    pub key: String,
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), " [redacted]"))
            }
        }
    )*};
}
redacted!(Encrypt, Decrypted, ExportedKey);
