//! CatBoost's transforms (`catboost/libs/eval_result`, `model/eval_processing.h`).

use serde::{Deserialize, Serialize};

/// CatBoost's transforms (`catboost/libs/eval_result`, `model/eval_processing.h`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CatBoostLink {}

impl CatBoostLink {
    pub(super) fn width(&self, _margins: usize, _pairs: Option<usize>) -> Option<usize> {
        match *self {}
    }

    pub(super) fn apply(&self, _margins: &[f64], _values: &mut [f64]) {
        match *self {}
    }
}
