//! From a model that was read, and what its uploader says of it, to its manifest. Every fault of what is said is told at
//! once.

mod features;

use std::collections::HashSet;

use arborgate_contracts::inference::Register;
use arborgate_contracts::registry::{Class, MANIFEST_FORMAT, Manifest};
use arborgate_contracts::signature::GivenSignature;
use arborgate_contracts::{ErrorCode, Fault, ServiceError};
use arborgate_forest::{Label, Model};

use crate::artifact::task;

/// Characters of a name, at most.
const LONGEST_NAME: usize = 128;
/// Characters of a description, at most.
const LONGEST_TEXT: usize = 4096;
/// Labels, and characters of a label's name or value, at most.
const MOST_LABELS: usize = 32;
const LONGEST_LABEL: usize = 64;
/// Faults told at once, at most.
const MOST_FAULTS: usize = 32;
/// Characters of the text of what wrote a file.
const LONGEST_SOURCE: usize = 200;

/// The manifest of a model.
pub(super) fn manifest(request: &Register, model: &Model) -> Result<Manifest, ServiceError> {
    let mut faults = Faults(Vec::new());
    let features = features::all(&request.signature.features, model, &mut faults);
    let classes = classes(request, model, &mut faults);
    faults.check_text("description", &request.signature.description, LONGEST_TEXT);
    check_labels(request, &mut faults);
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
        description: request.signature.description.clone(),
        labels: request.signature.labels.clone(),
        provenance: request.provenance.clone(),
        example: None,
    })
}

/// Whether a version is described as it would be now; what is not said now is as it is.
pub(super) fn agrees(there: &Manifest, described: &Manifest, said: &GivenSignature) -> bool {
    (said.features.is_empty() || there.features == described.features)
        && (said.classes.is_empty() || there.classes == described.classes)
        && (said.labels.is_empty() || there.labels == described.labels)
        && (said.description.is_empty() || there.description == described.description)
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        if self.0.len() < MOST_FAULTS {
            self.0.push(Fault { pointer: pointer.to_owned(), detail: detail.into() });
        }
    }

    fn none(self) -> Result<(), ServiceError> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let detail = format!("{}: {}", first.pointer, first.detail);
        Err(ServiceError::new(ErrorCode::Invalid, detail).with_faults(self.0))
    }

    /// Text for people: bounded, no control characters but line feeds.
    fn check_text(&mut self, pointer: &str, text: &str, most: usize) {
        let characters = text.chars().count();
        if characters > most {
            self.add(pointer, format!("has {characters} characters; at most {most} are taken"));
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            self.add(pointer, "has a control character");
        }
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

fn check_labels(request: &Register, faults: &mut Faults) {
    let labels = &request.signature.labels;
    if labels.len() > MOST_LABELS {
        faults.add("labels", format!("there are {}; at most {MOST_LABELS} are taken", labels.len()));
    }
    let legal = |text: &str| {
        (1..=LONGEST_LABEL).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
    };
    for (name, value) in labels {
        if !legal(name) || !legal(value) {
            let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_LABEL).collect();
            let rule = "names and values of labels are 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-' and '/'";
            faults.add(&format!("labels/{}", Fault::token(&name)), rule);
        }
    }
}

/// Labels given are of all outputs, one output after another.
fn classes(request: &Register, model: &Model, faults: &mut Faults) -> Vec<Vec<Class>> {
    let given = &request.signature.classes;
    let count: usize = model.classes().iter().map(Vec::len).sum();
    if !given.is_empty() && given.len() != count {
        let detail = match count {
            0 => "the model is a regressor and has no classes".to_owned(),
            count => format!("there are {} labels; the model has {count} classes", given.len()),
        };
        faults.add("classes", detail);
        return Vec::new();
    }
    let advice = if given.is_empty() { "; it is the file's own: give labels of your own" } else { "" };
    let mut labels = given.iter();
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
