//! Models and versions as the API shows them.

use std::sync::Arc;

use arborgate_contracts::ModelName;
use arborgate_contracts::registry::{Class, Domain, Feature, FeatureType, Manifest, Task, Unseen};
use arborgate_contracts::rollout::Rollout;
use poem_openapi::{Enum, Object};
use serde::Serialize;

use crate::api::rollout::RolloutView;
use crate::models::catalog::{Catalog, Served, Versions};

/// What a model does.
#[derive(Enum, Serialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum TaskName {
    Classification,
    Regression,
    OutlierDetection,
}

/// What a feature takes.
#[derive(Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum FeatureTypeName {
    /// A number within the range of a 32-bit float.
    Number,
    /// A number within the range of a 64-bit float.
    Double,
    /// One of `categories`.
    Category,
    /// A category's number.
    Code,
    /// A category's text.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`; 1 or 0 as well.
    Boolean,
}

/// What becomes of a category that is none of the feature's.
#[derive(Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum UnseenName {
    /// It is refused.
    Refused,
    /// It counts as missing.
    Missing,
    /// The model decides.
    Passed,
}

/// The categories of a feature.
#[derive(Object, Serialize)]
struct CategoriesView {
    /// A number, a text or a boolean each.
    values: Vec<serde_json::Value>,
    /// What becomes of others.
    unseen: UnseenName,
}

/// One column of the input.
#[derive(Object, Serialize)]
struct FeatureView {
    /// Its name.
    name: String,
    /// What it takes.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: FeatureTypeName,
    /// Whether `null` is a value.
    missing: bool,
    /// What a category may be; only of the type `category`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    categories: Option<CategoriesView>,
    /// The least number that is taken.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    /// The greatest number that is taken.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    /// What it is measured in.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    /// For people.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// A text that says something.
fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl FeatureView {
    fn of(feature: &Feature) -> Self {
        let kind = match (feature.kind, feature.domain) {
            (FeatureType::Number | FeatureType::Double, Domain::Integer) => FeatureTypeName::Integer,
            (FeatureType::Number | FeatureType::Double, Domain::Boolean) => FeatureTypeName::Boolean,
            (FeatureType::Number, Domain::Real) => FeatureTypeName::Number,
            (FeatureType::Double, Domain::Real) => FeatureTypeName::Double,
            (FeatureType::Category, _) => FeatureTypeName::Category,
            (FeatureType::Code, _) => FeatureTypeName::Code,
            (FeatureType::Text, _) => FeatureTypeName::Text,
        };
        let categories = (feature.kind == FeatureType::Category).then(|| CategoriesView {
            values: feature.categories.clone(),
            unseen: match feature.unseen {
                Unseen::Refused => UnseenName::Refused,
                Unseen::Missing => UnseenName::Missing,
                Unseen::Passed => UnseenName::Passed,
            },
        });
        Self {
            name: feature.name.clone(),
            kind,
            missing: feature.missing,
            categories,
            min: feature.min,
            max: feature.max,
            unit: said(&feature.unit),
            description: said(&feature.description),
        }
    }
}

/// A class of a classifier.
#[derive(Object, Serialize)]
struct ClassView {
    /// As the model's file has it: `prediction` in answers.
    value: serde_json::Value,
    /// What a person calls it: `label` in answers.
    label: String,
}

/// Whether a version answers.
#[derive(Enum, Serialize, PartialEq, Eq)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum StateName {
    /// A worker holds it.
    Ready,
    /// No worker holds it yet.
    Loading,
    /// Workers that are to hold it can not: `reason` says why.
    SetAside,
    /// An operator unloaded it: `reason` says why.
    Unloaded,
}

