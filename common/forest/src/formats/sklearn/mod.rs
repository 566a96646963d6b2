//! From the inert values of a pickle to a [`Model`], by the rules of scikit-learn: a file here for each of its kinds of
//! estimator, and for what stands before them in a pipeline. It knows what each version means, and no opcodes.

pub(in crate::formats) mod attributes;
pub(in crate::formats) mod classes;
mod encoder;
mod estimator;
mod gradient_boosting;
mod hist_gradient_boosting;
mod isolation_forest;
mod missing;
mod pipeline;
mod predictor;
mod preprocessing;
mod table;
mod tree;
mod version;

use attributes::Reader;

use crate::error::Error;
use crate::formats::pickle::Pickle;
use crate::formats::pickle::value::Value;
use crate::limits::Limits;
use crate::model::{Label, Model};

const LIBRARY: &str = "scikit-learn";

/// The estimator that the pickle holds, alone or in a pipeline.
///
/// # Errors
/// [`Error::Content`] and [`Error::Limit`]: what the estimator has that scikit-learn's would not.
pub(crate) fn model(pickle: &Pickle<'_>, limits: &Limits) -> Result<Model, Error> {
    pipeline::model(&mut Reader::new(pickle, limits))
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
