//! LightGBM's transforms (`src/objective/*.hpp`, `ConvertOutput`), in `f64` with the C library's `exp`.

use serde::{Deserialize, Serialize};

use crate::model::float;

/// How margins become what `predict` gives (`GBDT::Predict`). Of a classifier with one margin the first class takes what the
/// second leaves (`LGBMClassifier.predict_proba`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LightGbmLink {
    /// What each margin is divided by first: a random forest's rounds. Its margins are not averaged.
    #[serde(with = "float::option")]
    pub divide: Option<f64>,
    /// What follows.
    pub convert: LightGbmConvert,
}

/// `ConvertOutput` of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum LightGbmConvert {
    /// `x`
    Identity,
    /// `1 / (1 + exp(-slope · x))`, each alone.
    Sigmoid(#[serde(with = "float")] f64),
    /// `exp(x - max) / Σ exp(x - max)`
    Softmax,
    /// `sign(x) · x · x`
    SignedSquare,
    /// `exp(x)`
    Exp,
    /// `log1p(exp(x))`
    Log1pExp,
}

impl LightGbmLink {
    pub(super) fn width(&self, margins: usize, pairs: Option<usize>) -> Option<usize> {
        match self.convert {
            LightGbmConvert::Softmax if margins < 2 => None,
            _ => pairs,
        }
    }

    pub(super) fn apply(&self, margins: &[f64], values: &mut [f64]) {
        let average = |margin: f64| self.divide.map_or(margin, |by| margin / by);
        if let ([margin], [first, second]) = (margins, &mut *values) {
            *second = self.convert.alone(average(*margin));
            *first = 1.0 - *second;
            return;
        }
        for (value, margin) in values.iter_mut().zip(margins) {
            *value = self.convert.alone(average(*margin));
        }
        if self.convert == LightGbmConvert::Softmax {
            softmax(values);
        }
    }
}

impl LightGbmConvert {
    fn alone(self, x: f64) -> f64 {
        match self {
            Self::Identity | Self::Softmax => x,
            Self::Sigmoid(slope) => 1.0 / (1.0 + (-slope * x).exp()),
            Self::SignedSquare => (f64::from(u8::from(x > 0.0)) - f64::from(u8::from(x < 0.0))) * x * x,
            Self::Exp => x.exp(),
            Self::Log1pExp => x.exp().ln_1p(),
        }
    }
}

/// `Common::Softmax`.
fn softmax(values: &mut [f64]) {
    // as `std::max`, which gives its first argument unless that is less
    let largest = |most: f64, x: &f64| if *x < most { most } else { *x };
    let most = values.iter().copied().reduce(|most, x| largest(most, &x)).unwrap_or(0.0);
    let mut sum = 0.0;
    for value in &mut *values {
        *value = (*value - most).exp();
        sum += *value;
    }
    values.iter_mut().for_each(|value| *value /= sum);
}
