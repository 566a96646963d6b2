//! What a version takes and gives as tensors: what its metadata says, and what a request names of it.

use arborgate_contracts::registry::{FeatureType, Manifest, Task};
use arborgate_contracts::wire::Asked;
use serde_json::Value;

use super::datatype::Datatype;
use super::document::Requested;
use super::faults::Faults;
use super::parameters::Parameters;

/// A tensor as metadata has it; −1 is a dimension of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Of its elements.
    pub datatype: Datatype,
    /// Its dimensions.
    pub shape: Vec<i64>,
}

/// What an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The class as the model's file has it, or a regressor's values.
    Prediction,
    /// The class as a person calls it.
    Label,
    /// Of each class.
    Probabilities,
    /// Of an outlier detector.
    Score,
    /// What the trees sum to.
    Margins,
    /// For each tree where the row ends.
    Leaves,
    /// For each margin what each feature contributed, and the base.
    Contributions,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Prediction,
        Self::Label,
        Self::Probabilities,
        Self::Score,
        Self::Margins,
        Self::Leaves,
        Self::Contributions,
    ];

    /// Its name, then what other servers call it.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Prediction => &["prediction", "predict", "output__0", "output-0", "output_0", "output"],
            Self::Label => &["label"],
            Self::Probabilities => &["probabilities", "predict_proba", "output__1", "output-1", "output_1"],
            Self::Score => &["score"],
            Self::Margins => &["margins"],
            Self::Leaves => &["leaves"],
            Self::Contributions => &["contributions"],
        }
    }

    /// Whether a model of this task has it, and what a worker computes for it.
    fn asked(self, task: Task) -> Option<Asked> {
        let class = task != Task::Regression;
        match (self, task) {
            (Self::Prediction, Task::Regression) => Some(Asked::DEFAULT),
            (Self::Prediction | Self::Label, Task::Classification) => Some(Asked::LABELS),
            (Self::Prediction | Self::Label, _) if class => Some(Asked::DEFAULT),
            (Self::Probabilities, Task::Classification) => Some(Asked::VALUES),
            (Self::Score, Task::OutlierDetection) => Some(Asked::DEFAULT),
            (Self::Margins, _) => Some(Asked::MARGINS),
            (Self::Leaves, _) => Some(Asked::LEAVES),
            (Self::Contributions, _) => Some(Asked::CONTRIBUTIONS),
            _ => None,
        }
    }

    /// Whether it is answered unless any is named.
    fn is_default(self) -> bool {
        matches!(self, Self::Prediction | Self::Probabilities | Self::Score)
    }
}

/// An output that is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As the client calls it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// So many classes as texts, the greatest first.
    pub classification: Option<usize>,
    /// Whether in binary.
    pub binary: bool,
}

/// What is answered, and what a worker computes for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the answer.
    pub wanted: Vec<Wanted>,
    /// Of a worker.
    pub asked: Asked,
}

/// A version's tensors.
#[derive(Debug)]
pub struct Outputs {
    pub(super) task: Task,
    pub(super) outputs: usize,
    /// Values a row.
    pub(super) width: usize,
    pub(super) margins: usize,
    pub(super) features: usize,
    trees: usize,
    /// For each output its classes.
    pub(super) classes: Vec<Classes>,
    inputs: Vec<Described>,
}

/// The classes of an output.
#[derive(Debug)]
pub(super) struct Classes {
    /// As a person calls them.
    pub(super) labels: Vec<String>,
    /// As the file has them.
    pub(super) values: Values,
}

/// Classes as elements of one datatype.
#[derive(Debug)]
pub(super) enum Values {
    Int64(Vec<i64>),
    Bool(Vec<bool>),
    Fp64(Vec<f64>),
    Bytes(Vec<String>),
}

