//! Names that can only hold a legal value. Each parses from text and says what is wrong; none is ever built unchecked. Cheap
//! to clone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct NameError {
    /// Which kind of name was expected.
    pub what: &'static str,
    /// The rule that the text breaks. The text itself is left out: it came from a client.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let legal: fn(&str) -> bool = $check;
                if legal(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { what: $what, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        // Hash and order are those of the text, so a map of names is asked by text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

fn made_of(text: &str, longest: usize, others: &[u8]) -> bool {
    let mut bytes = text.bytes();
    text.len() <= longest
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

name!(
    /// A model's name.
    ModelName, "a model name",
    "1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit",
    |t| made_of(t, 64, b"_-") && !t.bytes().any(|b| b.is_ascii_uppercase())
);
name!(
    /// A model version's name, such as `1`, `2.0.1` or `2026-11-20`.
    Version, "a version",
    "1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', beginning with a letter or digit and without '..'",
    |t| made_of(t, 64, b"._-") && !t.contains("..")
);
name!(
    /// A user's name; an address of electronic mail is one.
    UserName, "a user name",
    "1 to 128 of A-Z, a-z, 0-9, '.', '_', '-', '+' and '@', beginning with a letter or digit",
    |t| made_of(t, 128, b"._-+@")
);
name!(
    /// The id of one running service: a new one at each start.
    InstanceId, "an instance id",
    "1 to 40 of a-z, 0-9 and '-', beginning with a letter or digit",
    |t| made_of(t, 40, b"-") && !t.bytes().any(|b| b.is_ascii_uppercase())
);
name!(
    /// What makes a repeated question the same question.
    RequestId, "a request id",
    "1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
    |t| made_of(t, 64, b"._-")
);
name!(
    /// The public part of an API key.
    KeyId, "an API key's id",
    "8 to 32 of a-z and 0-9",
    |t| t.len() >= 8 && made_of(t, 32, b"") && !t.bytes().any(|b| b.is_ascii_uppercase())
);

name!(
    /// A job's id.
    JobId, "a job's id",
    "32 of 0-9 and a-f",
    |t| t.len() == 32 && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
);

impl JobId {
    /// Of a number that nobody can guess.
    pub fn of_number(number: u128) -> Self {
        Self(format!("{number:032x}").into())
    }
}

impl From<&JobId> for RequestId {
    fn from(job: &JobId) -> Self {
        Self(Arc::clone(&job.0))
    }
}

impl RequestId {
    /// Of a chunk of a job, delivered for the `round`th time.
    pub fn of_chunk(job: &JobId, chunk: u32, round: u32) -> Self {
        Self(format!("{job}.{chunk}.{round}").into())
    }

    /// Of a number that the caller drew at random: 32 hex digits.
    pub fn of_number(number: u128) -> Self {
        Self(format!("{number:032x}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_legal_names_parse() {
        for legal in ["iris", "a", "credit-risk_2"] {
            assert_eq!(legal.parse::<ModelName>().unwrap().as_str(), legal);
        }
        let long = "a".repeat(65);
        for illegal in ["", "-a", "Iris", "a b", "a.b", "a*", ">", "../x", "é", "a\n", long.as_str()] {
            assert!(illegal.parse::<ModelName>().is_err(), "{illegal:?}");
        }
        assert!("2.0.1".parse::<Version>().is_ok());
        for illegal in ["", ".", "..", "1..2", "a/b", "a b", "1\0"] {
            assert!(illegal.parse::<Version>().is_err(), "{illegal:?}");
        }
        assert!("ann.lee+x@example.org".parse::<UserName>().is_ok());
        assert!("ann lee".parse::<UserName>().is_err());
    }

    #[test]
    fn an_error_says_the_rule_and_not_the_text() {
        let error = "evil\r\ntext".parse::<ModelName>().unwrap_err().to_string();
        assert!(error.starts_with("a model name must be 1 to 64 of"));
        assert!(!error.contains("evil"));
    }

    #[test]
    fn serde_refuses_an_illegal_name() {
        assert!(serde_json::from_str::<ModelName>("\"a b\"").is_err());
        assert_eq!(serde_json::to_string(&"a-b".parse::<ModelName>().unwrap()).unwrap(), "\"a-b\"");
    }
}
