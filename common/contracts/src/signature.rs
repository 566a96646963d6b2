//! What an uploader says of a model, beside what its file says: names, units, ranges, categories, classes. A small TOML or
//! JSON file at upload, of this form in either.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::registry::Domain;

/// All of it may be absent: then the file's own holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GivenSignature {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// By which workers are told what to hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "each_once")]
    pub labels: BTreeMap<String, String>,
    /// Of the features.
    #[serde(skip_serializing_if = "GivenFeatures::is_empty")]
    pub features: GivenFeatures,
    /// What a person calls the classes, in the file's order, of all outputs one after another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
}

/// What is said of features.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum GivenFeatures {
    /// Of every feature, in the file's order.
    All(Vec<GivenFeature>),
    /// Of some, by the file's own names (`x0`, `x1`, … where it has none).
    Some(BTreeMap<String, GivenFeature>),
}

impl Default for GivenFeatures {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl GivenFeatures {
    /// Names alone, in the file's order.
    pub fn named(names: Vec<String>) -> Self {
        let named = |name| GivenFeature { name: Some(name), ..GivenFeature::default() };
        Self::All(names.into_iter().map(named).collect())
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::All(all) => all.is_empty(),
            Self::Some(some) => some.is_empty(),
        }
    }
}

impl<'de> Deserialize<'de> for GivenFeatures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOrSome;
        impl<'de> Visitor<'de> for AllOrSome {
            type Value = GivenFeatures;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of all features, or a table of some by their names in the file")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<GivenFeatures, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(seq)).map(GivenFeatures::All)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GivenFeatures, A::Error> {
                each_once(MapAccessDeserializer::new(map)).map(GivenFeatures::Some)
            }
        }
        deserializer.deserialize_any(AllOrSome)
    }
}

/// What is said of one feature. What is absent is as the file has it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GivenFeature {
    /// What clients call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of a number: which ones.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// What it is measured in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Of a number: the least one that is taken.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "finite")]
    pub min: Option<f64>,
    /// Of a number: the greatest one that is taken.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "finite")]
    pub max: Option<f64>,
    /// Whether a missing value is taken; true only where the model takes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<bool>,
    /// Of a category that the file knows by its number alone: what the numbers 0, 1, … stand for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<serde_json::Value>,
}

/// A table in which no name stands twice: JSON lets one, and the last would silently hold.
fn each_once<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error> {
    struct Once<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Once<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = BTreeMap::new();
            while let Some((name, value)) = map.next_entry()? {
                if all.insert(name, value).is_some() {
                    return Err(A::Error::custom("a name is there twice; each stands there once"));
                }
            }
            Ok(all)
        }
    }
    deserializer.deserialize_map(Once(PhantomData))
}

/// TOML has NaN and infinity; JSON, by which it goes on, has neither, and would lose them.
fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    match number {
        Some(number) if !number.is_finite() => Err(D::Error::custom("must be a finite number")),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_all_in_order_or_some_by_name() {
        let all = r#"{"features":[{"name":"a","unit":"cm"},{"name":"b","type":"integer","min":0,"max":9}]}"#;
        let given: GivenSignature = serde_json::from_str(all).unwrap();
        let GivenFeatures::All(features) = &given.features else { panic!("{given:?}") };
        assert_eq!((features[1].domain, features[1].max), (Some(Domain::Integer), Some(9.0)));
        let some = r#"{"features":{"x1":{"name":"b","missing":false}},"classes":["no","yes"]}"#;
        let given: GivenSignature = serde_json::from_str(some).unwrap();
        let again: GivenSignature = serde_json::from_str(&serde_json::to_string(&given).unwrap()).unwrap();
        assert_eq!(given, again);
        assert!(serde_json::from_str::<GivenSignature>(r#"{"feature":[]}"#).is_err());
    }

    #[test]
    fn what_is_said_twice_is_refused() {
        for twice in [
            r#"{"features":{"a":{"unit":"cm"},"b":{},"a":{"unit":"m"}}}"#,
            r#"{"labels":{"team":"a","team":"b"}}"#,
            r#"{"classes":["a"],"classes":["b"]}"#,
        ] {
            let error = serde_json::from_str::<GivenSignature>(twice).unwrap_err().to_string();
            assert!(error.contains("twice") || error.contains("duplicate"), "{error}");
        }
    }
}
