//! Class labels: lists of them, and what encodes them.

use std::collections::{HashMap, HashSet};

use super::proto::Node;
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::Label;

/// `classlabels_int64s` or `classlabels_strings`.
pub(super) fn list(node: &Node<'_>, limits: &Limits) -> Result<Vec<Label>, Error> {
    let texts = texts(node, "classlabels_strings", limits)?;
    let mut ints = Vec::new();
    node.each_int("classlabels_int64s", |int| {
        if ints.len() <= limits.max_classes {
            ints.push(Label::Int(int));
        }
    })?;
    if texts.len().max(ints.len()) > limits.max_classes {
        return Err(Error::limit("classes of an output", limits.max_classes));
    }
    match (texts.is_empty(), ints.is_empty()) {
        (true, false) | (false, true) => distinct(node, [ints, texts].concat()),
        (true, true) => Err(node.fault("has no class labels")),
        (false, false) => Err(node.fault("has class labels of both kinds")),
    }
}

fn distinct(node: &Node<'_>, labels: Vec<Label>) -> Result<Vec<Label>, Error> {
    let mut seen = HashSet::with_capacity(labels.len());
    if labels.iter().all(|label| Key::of(label).is_some_and(|key| seen.insert(key))) {
        return Ok(labels);
    }
    Err(node.fault("has a class label twice"))
}

fn texts(node: &Node<'_>, name: &str, limits: &Limits) -> Result<Vec<Label>, Error> {
    let mut texts = Vec::new();
    for text in node.strings(name) {
        if texts.len() > limits.max_classes {
            return Err(Error::limit("classes of an output", limits.max_classes));
        }
        texts.push(Label::Text(text?.text(limits.max_text)?.to_owned()));
    }
    Ok(texts)
}

fn ints(node: &Node<'_>, name: &str) -> Result<Vec<Label>, Error> {
    Ok(node.ints(name)?.into_iter().map(Label::Int).collect())
}

/// `LabelEncoder`: version 1 by `classes_strings`, later ones by keys and values. Every class must have its own entry.
pub(super) fn encode(node: &Node<'_>, classes: &[Label], limits: &Limits) -> Result<Vec<Label>, Error> {
    node.only(&[
        "classes_strings",
        "default_float",
        "default_int64",
        "default_string",
        "keys_int64s",
        "keys_strings",
        "values_int64s",
        "values_strings",
    ])?;
    let listed = texts(node, "classes_strings", limits)?;
    let whole: Vec<Label> = (0..).map(Label::Int).take(listed.len()).collect();
    let to_text = classes.iter().all(|class| matches!(class, Label::Int(_)));
    let (keys, values) = if listed.is_empty() {
        let keys = [ints(node, "keys_int64s")?, texts(node, "keys_strings", limits)?].concat();
        (keys, [ints(node, "values_int64s")?, texts(node, "values_strings", limits)?].concat())
    } else if to_text {
        (whole, listed)
    } else {
        (listed, whole)
    };
    if keys.len() != values.len() {
        return Err(node.fault(format!("has {} keys for {} values", keys.len(), values.len())));
    }
    if keys.len() > limits.max_classes {
        return Err(Error::limit("classes of an output", limits.max_classes));
    }
    let mut entries = HashMap::with_capacity(keys.len());
    for (key, value) in keys.iter().zip(values) {
        let key = Key::of(key).filter(|key| !entries.contains_key(key));
        let key = key.ok_or_else(|| node.fault("has two entries for one key"))?;
        entries.insert(key, value);
    }
    let value = |class: &Label| {
        let found = Key::of(class).and_then(|key| entries.get(&key)).cloned();
        found.ok_or_else(|| node.fault(format!("has no entry for the class `{}`", quote(&class.to_string()))))
    };
    classes.iter().map(value).collect()
}

#[derive(PartialEq, Eq, Hash)]
enum Key<'l> {
    Int(i64),
    Text(&'l str),
}

impl<'l> Key<'l> {
    fn of(label: &'l Label) -> Option<Self> {
        match label {
            Label::Int(int) => Some(Self::Int(*int)),
            Label::Text(text) => Some(Self::Text(text)),
            Label::Float(_) | Label::Bool(_) => None,
        }
    }
}
