//! Every subject on the bus, and keys of buckets. Both are built of tokens; what is not plain in a token is escaped, so
//! that no text can add a level, a wildcard or a space.

use std::fmt::{self, Write};

use crate::name::{InstanceId, ModelName, RequestId, Version};
use crate::operation::Service;

/// The version of subjects and messages, second token of each subject.
pub const PREFIX: &str = "arborgate.v1";

/// Writes `text` as one token: letters, digits, `_` and `-` as they are, any other byte as `=` and two hex digits.
fn escape(into: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            into.push(char::from(byte));
        } else {
            // Writing to a String can not fail.
            let _ = write!(into, "={byte:02X}");
        }
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut out = Vec::with_capacity(token.len());
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let pair = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// A subject without wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject(std::sync::Arc<str>);

impl Subject {
    fn build(tokens: &[&str]) -> Self {
        let mut text = String::from(PREFIX);
        for token in tokens {
            text.push('.');
            escape(&mut text, token);
        }
        Self(text.into())
    }

    /// Where any instance of a service hears an operation: a queue group.
    pub fn group(service: Service, operation: &str) -> Self {
        Self::build(&[service.as_str(), operation])
    }

    /// Where one instance of a service hears an operation.
    pub fn direct(service: Service, operation: &str, instance: &InstanceId) -> Self {
        Self::build(&[service.as_str(), operation, instance.as_str()])
    }

    /// Where any worker that holds a model version hears predictions: a queue group.
    pub fn predict(model: &ModelName, version: &Version) -> Self {
        Self::build(&["inference", "predict", "model", model.as_str(), version.as_str()])
    }

    /// Where instances of a service announce themselves.
    pub fn presence(service: Service) -> Self {
        Self::build(&["presence", service.as_str()])
    }

    /// Where a newcomer asks the instances of a service to announce themselves now.
    pub fn roll_call(service: Service) -> Self {
        Self::build(&["roll-call", service.as_str()])
    }

    /// A message of a work queue.
    pub fn queued(queue: &str, id: &RequestId) -> Self {
        Self::build(&["queue", queue, id.as_str()])
    }

    /// A subject for a conformance test, below a level that no service uses.
    pub fn test(tokens: &[&str]) -> Self {
        let mut all = vec!["test"];
        all.extend_from_slice(tokens);
        Self::build(&all)
    }

    /// The text, as NATS takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key in a bucket: tokens joined by dots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Box<str>);

impl Key {
    /// A key of one or more tokens, each escaped. An empty token becomes `=`, which no other text gives.
    pub fn of(tokens: &[&str]) -> Self {
        let mut text = String::new();
        for (i, token) in tokens.iter().enumerate() {
            if i > 0 {
                text.push('.');
            }
            if token.is_empty() {
                text.push('=');
            }
            escape(&mut text, token);
        }
        Self(text.into())
    }

    /// A key as it is stored; `None` when it was not made by [`Key::of`].
    pub fn from_stored(text: &str) -> Option<Self> {
        let key = Self(text.into());
        let tokens = key.tokens()?;
        let again = Self::of(&tokens.iter().map(String::as_str).collect::<Vec<_>>());
        (again == key).then_some(key)
    }

    /// The text as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tokens that it was made of.
    pub fn tokens(&self) -> Option<Vec<String>> {
        self.0.split('.').map(|token| if token == "=" { Some(String::new()) } else { unescape(token) }).collect()
    }

    /// Whether the first tokens of this key are those of `prefix`.
    pub fn starts_with(&self, prefix: &Key) -> bool {
        self.0.strip_prefix(&*prefix.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_adds_a_level_or_a_wildcard() {
        let version = "1.0".parse().unwrap();
        let subject = Subject::predict(&"iris".parse().unwrap(), &version);
        assert_eq!(subject.as_str(), "arborgate.v1.inference.predict.model.iris.1=2E0");
        assert_eq!(Subject::test(&["a.*>", " \r\n"]).as_str(), "arborgate.v1.test.a=2E=2A=3E.=20=0D=0A");
    }

    #[test]
    fn keys_give_their_tokens_back() {
        for tokens in [vec!["a"], vec!["user", "ann@example.org"], vec!["é", "", "="], vec!["x.y", "z"]] {
            let key = Key::of(&tokens);
            assert_eq!(key.tokens().unwrap(), tokens);
            assert_eq!(Key::from_stored(key.as_str()).unwrap(), key);
        }
        for foreign in ["", "a..b", "a b", "=G1", "=4", "=41"] {
            assert!(Key::from_stored(foreign).is_none(), "{foreign:?}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_token() {
        assert!(Key::of(&["a", "b"]).starts_with(&Key::of(&["a"])));
        assert!(!Key::of(&["ab"]).starts_with(&Key::of(&["a"])));
    }
}
