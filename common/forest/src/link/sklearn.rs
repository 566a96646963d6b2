//! The links of scikit-learn's boosting (`sklearn/_loss/link.py`) and the score of its isolation forest.

use serde::{Deserialize, Serialize};

/// The links of scikit-learn's boosting (`sklearn/_loss/link.py`) and the score of its isolation forest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SklearnLink {}

impl SklearnLink {
    pub(super) fn width(&self, _margins: usize, _pairs: Option<usize>) -> Option<usize> {
        match *self {}
    }

    pub(super) fn apply(&self, _margins: &[f64], _values: &mut [f64]) {
        match *self {}
    }
}
