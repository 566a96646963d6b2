//! From the inert values of a pickle to a [`Model`], by the rules of scikit-learn's `tree/_classes.py`, `tree/_tree.pyx`
//! and `ensemble/_forest.py`. It knows what each version means, and no opcodes.

pub(in crate::formats) mod attributes;
pub(in crate::formats) mod classes;
mod estimator;
mod missing;
mod tree;
mod version;

use attributes::Reader;

use crate::error::Error;
use crate::formats::pickle::Pickle;
use crate::formats::pickle::value::Value;
use crate::limits::Limits;
use crate::model::{Label, Model};

const LIBRARY: &str = "scikit-learn";

/// The estimator that the pickle holds.
///
/// # Errors
/// [`Error::Content`] and [`Error::Limit`]: what the estimator has that scikit-learn's would not.
pub(crate) fn model(pickle: &Pickle<'_>, limits: &Limits) -> Result<Model, Error> {
    estimator::model(&mut Reader::new(pickle, limits))
}

/// The classes in an array of a pickle, such as a label encoder's.
///
/// # Errors
/// [`Error::Content`] and [`Error::Limit`]: what the array has that classes have not.
pub(crate) fn labels(pickle: &Pickle<'_>, value: Value, path: &str, limits: &Limits) -> Result<Vec<Label>, Error> {
    let array = pickle.arena.array(value);
    let array = array.ok_or_else(|| Error::content(path, pickle.arena.offset(value), "is no numpy array"))?;
    Reader::new(pickle, limits).labels(&classes::Place { path, value }, array)
}
