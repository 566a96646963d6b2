//! Parameters: an object of texts, numbers and booleans, of which those that mean something are kept.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Parameters of one object, at most.
const MOST: usize = 256;

/// What a request, a tensor or a requested output says beside the rest; absent is what is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `content_type` of MLServer's codecs.
    pub content_type: Option<String>,
    /// Of an input: bytes of its buffer after the JSON.
    pub binary_data_size: Option<u64>,
    /// Of an output: whether it is answered in binary.
    pub binary_data: Option<bool>,
    /// Of a request: whether outputs are answered in binary that do not say it themselves.
    pub binary_data_output: Option<bool>,
    /// Of an output: so many classes, the greatest first.
    pub classification: Option<u64>,
    /// Of a request: microseconds.
    pub timeout: Option<u64>,
    /// Elements are in memory that client and server share, which this server does not.
    pub shared_memory: bool,
}

/// A parameter that means nothing here.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, a number or a boolean")]
enum Other {
    Bool(#[allow(dead_code, reason = "only its type is held")] bool),
    Number(#[allow(dead_code, reason = "only its type is held")] f64),
    Text(#[allow(dead_code, reason = "only its type is held")] IgnoredText),
}

struct IgnoredText;

impl<'de> Deserialize<'de> for IgnoredText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = IgnoredText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E>(self, _: &str) -> Result<IgnoredText, E> {
                Ok(IgnoredText)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts, numbers and booleans")
    }

    // `null` is what some clients send for none.
    fn visit_unit<E>(self) -> Result<Parameters, E> {
        Ok(Parameters::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut all = Parameters::default();
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.len() == MOST {
                return Err(A::Error::custom(format!("must be at most {MOST} parameters")));
            }
            match name.as_str() {
                "content_type" => all.content_type = map.next_value()?,
                "binary_data_size" => all.binary_data_size = map.next_value()?,
                "binary_data" => all.binary_data = map.next_value()?,
                "binary_data_output" => all.binary_data_output = map.next_value()?,
                "classification" => all.classification = map.next_value()?,
                "timeout" => all.timeout = map.next_value()?,
                "shared_memory_region" => {
                    map.next_value::<IgnoredAny>()?;
                    all.shared_memory = true;
                }
                // MLServer's own: the headers of the request that it stands for.
                "headers" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    map.next_value::<Option<Other>>()?;
                }
            }
            if !seen.insert(name) {
                return Err(A::Error::custom("must have each parameter once"));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_is_kept_and_the_rest_has_to_be_legal() {
        let read = |text: &str| serde_json::from_str::<Parameters>(text);
        let all =
            read(r#"{"content_type":"np","binary_data_output":true,"x":1,"y":"z","z":false,"headers":null,"n":null}"#);
        let all = all.unwrap();
        assert_eq!((all.content_type.as_deref(), all.binary_data_output), (Some("np"), Some(true)));
        assert_eq!(read("null").unwrap(), Parameters::default());
        for wrong in [
            r#"{"x":[1]}"#,
            r#"{"x":{}}"#,
            "[]",
            r#"{"binary_data_size":-1}"#,
            r#"{"binary_data":1}"#,
            "1",
            r#"{"timeout":1,"timeout":2}"#,
            r#"{"x":1,"x":1}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
