//! LightGBM's transforms (`src/objective/*.hpp`, `ConvertOutput`), in `f64` with the C library's `exp`.

use serde::{Deserialize, Serialize};

/// LightGBM's transforms (`src/objective/*.hpp`, `ConvertOutput`), in `f64` with the C library's `exp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LightGbmLink {}

impl LightGbmLink {
    pub(super) fn width(&self, _margins: usize, _pairs: Option<usize>) -> Option<usize> {
        match *self {}
    }

    pub(super) fn apply(&self, _margins: &[f64], _values: &mut [f64]) {
        match *self {}
    }
}
