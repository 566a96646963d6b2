//! From the inert values of a pickle to a [`Model`], by the rules of scikit-learn's `tree/_classes.py`, `tree/_tree.pyx`
//! and `ensemble/_forest.py`. It knows what each version means, and no opcodes.

mod attributes;
mod classes;
mod estimator;
mod missing;
mod tree;
mod version;

use attributes::Reader;

use crate::error::Error;
use crate::formats::pickle::Pickle;
use crate::limits::Limits;
use crate::model::Model;

const LIBRARY: &str = "scikit-learn";

/// The estimator that the pickle holds.
///
/// # Errors
/// [`Error::Content`] and [`Error::Limit`]: what the estimator has that scikit-learn's would not.
pub(crate) fn model(pickle: &Pickle<'_>, limits: &Limits) -> Result<Model, Error> {
    estimator::model(&mut Reader::new(pickle, limits))
}
