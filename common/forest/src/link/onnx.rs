//! The post transforms of onnxruntime's tree ensembles (`core/providers/cpu/ml/ml_common.h`), with the C library's `expf`
//! and `logf`.

use std::f32::consts::{PI, SQRT_2};

use serde::{Deserialize, Serialize};

use crate::model::Precision;

/// How onnxruntime makes scores of sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxLink {
    /// On each score, or on all of a row.
    pub transform: OnnxTransform,
    /// How one sum becomes the scores of two classes; `None` where each sum is a score.
    pub pair: Option<OnnxPair>,
    /// Of the sums.
    pub sums: Precision,
    /// Of the scores.
    pub output: Precision,
    /// Whether scores are divided by the sum of their sizes in the end (`Normalizer`, L1).
    pub normalize: bool,
}

/// `post_transform`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnnxTransform {
    /// `NONE`
    None,
    /// `LOGISTIC`
    Logistic,
    /// `SOFTMAX`
    Softmax,
    /// `SOFTMAX_ZERO`
    SoftmaxZero,
    /// `PROBIT`
    Probit,
}

/// How the sum s of the second class becomes the scores of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnnxPair {
    /// 1 − s and s
    Complement,
    /// −s and s, before the transform
    Opposite,
}

impl OnnxLink {
    pub(super) fn width(&self, margins: usize, pairs: Option<usize>) -> Option<usize> {
        match self.pair {
            Some(_) if margins == 1 => pairs,
            Some(_) => None,
            None => Some(margins),
        }
    }

    pub(super) fn apply(&self, margins: &[f64], values: &mut [f64]) {
        match (self.pair, margins, &mut *values) {
            (Some(OnnxPair::Complement), [sum], [first, second]) => {
                *first = self.round(1.0 - sum);
                *second = *sum;
            }
            (Some(OnnxPair::Opposite), [sum], [first, second]) => {
                *first = -sum;
                *second = *sum;
            }
            _ => values.iter_mut().zip(margins).for_each(|(value, margin)| *value = *margin),
        }
        match self.transform {
            OnnxTransform::None => {}
            OnnxTransform::Logistic => values.iter_mut().for_each(|value| *value = each(*value, logistic)),
            OnnxTransform::Probit => values.iter_mut().for_each(|value| *value = each(*value, probit)),
            OnnxTransform::Softmax => softmax(values),
            OnnxTransform::SoftmaxZero => self.softmax_zero(values),
        }
        if self.output == Precision::Single {
            values.iter_mut().for_each(|value| *value = single(*value).into());
        }
        if self.normalize {
            normalize(values);
        }
    }

    fn round(&self, x: f64) -> f64 {
        if self.sums == Precision::Single { single(x).into() } else { x }
    }

    /// Numbers near 0 stay there.
    fn softmax_zero(&self, values: &mut [f64]) {
        let largest = largest(values);
        let scale = (-largest).exp();
        let mut sum = 0.0_f32;
        for value in values.iter_mut() {
            let x = single(*value);
            if x.abs() > 0.000_000_1 {
                let power = (x - largest).exp();
                sum += power;
                *value = power.into();
            } else {
                *value = self.round(*value * f64::from(scale));
            }
        }
        values.iter_mut().for_each(|value| *value = self.round(*value / f64::from(sum)));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the cast is the library's")]
fn single(x: f64) -> f32 {
    x as f32
}

fn each(x: f64, of: impl Fn(f32) -> f32) -> f64 {
    of(single(x)).into()
}

/// `ComputeLogistic`
fn logistic(x: f32) -> f32 {
    let v = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - v } else { v }
}

/// `ComputeProbit`, by an approximation of the inverse error function.
fn probit(x: f32) -> f32 {
    const A: f32 = 0.147;
    let y = 2.0 * x - 1.0;
    let log = ((1.0 - y) * (1.0 + y)).ln();
    let half = 2.0 / (PI * A) + 0.5 * log;
    let root = (-half + (half * half - 1.0 / A * log).sqrt()).sqrt();
    SQRT_2 * if y < 0.0 { -root } else { root }
}

fn largest(values: &[f64]) -> f32 {
    values.iter().map(|value| single(*value)).fold(f32::MIN, |most, x| if x > most { x } else { most })
}

/// `ComputeSoftmax`
fn softmax(values: &mut [f64]) {
    let largest = largest(values);
    let mut sum = 0.0_f32;
    for value in values.iter_mut() {
        let power = (single(*value) - largest).exp();
        sum += power;
        *value = power.into();
    }
    values.iter_mut().for_each(|value| *value = (single(*value) / sum).into());
}

/// `NormalizeL1`
fn normalize(values: &mut [f64]) {
    let sum = values.iter().fold(0.0_f32, |sum, value| sum + single(value.abs()));
    if sum != 0.0 {
        values.iter_mut().for_each(|value| *value = (single(*value) / sum).into());
    }
}