impl Values {
    fn of<'v>(values: impl Iterator<Item = &'v Value> + Clone) -> Self {
        if let Some(whole) = values.clone().map(Value::as_i64).collect() {
            return Self::Int64(whole);
        }
        if let Some(truths) = values.clone().map(Value::as_bool).collect() {
            return Self::Bool(truths);
        }
        if let Some(floats) = values.clone().map(Value::as_f64).collect() {
            return Self::Fp64(floats);
        }
        Self::Bytes(values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect())
    }

    fn datatype(&self) -> Datatype {
        match self {
            Self::Int64(_) => Datatype::Int64,
            Self::Bool(_) => Datatype::Bool,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }
}

impl Outputs {
    /// Of a manifest.
    pub fn new(manifest: &Manifest) -> Self {
        let classes = manifest.classes.iter().map(|output| Classes {
            labels: output.iter().map(|class| class.label.clone()).collect(),
            values: Values::of(output.iter().map(|class| &class.value)),
        });
        Self {
            task: manifest.task,
            outputs: manifest.outputs as usize,
            width: manifest.width(),
            margins: manifest.margins(),
            features: manifest.features.len(),
            trees: manifest.trees as usize,
            classes: classes.collect(),
            inputs: inputs(manifest),
        }
    }

    /// What it takes: a matrix where all features are numbers, else a tensor a feature.
    pub fn inputs(&self) -> &[Described] {
        &self.inputs
    }

    /// What it gives, those first that are answered unless any is named.
    pub fn described(&self) -> Vec<Described> {
        let known = Kind::ALL.into_iter().filter(|kind| kind.asked(self.task).is_some());
        let (first, then): (Vec<_>, Vec<_>) = known.partition(|kind| kind.is_default());
        first.into_iter().chain(then).map(|kind| self.describe(kind)).collect()
    }

    fn describe(&self, kind: Kind) -> Described {
        let row = |width: usize| vec![-1, i64::try_from(width).unwrap_or(i64::MAX)];
        let each = if self.outputs > 1 { row(self.outputs) } else { vec![-1] };
        let (datatype, shape) = match kind {
            Kind::Prediction => (self.datatype(), each),
            Kind::Label => (Datatype::Bytes, each),
            Kind::Score => (Datatype::Fp64, each),
            Kind::Probabilities => (Datatype::Fp64, row(self.width)),
            Kind::Margins => (Datatype::Fp64, row(self.margins)),
            Kind::Leaves => (Datatype::Uint32, row(self.trees)),
            Kind::Contributions => (Datatype::Fp64, [row(self.margins), row(self.features + 1).split_off(1)].concat()),
        };
        let name = kind.names().first().copied().unwrap_or_default().to_owned();
        Described { name, datatype, shape }
    }

    /// Of predictions: one for all outputs.
    fn datatype(&self) -> Datatype {
        let mut all = self.classes.iter().map(|classes| classes.values.datatype());
        match all.next() {
            None => Datatype::Fp64,
            Some(first) if all.all(|other| other == first) => first,
            Some(_) => Datatype::Bytes,
        }
    }

    /// What is answered to a request that names `requested`, or nothing.
    pub fn plan(&self, requested: Option<&[Requested]>, of: &Parameters, faults: &mut Faults) -> Plan {
        let binary = of.binary_data_output.unwrap_or(false);
        let mut wanted = Vec::new();
        match requested.filter(|requested| !requested.is_empty()) {
            None => {
                // MLServer's codecs of a whole request read one output, and no matrix beside it.
                let one = of.content_type.as_deref().is_some_and(|codec| ["np", "pd"].contains(&codec));
                let default = Kind::ALL.into_iter().filter(|kind| kind.is_default() && kind.asked(self.task).is_some());
                let default = default.take(if one { 1 } else { Kind::ALL.len() });
                wanted.extend(default.map(|kind| Wanted {
                    name: kind.names().first().copied().unwrap_or_default().to_owned(),
                    kind,
                    classification: None,
                    binary,
                }));
            }
            Some(requested) => {
                for (at, output) in requested.iter().enumerate() {
                    match self.wanted(output, binary) {
                        Ok(one) if wanted.iter().any(|other: &Wanted| other.name == one.name) => {
                            faults.at(&format!("/outputs/{at}/name"), "is there twice");
                        }
                        Ok(one) => wanted.push(one),
                        Err((place, detail)) => faults.at(&format!("/outputs/{at}{place}"), detail),
                    }
                }
            }
        }
        let mut asked: Option<Asked> = None;
        for one in &wanted {
            let kind = if one.classification.is_some() && one.kind == Kind::Prediction {
                Kind::Probabilities
            } else {
                one.kind
            };
            if let Some(own) = kind.asked(self.task) {
                asked = Some(asked.map_or(own, |all| all.and(own)));
            }
        }
        Plan { wanted, asked: asked.unwrap_or(Asked::DEFAULT) }
    }

