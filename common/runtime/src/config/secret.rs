//! Values that must not be seen: wiped from memory when dropped, and shown as `[redacted]`. Neither is serialized.

use std::fmt;

use secrecy::{ExposeSecret, SecretBox};
use serde::de::{self, Deserializer, Visitor};
use zeroize::{Zeroize as _, Zeroizing};

/// A secret text, such as a password.
#[derive(Clone)]
pub struct Secret(SecretBox<str>);

/// Secret bytes, such as a key.
#[derive(Clone)]
pub struct SecretBytes(SecretBox<[u8]>);

impl Secret {
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(mut text: String) -> Self {
        // a box made of the string itself may be moved, and what it leaves behind is not wiped
        let boxed = Box::from(text.as_str());
        text.zeroize();
        Self(SecretBox::new(boxed))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(SecretBox::new(Box::from(text)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl SecretBytes {
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The bytes as text, if they are UTF-8.
    pub fn as_text(&self) -> Option<Secret> {
        std::str::from_utf8(self.expose()).ok().map(Secret::from)
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(SecretBox::new(Box::from(bytes.as_slice())))
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(SecretBox::new(Box::from(bytes)))
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

struct SecretText;

impl<'de> Visitor<'de> for SecretText {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::from(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret::from(text))
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // not the refusal's own words, which repeat what was found, and that may be the secret
        deserializer.deserialize_string(SecretText).map_err(|_| de::Error::custom("a secret is a text in quotes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let text = Secret::from("hunter2".to_owned());
        let bytes = SecretBytes::from(b"hunter2".to_vec());
        assert_eq!(format!("{text:?} {bytes:?}"), "[redacted] [redacted]");
        assert_eq!((text.expose(), bytes.expose()), ("hunter2", b"hunter2".as_slice()));
        assert_eq!(bytes.as_text().unwrap().expose(), "hunter2");
        assert!(SecretBytes::from(vec![0xff]).as_text().is_none());
    }

    #[test]
    fn a_refusal_does_not_repeat_the_secret() {
        for wrong in ["424242", "4.24242", "true"] {
            let error = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(!error.contains(wrong), "{error}");
        }
    }
}
