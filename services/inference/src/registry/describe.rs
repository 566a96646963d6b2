//! From a model that was read, and the names that its uploader gave, to its manifest. Every fault of the names is told at
//! once.

use std::collections::HashSet;

use arborgate_contracts::inference::Register;
use arborgate_contracts::registry::{Class, Feature, FeatureType, MANIFEST_FORMAT, Manifest, Unseen};
use arborgate_contracts::{ErrorCode, Fault, ServiceError};
use arborgate_forest::{Categories, FeatureKind, Label, Model, Precision};

use crate::artifact::task;

/// Characters of a name, at most.
const LONGEST_NAME: usize = 128;
/// Faults told at once, at most.
const MOST_FAULTS: usize = 32;
/// Characters of the text of what wrote a file.
const LONGEST_SOURCE: usize = 200;

/// The manifest of a model.
pub(super) fn manifest(request: &Register, model: &Model) -> Result<Manifest, ServiceError> {
    let mut faults = Faults(Vec::new());
    let features = features(request, model, &mut faults);
    let classes = classes(request, model, &mut faults);
    faults.none()?;
    Ok(Manifest {
        format: MANIFEST_FORMAT,
        model: request.model.clone(),
        version: request.version.clone(),
        digest: request.digest.clone(),
        size: request.size,
        object: request.object.clone(),
        source: model.source().to_string().chars().filter(|c| !c.is_control()).take(LONGEST_SOURCE).collect(),
        task: task(model),
        features,
        classes,
        outputs: u32::try_from(model.n_outputs()).unwrap_or(u32::MAX),
        margins: u32::try_from(model.n_margins()).unwrap_or(u32::MAX),
        trees: u32::try_from(model.trees().len()).unwrap_or(u32::MAX),
        nodes: model.n_nodes() as u64,
        created_at: jiff::Timestamp::now().to_string(),
        created_by: request.created_by.clone(),
    })
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, pointer: &str, detail: String) {
        if self.0.len() < MOST_FAULTS {
            self.0.push(Fault { pointer: pointer.to_owned(), detail });
        }
    }

    fn none(self) -> Result<(), ServiceError> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let detail = format!("{}: {}", first.pointer, first.detail);
        Err(ServiceError::new(ErrorCode::Invalid, detail).with_faults(self.0))
    }

    /// Names that a person reads: 1 to 128 characters, no control characters, each once.
    fn check_names<'a>(&mut self, pointer: &str, names: impl Iterator<Item = &'a str>, advice: &str) {
        let mut seen = HashSet::new();
        for (number, name) in (1..).zip(names) {
            let characters = name.chars().count();
            if characters == 0 || characters > LONGEST_NAME {
                let detail =
                    format!("number {number} has {characters} characters; a name has 1 to {LONGEST_NAME}{advice}");
                self.add(pointer, detail);
            } else if name.chars().any(char::is_control) {
                self.add(pointer, format!("number {number} has a control character{advice}"));
            } else if !seen.insert(name) {
                self.add(
                    pointer,
                    format!("number {number}, {name:?}, was there before; each differs from the others{advice}"),
                );
            }
        }
    }
}

fn features(request: &Register, model: &Model, faults: &mut Faults) -> Vec<Feature> {
    let count = model.n_features();
    let given = !request.features.is_empty();
    let names: Vec<String> = if given {
        if request.features.len() != count {
            faults
                .add("features", format!("there are {} names; the model has {count} features", request.features.len()));
        }
        request.features.clone()
    } else if let Some(own) = model.feature_names() {
        own.into_iter().map(str::to_owned).collect()
    } else {
        (0..count).map(|i| format!("x{i}")).collect()
    };
    let advice = if given { "" } else { "; it is the file's own: give names of your own" };
    faults.check_names("features", names.iter().map(String::as_str), advice);
    names.into_iter().zip(model.features()).map(|(name, own)| feature(name, own, model)).collect()
}

fn feature(name: String, own: &arborgate_forest::Feature, model: &Model) -> Feature {
    let input = model.input();
    let (kind, categories) = match &own.kind {
        FeatureKind::Number => match input.precision {
            Precision::Single => (FeatureType::Number, Vec::new()),
            Precision::Double => (FeatureType::Double, Vec::new()),
        },
        FeatureKind::Category(Categories::Codes) => (FeatureType::Code, Vec::new()),
        FeatureKind::Category(Categories::Hashed) => (FeatureType::Text, Vec::new()),
        FeatureKind::Category(Categories::Named(labels)) => (FeatureType::Category, labels.iter().map(value).collect()),
    };
    let unseen = match input.category.unseen() {
        _ if kind != FeatureType::Category => Unseen::Refused,
        arborgate_forest::Unseen::Refused => Unseen::Refused,
        arborgate_forest::Unseen::Missing => Unseen::Missing,
        arborgate_forest::Unseen::Passed => Unseen::Passed,
    };
    Feature { name, kind, missing: own.missing_allowed, categories, unseen }
}

/// Labels given are of all outputs, one output after another.
fn classes(request: &Register, model: &Model, faults: &mut Faults) -> Vec<Vec<Class>> {
    let count: usize = model.classes().iter().map(Vec::len).sum();
    let given = !request.classes.is_empty();
    if given && request.classes.len() != count {
        let detail = match count {
            0 => "the model is a regressor and has no classes".to_owned(),
            count => format!("there are {} labels; the model has {count} classes", request.classes.len()),
        };
        faults.add("classes", detail);
        return Vec::new();
    }
    let advice = if given { "" } else { "; it is the file's own: give labels of your own" };
    let mut labels = request.classes.iter();
    let mut outputs = Vec::with_capacity(model.classes().len());
    for own in model.classes() {
        let class = |own: &Label| {
            let label = labels.next().cloned().unwrap_or_else(|| own.to_string());
            Class { value: value(own), label }
        };
        let classes: Vec<Class> = own.iter().map(class).collect();
        faults.check_names("classes", classes.iter().map(|class| class.label.as_str()), advice);
        outputs.push(classes);
    }
    outputs
}

/// As JSON; a float that JSON has no number for is its text.
fn value(label: &Label) -> serde_json::Value {
    match label {
        Label::Int(value) => (*value).into(),
        Label::Float(value) => {
            serde_json::Number::from_f64(*value).map_or_else(|| label.to_string().into(), serde_json::Value::Number)
        }
        Label::Bool(value) => (*value).into(),
        Label::Text(value) => value.as_str().into(),
    }
}
