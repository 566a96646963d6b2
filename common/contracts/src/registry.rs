//! The manifest of a model version: what the edge validates by and a worker loads by. In bucket `models`, at
//! [`manifest_key`]. It never changes: what does is the model's [`crate::rollout::Rollout`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{ModelName, Version};
use crate::provenance::Provenance;
use crate::subject::Key;
use crate::wire::Asked;

/// The manifest's own format.
pub const MANIFEST_FORMAT: u32 = 1;

/// Where a manifest is kept.
pub fn manifest_key(model: &ModelName, version: &Version) -> Key {
    Key::of(&["manifest", model.as_str(), version.as_str()])
}

/// Where the name of the default model is kept, as a [`DefaultModel`].
pub fn default_key() -> Key {
    Key::of(&["default"])
}

/// Which model answers `POST /predict`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultModel {
    /// Its name.
    pub model: ModelName,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// Of the model.
    pub model: ModelName,
    /// Of the version.
    pub version: Version,
    /// SHA-256 of the artifact, lower-case hex.
    pub digest: String,
    /// Bytes of the artifact.
    pub size: u64,
    /// Its name in the object store.
    pub object: String,
    /// What wrote it, such as `scikit-learn 1.9.1 RandomForestClassifier`.
    pub source: String,
    /// What it does.
    pub task: Task,
    /// In the order of a positional row.
    pub features: Vec<Feature>,
    /// For each output its classes, in the file's order; empty for a regressor.
    pub classes: Vec<Vec<Class>>,
    /// How many values a regressor gives, or how many labels a classifier gives: at least 1.
    pub outputs: u32,
    /// How many margins the trees sum to: at least 1; 0 in a manifest of a binary that did not say it.
    #[serde(default)]
    pub margins: u32,
    /// Trees.
    pub trees: u32,
    /// Nodes of all trees.
    pub nodes: u64,
    /// RFC 3339.
    pub created_at: String,
    /// As [`crate::auth::Principal`] prints.
    pub created_by: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// By which workers are told what to hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who vouches for the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Of a row; absent in a manifest of a binary that did not keep one, or where it is too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

/// A row that the worker predicted when the version was registered, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// A value for each feature, as a client sends it.
    pub row: Vec<serde_json::Value>,
    /// As in a reply (see [`crate::wire`]).
    pub values: Vec<f64>,
    /// As there.
    pub labels: Vec<u32>,
}

impl Manifest {
    /// Values a row in a reply (see [`crate::wire`]): the probabilities of each output after one another, or the values
    /// of a regressor, or the score of an outlier detector.
    pub fn width(&self) -> usize {
        match self.task {
            Task::Classification => self.classes.iter().map(Vec::len).sum(),
            Task::Regression | Task::OutlierDetection => self.outputs as usize,
        }
    }

    /// How many margins the trees sum to; where the manifest does not say it, as many as there are values.
    pub fn margins(&self) -> usize {
        if self.margins > 0 { self.margins as usize } else { self.width() }
    }

    /// Bytes that a row takes in a reply to what is asked.
    pub fn reply_row(&self, asked: Asked) -> usize {
        let of = |kind: Asked, count: usize| if asked.has(kind) { count } else { 0 };
        let margins = self.margins();
        let contributions = margins.saturating_mul(self.features.len() + 1);
        let floats = of(Asked::VALUES, self.width())
            .saturating_add(of(Asked::MARGINS, margins))
            .saturating_add(of(Asked::CONTRIBUTIONS, contributions));
        let indexes = of(Asked::LABELS, self.classes.len()) + of(Asked::LEAVES, self.trees as usize);
        floats.saturating_mul(8).saturating_add(indexes.saturating_mul(4))
    }
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Probabilities and labels.
    Classification,
    /// Values.
    Regression,
    /// A score, low for what is unlike the training data, and one of the two classes −1 and 1.
    OutlierDetection,
}

/// One column of the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Any text of 1 to 128 characters.
    pub name: String,
    /// What it takes.
    #[serde(rename = "type")]
    pub kind: FeatureType,
    /// Whether `null` or NaN is a value.
    pub missing: bool,
    /// Of [`FeatureType::Category`]: a number, a text or a boolean each. To a worker, the one at place i is i.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<serde_json::Value>,
    /// Of [`FeatureType::Category`]: what becomes of another one.
    #[serde(default, skip_serializing_if = "Unseen::is_refused")]
    pub unseen: Unseen,
    /// Of a number: which ones.
    #[serde(default, skip_serializing_if = "Domain::is_real")]
    pub domain: Domain,
    /// Of a number: the least one that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Of a number: the greatest one that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What it is measured in, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Feature {
    /// A feature that is no category, of which nothing more is known.
    pub fn number(name: impl Into<String>, kind: FeatureType, missing: bool) -> Self {
        Self {
            name: name.into(),
            kind,
            missing,
            categories: Vec::new(),
            unseen: Unseen::Refused,
            domain: Domain::Real,
            min: None,
            max: None,
            unit: String::new(),
            description: String::new(),
        }
    }

    /// Whether rows of one are rows of the other: what is only told to people may differ.
    pub fn takes_as(&self, other: &Self) -> bool {
        let told = |of: &Self| Self { unit: String::new(), description: String::new(), ..of.clone() };
        told(self) == told(other)
    }
}

/// Which numbers a feature takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// Any.
    #[default]
    Real,
    /// Whole ones.
    Integer,
    /// 0 and 1, for false and true.
    Boolean,
}

impl Domain {
    fn is_real(&self) -> bool {
        *self == Self::Real
    }
}

/// What a feature takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    /// A finite number within the range of a 32-bit float.
    Number,
    /// A finite number within the range of a 64-bit float: of a model that compares in double precision.
    Double,
    /// One of [`Feature::categories`].
    Category,
    /// A category's number, as the model was trained with it: a finite number.
    Code,
    /// A category's text, or a whole number that stands for its digits. To a worker it is the number that CatBoost has for it.
    Text,
}

/// What becomes of a category that is none of the feature's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unseen {
    /// It is refused.
    #[default]
    Refused,
    /// It counts as missing.
    Missing,
    /// The model decides: to a worker it is −1.
    Passed,
}

impl Unseen {
    fn is_refused(&self) -> bool {
        *self == Self::Refused
    }
}

/// A class: the value that the file has for it, and what a person calls it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// A number, a text or a boolean: `prediction` in an answer.
    pub value: serde_json::Value,
    /// `label` in an answer; differs from that of every other class of its output.
    pub label: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_both_precisions_are_read() {
        for (text, kind) in [("number", FeatureType::Number), ("double", FeatureType::Double)] {
            let json = format!(r#"{{"name":"x","type":"{text}","missing":false}}"#);
            let feature = Feature::number("x", kind, false);
            assert_eq!(serde_json::from_str::<Feature>(&json).unwrap(), feature);
            assert_eq!(serde_json::to_string(&feature).unwrap(), json);
        }
    }

    #[test]
    fn a_category_is_read_as_it_was_written() {
        let json = r#"{"name":"x","type":"category","missing":true,"categories":["a",2,true],"unseen":"missing"}"#;
        let feature = serde_json::from_str::<Feature>(json).unwrap();
        assert_eq!((feature.categories.len(), feature.unseen), (3, Unseen::Missing));
        assert_eq!(serde_json::to_string(&feature).unwrap(), json);
    }
}
