//! What goes in and what a file calls it: features, their categories, class labels, and what a model was read from.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::float;

/// A column of the input, as a caller gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// As the file has it.
    pub name: Option<String>,
    /// What its numbers mean.
    pub kind: FeatureKind,
    /// Whether NaN is a value.
    pub missing_allowed: bool,
}

/// What the numbers of a feature mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FeatureKind {
    /// A quantity.
    Number,
    /// A category, given as a number.
    Category(Categories),
}

/// Which number stands for which category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Categories {
    /// The numbers themselves; the file has no names for them.
    Codes,
    /// The category at place i is given as i.
    Named(Vec<Label>),
    /// CatBoost: the low 32 bits of the CityHash64 of the category's text.
    Hashed,
}

/// A class or a category as the file has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Label {
    /// An integer of any width.
    Int(i64),
    /// A float.
    Float(#[serde(with = "float")] f64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(String),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// What a model was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Such as `scikit-learn`.
    pub library: String,
    /// Such as `1.9.1`, as the file says.
    pub version: String,
    /// Such as `RandomForestClassifier` or `binary:logistic`.
    pub class: String,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.library, self.version, self.class)
    }
}

/// The classes of each output. None is empty: three bytes of JSON would become many of memory.
pub(super) fn classes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<Label>>, D::Error> {
    struct Lists;

    impl<'de> Visitor<'de> for Lists {
        type Value = Vec<Vec<Label>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("for each output its classes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut of: A) -> Result<Self::Value, A::Error> {
            let mut lists = Vec::new();
            while let Some(list) = of.next_element::<Vec<Label>>()? {
                if list.is_empty() {
                    return Err(A::Error::custom("an output without classes"));
                }
                lists.push(list);
            }
            Ok(lists)
        }
    }

    deserializer.deserialize_seq(Lists)
}
