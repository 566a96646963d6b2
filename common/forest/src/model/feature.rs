//! What goes in and what a file calls it: features, their categories, class labels, and what a model was read from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A column of the input, as a caller gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    Float(f64),
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
