//! From margins to values: each library's own formula, operation by operation, so that the last bit is the library's. It
//! knows no trees.

mod catboost;
mod lightgbm;
mod onnx;
mod sklearn;
mod xgboost;

use serde::{Deserialize, Serialize};

pub use catboost::CatBoostLink;
pub use lightgbm::{LightGbmConvert, LightGbmLink};
pub use onnx::{OnnxLink, OnnxPair, OnnxTransform};
pub use sklearn::SklearnLink;
pub(crate) use sklearn::pairwise_sum;
pub use xgboost::{XgboostCurve, XgboostLink};

/// How margins become values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Link {
    /// They are the values.
    Identity,
    /// As scikit-learn's boosting and outlier detection.
    Sklearn(SklearnLink),
    /// As XGBoost.
    Xgboost(XgboostLink),
    /// As LightGBM.
    LightGbm(LightGbmLink),
    /// As CatBoost.
    CatBoost(CatBoostLink),
    /// As onnxruntime.
    Onnx(OnnxLink),
}

impl Link {
    /// How many values so many margins become; `None` if this link takes no such number.
    pub(crate) fn width(&self, margins: usize, classifier: bool, outputs: usize) -> Option<usize> {
        // of two classes the margins hold the second one's only
        let pairs = if classifier && margins == outputs { margins.checked_mul(2) } else { Some(margins) };
        match self {
            Self::Identity => Some(margins),
            Self::Sklearn(link) => link.width(margins, pairs),
            Self::Xgboost(link) => link.width(margins, pairs),
            Self::LightGbm(link) => link.width(margins, pairs),
            Self::CatBoost(link) => link.width(margins, pairs),
            Self::Onnx(link) => link.width(margins, pairs),
        }
    }

    /// One row's margins to its values; `values` is of [`Link::width`].
    pub(crate) fn apply(&self, margins: &[f64], values: &mut [f64]) {
        match self {
            Self::Identity => values.copy_from_slice(margins),
            Self::Sklearn(link) => link.apply(margins, values),
            Self::Xgboost(link) => link.apply(margins, values),
            Self::LightGbm(link) => link.apply(margins, values),
            Self::CatBoost(link) => link.apply(margins, values),
            Self::Onnx(link) => link.apply(margins, values),
        }
    }
}
