//! Pickles of LightGBM's Python classes (`python-package/lightgbm/{basic,sklearn}.py`): a `Booster` carries its text, an
//! estimator its `Booster` and its classes.

use super::text::{self, Wrapper};
use crate::error::Error;
use crate::formats::pickle::Pickle;
use crate::formats::pickle::known::{Known, LightGbm};
use crate::formats::pickle::value::Value;
use crate::formats::sklearn;
use crate::limits::{Options, Rounds};
use crate::model::Model;

/// The model of the object that the pickle holds.
///
/// # Errors
/// [`Error::Content`] and [`Error::Limit`]: what the object or its text has that LightGBM's would not.
pub(crate) fn model(pickle: &Pickle<'_>, class: LightGbm, options: &Options) -> Result<Model, Error> {
    let root = Object::new(pickle, pickle.root, "")?;
    let (booster, wrapper) = match class {
        LightGbm::Booster => (root, Wrapper::Text),
        LightGbm::Classifier => {
            refuse_early_stop(&root)?;
            let classes = classes(&root, options)?;
            (root.object("_Booster", Known::LightGbm(LightGbm::Booster))?, Wrapper::Classifier(classes))
        }
        LightGbm::Regressor | LightGbm::Ranker => {
            refuse_early_stop(&root)?;
            let name = if class == LightGbm::Ranker { "LGBMRanker" } else { "LGBMRegressor" };
            (root.object("_Booster", Known::LightGbm(LightGbm::Booster))?, Wrapper::Numbers(name))
        }
    };
    // version 4 put an underscore before it
    let name = if booster.find("_handle")?.is_some() { "_handle" } else { "handle" };
    let handle = booster.get(name)?;
    let text = pickle.arena.text(handle).ok_or_else(|| booster.fault(name, "is no text of a model"))?;
    let rounds = if options.rounds == Rounds::All { None } else { best_iteration(&booster)? };
    text::read(text, &options.limits)
        .and_then(|text| text.model(&wrapper, rounds))
        .map_err(|error| within_pickle(error, &booster.path_of(name), pickle.arena.offset(handle)))
}

/// `Booster.predict` stops at the best round, if it is above 0.
fn best_iteration(booster: &Object<'_>) -> Result<Option<usize>, Error> {
    const NAME: &str = "best_iteration";
    let Some(value) = booster.find(NAME)? else { return Ok(None) };
    let best = booster.pickle.arena.int(value).ok_or_else(|| booster.fault(NAME, "is no int"))?;
    Ok(usize::try_from(best).ok().filter(|best| *best > 0))
}

/// What `predict` turns positions into: the label encoder's classes.
fn classes(root: &Object<'_>, options: &Options) -> Result<Vec<crate::model::Label>, Error> {
    let encoder = root.object("_le", Known::LabelEncoder)?;
    sklearn::labels(root.pickle, encoder.get("classes_")?, "_le.classes_", &options.limits)
}

/// An estimator hands its further parameters to `predict` (`LGBMModel._process_params`); this one leaves trees out.
fn refuse_early_stop(root: &Object<'_>) -> Result<(), Error> {
    const NAME: &str = "pred_early_stop";
    let of_others = root.find("_other_params")?.and_then(|value| root.pickle.arena.dict(value)).unwrap_or_default();
    let mut named = of_others.iter().filter(|(key, _)| root.pickle.arena.text(*key) == Some(NAME));
    if named.all(|(_, value)| matches!(value, Value::Bool(false) | Value::Int(0) | Value::None)) {
        return Ok(());
    }
    Err(root.fault(NAME, "leaves trees out when it predicts, which is not done here; set it to False"))
}

/// An error of the text says where in the text; the pickle's place goes before it.
fn within_pickle(error: Error, path: &str, offset: Option<usize>) -> Error {
    match error {
        Error::Content { path: inner, offset: at, message } => {
            let at = at.map_or_else(String::new, |at| format!(", byte {at} of it"));
            Error::content(format!("{path}: {inner}{at}"), offset, message)
        }
        other => other.within(path),
    }
}

/// Attributes of one object.
struct Object<'p> {
    pickle: &'p Pickle<'p>,
    entries: &'p [(Value, Value)],
    path: String,
    offset: Option<usize>,
}

/// Attributes of one object, at most; so a lookup takes no time that matters.
const MAX_ATTRIBUTES: usize = 256;

impl<'p> Object<'p> {
    fn new(pickle: &'p Pickle<'p>, value: Value, path: &str) -> Result<Self, Error> {
        let arena = &pickle.arena;
        let offset = arena.offset(value);
        let state = arena.instance(value).and_then(|instance| instance.state);
        let entries = state.and_then(|state| arena.dict(state)).filter(|entries| entries.len() <= MAX_ATTRIBUTES);
        let place = if path.is_empty() { "the model" } else { path };
        let entries = entries.ok_or_else(|| Error::content(place, offset, "has no attributes, or far too many"))?;
        Ok(Self { pickle, entries, path: path.to_owned(), offset })
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn fault(&self, name: &str, message: impl Into<String>) -> Error {
        Error::content(self.path_of(name), self.offset, message)
    }

    fn find(&self, name: &str) -> Result<Option<Value>, Error> {
        let mut found = self.entries.iter().filter(|(key, _)| self.pickle.arena.text(*key) == Some(name));
        match (found.next(), found.next()) {
            (found, None) => Ok(found.map(|(_, value)| *value)),
            _ => Err(self.fault(name, "stands there twice")),
        }
    }

    fn get(&self, name: &str) -> Result<Value, Error> {
        self.find(name)?.ok_or_else(|| self.fault(name, "is missing; was the model fitted?"))
    }

    /// An attribute that is an object of its own.
    fn object(&self, name: &str, class: Known) -> Result<Self, Error> {
        let value = self.get(name)?;
        let arena = &self.pickle.arena;
        if arena.instance(value).map(|instance| instance.class) != Some(class) {
            let message = format!("is {} of another kind than was expected; was the model fitted?", arena.kind(value));
            return Err(self.fault(name, message));
        }
        Self::new(self.pickle, value, &self.path_of(name))
    }
}