/// A label by which workers are told what to hold.
#[derive(Object, Serialize)]
struct LabelView {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

/// A version of a model.
#[derive(Object, Serialize)]
pub(crate) struct VersionView {
    /// The model's name.
    model: String,
    /// The version.
    version: String,
    /// Whether it answers.
    state: StateName,
    /// Why it does not.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How many workers hold it.
    workers: u32,
    /// What it does.
    task: TaskName,
    /// For people.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// By which workers are told what to hold.
    labels: Vec<LabelView>,
    /// The key that signed the file: the first 16 hex digits of the SHA-256 of the public key.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    /// What wrote the file.
    source: String,
    /// SHA-256 of the file.
    digest: String,
    /// Bytes of the file.
    size: u64,
    /// In the order of a positional row.
    features: Vec<FeatureView>,
    /// The classes of each output; empty for a regressor.
    classes: Vec<Vec<ClassView>>,
    /// How many outputs.
    outputs: u32,
    /// Trees.
    trees: u32,
    /// Nodes of all trees.
    nodes: u64,
    /// RFC 3339.
    created_at: String,
    /// Who.
    created_by: String,
}

/// A model.
#[derive(Object, Serialize)]
pub(crate) struct ModelView {
    /// Its name.
    name: String,
    /// Whether it answers `POST /predict`.
    default: bool,
    /// The version that answers what no share of the traffic takes.
    current: String,
    /// Whether that version is ready, as KServe's V1 asks; its `state` says more.
    ready: bool,
    /// How requests that name no version are divided; absent while nobody said: the version added last answers.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<RolloutView>,
    /// All.
    versions: Vec<VersionView>,
}

/// Whether a version answers, and why not.
struct Standing {
    state: StateName,
    reason: Option<String>,
    workers: usize,
}

impl Standing {
    fn of(served: &Served, rollout: Option<&Rollout>) -> Self {
        let workers = served.lane.workers().count();
        if let Some(unloaded) = rollout.and_then(|rollout| rollout.unloaded.get(&served.manifest.version)) {
            let reason = match unloaded.reason.as_str() {
                "" => format!("by {}", unloaded.by),
                reason => format!("by {}: {reason}", unloaded.by),
            };
            return Self { state: StateName::Unloaded, reason: Some(reason), workers };
        }
        let aside = served.lane.workers().aside();
        let state = match (workers, aside.is_empty()) {
            (0, true) => StateName::Loading,
            (0, false) => StateName::SetAside,
            _ => StateName::Ready,
        };
        Self { state, reason: (!aside.is_empty()).then(|| aside.join("; ")), workers }
    }
}

impl VersionView {
    pub(super) fn of(served: &Served, rollout: Option<&Rollout>) -> Self {
        Self::with(&served.manifest, Standing::of(served, rollout))
    }

    /// Of a version that this edge does not know yet.
    pub(super) fn fresh(manifest: &Manifest) -> Self {
        Self::with(manifest, Standing { state: StateName::Loading, reason: None, workers: 0 })
    }

    fn with(manifest: &Manifest, standing: Standing) -> Self {
        let class = |c: &Class| ClassView { value: c.value.clone(), label: c.label.clone() };
        let label = |(name, value): (&String, &String)| LabelView { name: name.clone(), value: value.clone() };
        Self {
            model: manifest.model.to_string(),
            version: manifest.version.to_string(),
            state: standing.state,
            reason: standing.reason,
            workers: u32::try_from(standing.workers).unwrap_or(u32::MAX),
            task: match manifest.task {
                Task::Classification => TaskName::Classification,
                Task::Regression => TaskName::Regression,
                Task::OutlierDetection => TaskName::OutlierDetection,
            },
            description: said(&manifest.description),
            labels: manifest.labels.iter().map(label).collect(),
            signed_by: manifest.provenance.as_ref().map(|provenance| provenance.key.clone()),
            source: manifest.source.clone(),
            digest: manifest.digest.clone(),
            size: manifest.size,
            features: manifest.features.iter().map(FeatureView::of).collect(),
            classes: manifest.classes.iter().map(|output| output.iter().map(class).collect()).collect(),
            outputs: manifest.outputs,
            trees: manifest.trees,
            nodes: manifest.nodes,
            created_at: manifest.created_at.clone(),
            created_by: manifest.created_by.clone(),
        }
    }
}

impl ModelView {
    pub(super) fn of(name: &ModelName, versions: &Versions, default: Option<&ModelName>, catalog: &Catalog) -> Self {
        let rollout = versions.rollout();
        let ready = |served: &Arc<Served>| Standing::of(served, rollout).state == StateName::Ready;
        Self {
            name: name.to_string(),
            default: default == Some(name),
            current: versions.current().map_or_else(String::new, |served| served.manifest.version.to_string()),
            ready: versions.current().is_some_and(ready),
            rollout: rollout.map(|rollout| RolloutView::of(rollout, catalog.found(rollout))),
            versions: versions.all().map(|served| VersionView::of(served, rollout)).collect(),
        }
    }
}
