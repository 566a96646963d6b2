//! The pickles of XGBoost's Python classes: an estimator of the scikit-learn wrapper has a `Booster`, whose `handle` is
//! a whole model with its training settings (`python-package/xgboost/core.py`, `Booster.__getstate__`).

use super::learner::MISSING;
use super::model::{self, Outside};
use super::{file_of_json, file_of_ubjson};
use crate::error::Error;
use crate::formats::pickle::Pickle;
use crate::formats::pickle::known::{Known, Xgboost};
use crate::formats::pickle::value::Value;
use crate::formats::sklearn::attributes::{Attributes, Reader};
use crate::formats::sklearn::classes::Place;
use crate::limits::{Limits, Options};
use crate::model::Model;

impl Xgboost {
    fn name(self) -> &'static str {
        match self {
            Self::Booster => "Booster",
            Self::Classifier => "XGBClassifier",
            Self::Regressor => "XGBRegressor",
            Self::Ranker => "XGBRanker",
            Self::RfClassifier => "XGBRFClassifier",
            Self::RfRegressor => "XGBRFRegressor",
        }
    }
}

/// # Errors
/// [`Error::Content`], [`Error::Limit`], [`Error::Format`].
pub(crate) fn pickled(pickle: &Pickle<'_>, class: Xgboost, options: &Options) -> Result<Model, Error> {
    let mut reader = Reader::new(pickle, &options.limits);
    let root = reader.root;
    let attributes = reader.attributes(root, "")?;
    match class {
        Xgboost::Booster => booster(&reader, root, "", Outside::default(), options),
        _ => {
            let outside = estimator(&mut reader, &attributes, class)?;
            booster(&reader, attributes.get("_Booster")?, "_Booster", outside, options)
        }
    }
}

/// What the wrapper knows beside its booster.
fn estimator(reader: &mut Reader<'_>, attributes: &Attributes<'_>, class: Xgboost) -> Result<Outside, Error> {
    let is_missing = |value: Value| {
        let scalar = reader.arena.array(value).filter(|array| array.shape.is_empty());
        let float = scalar.and_then(|array| array.dtype.float(array.elements()?.next()?));
        matches!(value, Value::None)
            || matches!(value, Value::Float(float) if float.is_nan())
            || float.is_some_and(f64::is_nan)
    };
    if let Some(missing) = attributes.find("missing")?
        && !is_missing(missing)
    {
        return Err(attributes.fault("missing", MISSING));
    }
    let classes = match attributes.find("classes_")? {
        Some(value) if let Some(array) = reader.arena.array(value) => {
            reader.labels(&Place { path: "classes_", value }, array)?
        }
        _ => Vec::new(),
    };
    let parallel = attributes.find("num_parallel_tree")?.and_then(|value| reader.arena.int(value));
    Ok(Outside {
        estimator: Some(class.name()),
        is_classifier: matches!(class, Xgboost::Classifier | Xgboost::RfClassifier),
        classes,
        feature_names: Vec::new(),
        parallel: parallel.and_then(|parallel| usize::try_from(parallel).ok()),
    })
}

fn booster(
    reader: &Reader<'_>,
    value: Value,
    path: &str,
    mut outside: Outside,
    options: &Options,
) -> Result<Model, Error> {
    if reader.class(value) != Some(Known::Xgboost(Xgboost::Booster)) {
        let message = format!("is {} where a Booster was expected; was the model fitted?", reader.arena.kind(value));
        return Err(Error::content(path, reader.arena.offset(value), message));
    }
    let attributes = reader.attributes(value, path)?;
    outside.feature_names = feature_names(reader, &attributes, &options.limits)?;
    let handle = attributes.get("handle")?;
    let bytes = reader.arena.bytes(handle);
    let bytes = bytes.ok_or_else(|| attributes.fault("handle", "holds no bytes; was the model fitted?"))?;
    let file = match bytes {
        [b'{', b'L', ..] => file_of_ubjson(bytes, options),
        [b'{', ..] => file_of_json(bytes, options),
        _ => {
            let format = "a pickle of XGBoost with its old binary format in it";
            let advice = "load it in the XGBoost that made it and save it by `save_model(\"model.json\")`";
            return Err(Error::Format { format, advice });
        }
    };
    let within = |error| match error {
        Error::Content { path, offset, message } => {
            let byte = offset.map_or_else(String::new, |offset| format!(" (byte {offset} of it)"));
            attributes.fault("handle", format!("holds a model, in which {path}{byte}: {message}"))
        }
        other => other,
    };
    model::model(file.map_err(within)?, outside, options).map_err(within)
}

/// Before 1.4 names were kept beside the model.
fn feature_names(reader: &Reader<'_>, attributes: &Attributes<'_>, limits: &Limits) -> Result<Vec<String>, Error> {
    let Some(value) = attributes.find("feature_names")? else { return Ok(Vec::new()) };
    let Some(names) = reader.arena.list(value) else { return Ok(Vec::new()) };
    if names.len() > limits.max_features {
        return Err(Error::limit("features", limits.max_features));
    }
    let name = |name: &Value| match reader.arena.text(*name) {
        Some(name) if name.len() <= limits.max_text => Ok(name.to_owned()),
        Some(_) => Err(Error::limit("bytes of a name or label", limits.max_text)),
        None => Err(attributes.fault("feature_names", "has a name that is no str")),
    };
    names.iter().map(name).collect()
}