    fn wanted(&self, output: &Requested, binary: bool) -> Result<Wanted, (&'static str, String)> {
        let known = |kind: &Kind| kind.asked(self.task).is_some();
        let kind = Kind::ALL.into_iter().filter(known).find(|kind| kind.names().contains(&output.name.as_str()));
        let kind = kind.ok_or_else(|| {
            let names: Vec<&str> =
                Kind::ALL.into_iter().filter(known).filter_map(|kind| kind.names().first().copied()).collect();
            ("/name", format!("is not an output of this model; its outputs are {}", names.join(", ")))
        })?;
        let classification = output.parameters.classification.map(|count| self.classification(kind, count)).transpose();
        let classification = classification.map_err(|detail| ("/parameters/classification", detail))?;
        let binary = output.parameters.binary_data.unwrap_or(binary);
        Ok(Wanted { name: output.name.clone(), kind, classification, binary })
    }

    /// That an output can be told as so many classes.
    fn classification(&self, kind: Kind, count: u64) -> Result<usize, String> {
        let single = self.task == Task::Classification && self.outputs == 1;
        let scores = match kind {
            Kind::Prediction | Kind::Probabilities => single,
            Kind::Margins => single && self.margins == self.width,
            Kind::Label | Kind::Score | Kind::Leaves | Kind::Contributions => false,
        };
        if !scores {
            return Err("is of outputs that have a number for each class".to_owned());
        }
        match usize::try_from(count) {
            Ok(0) => Err("must be at least 1".to_owned()),
            Ok(count) => Ok(count.min(self.width)),
            Err(_) => Ok(self.width),
        }
    }
}

/// The names that the matrix may have beside any that a request calls `np`.
pub const MATRIX: [&str; 8] = ["input__0", "input-0", "input-1", "input_0", "input", "inputs", "predict", "X"];

fn inputs(manifest: &Manifest) -> Vec<Described> {
    let number = |kind| matches!(kind, FeatureType::Number | FeatureType::Double | FeatureType::Code);
    let of = |kind| match kind {
        FeatureType::Number => Datatype::Fp32,
        FeatureType::Double | FeatureType::Code => Datatype::Fp64,
        FeatureType::Category | FeatureType::Text => Datatype::Bytes,
    };
    if manifest.features.iter().all(|feature| number(feature.kind)) {
        let double = manifest.features.iter().any(|feature| feature.kind != FeatureType::Number);
        let datatype = if double { Datatype::Fp64 } else { Datatype::Fp32 };
        let columns = i64::try_from(manifest.features.len()).unwrap_or(i64::MAX);
        return vec![Described {
            name: MATRIX.first().copied().unwrap_or_default().to_owned(),
            datatype,
            shape: vec![-1, columns],
        }];
    }
    let one = |feature: &arborgate_contracts::registry::Feature| {
        // Categories that are whole numbers are sent as such.
        let whole = feature.kind == FeatureType::Category && feature.categories.iter().all(|of| of.is_i64());
        let datatype = if whole { Datatype::Int64 } else { of(feature.kind) };
        Described { name: feature.name.clone(), datatype, shape: vec![-1, 1] }
    };
    manifest.features.iter().map(one).collect()
}

#[cfg(test)]
#[path = "outputs_tests.rs"]
mod tests;
