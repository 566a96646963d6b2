//! Who vouches for an artifact: an Ed25519 signature (RFC 8032) of a statement about its bytes. What is signed and how a key
//! is called stands here; signing and verifying do not.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::name::ModelName;

/// The signature's file, and its part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Of the public key: the first 16 hex digits of the SHA-256 of its 32 bytes.
    pub key: String,
    /// The artifact's SHA-256, lower-case hex.
    pub digest: String,
    /// The one model that it may become; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// Of [`Provenance::statement`]: 64 bytes in lower-case hex.
    pub signature: String,
}

impl Provenance {
    /// What is signed: three lines, each ended by a line feed.
    pub fn statement(digest: &str, model: Option<&ModelName>) -> String {
        let mut text = format!("arborgate model artifact v1\nsha256 {digest}\n");
        // Writing to a String can not fail.
        let _ = match model {
            Some(model) => writeln!(text, "model {model}"),
            None => writeln!(text, "any model"),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_the_bytes_and_the_model() {
        let model = "iris".parse().unwrap();
        assert_eq!(Provenance::statement("ab", Some(&model)), "arborgate model artifact v1\nsha256 ab\nmodel iris\n");
        assert_eq!(Provenance::statement("ab", None), "arborgate model artifact v1\nsha256 ab\nany model\n");
    }
}
