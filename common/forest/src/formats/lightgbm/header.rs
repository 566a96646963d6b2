//! What stands before the trees.

use super::lines::{Keys, Lines, Value};
use super::objective::Objective;
use crate::error::{Error, quote};
use crate::limits::Limits;

const KEYS: &[&str] = &[
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "monotone_constraints",
    "feature_infos",
    "tree_sizes",
];

/// The values, checked against each other.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) version: &'a str,
    pub(super) num_class: usize,
    pub(super) objective: Objective,
    /// Of a random forest: the mean predicts, not the sum.
    pub(super) average: bool,
    pub(super) names: Vec<&'a str>,
    /// Of each feature: `[least:most]`, the categories with colons between, or `none`.
    pub(super) infos: Vec<&'a str>,
    /// Bytes of each tree.
    pub(super) sizes: Option<Value<'a>>,
}

impl<'a> Header<'a> {
    /// After the first line.
    pub(super) fn read(lines: &mut Lines<'a>, limits: &Limits) -> Result<Self, Error> {
        let keys = Keys::read(lines, KEYS, &["average_output"])?;
        let version = keys.get("version")?;
        if !matches!(version.text, "v3" | "v4") {
            let message = format!(
                "is `{}`; this reader knows v3 and v4; load it with LightGBM 2.3 or newer and save it again",
                quote(version.text)
            );
            return Err(version.fault(message));
        }
        let n_features = keys.get("max_feature_idx")?.count()?.saturating_add(1);
        if n_features > limits.max_features {
            return Err(Error::limit("features", limits.max_features));
        }
        let (num_class, objective) = classes(&keys, limits)?;
        keys.get("label_index")?;
        let names = one_each(keys.get("feature_names")?, n_features)?;
        if names.iter().any(|name| name.len() > limits.max_text) {
            return Err(Error::limit("bytes of a name or label", limits.max_text));
        }
        Ok(Self {
            version: version.text,
            num_class,
            objective,
            average: keys.find("average_output").is_some(),
            names,
            infos: one_each(keys.get("feature_infos")?, n_features)?,
            sizes: keys.find("tree_sizes"),
        })
    }
}

/// How many margins there are, and what is made of them.
fn classes(keys: &Keys<'_>, limits: &Limits) -> Result<(usize, Objective), Error> {
    let num_class = keys.get("num_class")?;
    let count = num_class.count()?;
    if count == 0 {
        return Err(num_class.fault("is 0"));
    }
    let per_iteration = keys.get("num_tree_per_iteration")?;
    if per_iteration.count()? != count {
        return Err(per_iteration.fault(format!("is `{}` for {count} classes", quote(per_iteration.text))));
    }
    let objective = match keys.find("objective") {
        Some(value) => Objective::parse(&value, count)?,
        None => Objective::custom(),
    };
    if objective.is_classifier() && count > limits.max_classes {
        return Err(Error::limit("classes of an output", limits.max_classes));
    }
    if !objective.is_classifier() && count > limits.max_outputs {
        return Err(Error::limit("outputs", limits.max_outputs));
    }
    Ok((count, objective))
}

/// A word for each feature.
fn one_each<'a>(value: Value<'a>, n_features: usize) -> Result<Vec<&'a str>, Error> {
    let words = || value.text.split(' ').filter(|word| !word.is_empty());
    let found = words().count();
    if found != n_features {
        return Err(value.fault(format!("has {found} entries for {n_features} features")));
    }
    Ok(words().collect())
}
