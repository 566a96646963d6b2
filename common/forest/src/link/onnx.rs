//! The post transforms of onnxruntime's tree ensembles (`core/providers/cpu/ml/ml_common.h`).

use serde::{Deserialize, Serialize};

/// The post transforms of onnxruntime's tree ensembles (`core/providers/cpu/ml/ml_common.h`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum OnnxLink {}

impl OnnxLink {
    pub(super) fn width(&self, _margins: usize, _pairs: Option<usize>) -> Option<usize> {
        match *self {}
    }

    pub(super) fn apply(&self, _margins: &[f64], _values: &mut [f64]) {
        match *self {}
    }
}
