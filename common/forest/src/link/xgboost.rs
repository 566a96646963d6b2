//! XGBoost's transforms (`src/objective/*`, `src/common/math.h`), in `f32` with the C library's `expf`.

use serde::{Deserialize, Serialize};

/// XGBoost's transforms (`src/objective/*`, `src/common/math.h`), in `f32` with the C library's `expf`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum XgboostLink {}

impl XgboostLink {
    pub(super) fn width(&self, _margins: usize, _pairs: Option<usize>) -> Option<usize> {
        match *self {}
    }

    pub(super) fn apply(&self, _margins: &[f64], _values: &mut [f64]) {
        match *self {}
    }
}
