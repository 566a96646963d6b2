//! CatBoost's transforms (`catboost/libs/eval_result/eval_helpers.cpp`, `catboost/libs/model/eval_processing.h`). The sigmoid
//! takes the C library's `exp`; the others take fmath's, which is repeated here operation by operation.

use std::array;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// CatBoost's transforms (`catboost/libs/eval_result/eval_helpers.cpp`, `catboost/libs/model/eval_processing.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatBoostLink {
    /// `Logloss` and the like, and several labels: of each margin `1 - p` and `p = 1 / (1 + exp(-margin))`.
    SigmoidPairs,
    /// `MultiClassOneVsAll`: `1 / (1 + exp(-margin))` of each.
    SigmoidEach,
    /// `MultiClass`.
    Softmax,
    /// `Poisson` and `Tweedie`: `exp(margin)`.
    Exponent,
    /// `RMSEWithUncertainty`: the first margin is the mean, `exp(2 * margin)` of the second the variance.
    MeanAndVariance,
}

impl CatBoostLink {
    pub(super) fn width(&self, margins: usize, pairs: Option<usize>) -> Option<usize> {
        match self {
            Self::SigmoidPairs => pairs,
            Self::SigmoidEach | Self::Softmax | Self::Exponent => Some(margins),
            Self::MeanAndVariance => (margins == 2).then_some(2),
        }
    }

    pub(super) fn apply(&self, margins: &[f64], values: &mut [f64]) {
        let each = margins.iter().zip(values.iter_mut());
        match self {
            Self::SigmoidPairs => {
                for (margin, pair) in margins.iter().zip(values.as_chunks_mut::<2>().0) {
                    let p = sigmoid(*margin);
                    *pair = [1.0 - p, p];
                }
            }
            Self::SigmoidEach => each.for_each(|(margin, value)| *value = sigmoid(*margin)),
            Self::Softmax => softmax(margins, values),
            Self::Exponent => each.for_each(|(margin, value)| *value = exp_alone(*margin)),
            Self::MeanAndVariance => {
                if let ([mean, log_deviation], [value, variance]) = (margins, values) {
                    *value = *mean;
                    *variance = exp_alone(2.0 * log_deviation);
                }
            }
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softmax(margins: &[f64], values: &mut [f64]) {
    let largest = margins.iter().fold(f64::NEG_INFINITY, |largest, margin| largest.max(*margin));
    for (value, margin) in values.iter_mut().zip(margins) {
        *value = margin - largest;
    }
    exp_row(values);
    let sum: f64 = values.iter().fold(0.0, |sum, value| sum + value);
    values.iter_mut().for_each(|value| *value /= sum);
}

// `contrib/libs/fmath/fmath.hpp`: 2^(x / ln 2) from a table of 2048 powers and a polynomial of the rest
const STEPS: u32 = 2048;
const STEP_BITS: u32 = 11;
const LOWEST: f64 = -708.396_418_532_264_1;
const HIGHEST: f64 = 709.782_725_693_384;
const INFINITE: f64 = 709.782_712_893_384;
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const C2: f64 = 0.166_666_666_852_278_35;
const C3: f64 = 3.000_000_002_795_539_4;
const FRACTION: u64 = (1 << 52) - 1;

static POWERS: LazyLock<[u64; STEPS as usize]> =
    LazyLock::new(|| array::from_fn(|at| 2.0_f64.powf(at as f64 / f64::from(STEPS)).to_bits() & FRACTION));

/// `expd_v` over a row of at least four: what is past its ends is moved to them. The rest of a row, after the last group of
/// four, goes through [`exp_alone`], as it does where the processor has AVX2.
fn exp_row(row: &mut [f64]) {
    let (fours, rest) = row.as_chunks_mut::<4>();
    fours.iter_mut().flatten().for_each(|x| *x = exp(x.clamp(LOWEST, HIGHEST)));
    rest.iter_mut().for_each(|x| *x = exp_alone(*x));
}

/// `expd`.
fn exp_alone(x: f64) -> f64 {
    if x <= LOWEST {
        0.0
    } else if x >= INFINITE {
        f64::INFINITY
    } else {
        exp(x)
    }
}

fn exp(x: f64) -> f64 {
    let steps = f64::from(STEPS);
    let rounded = x * (steps / std::f64::consts::LN_2) + ROUNDER;
    let bits = rounded.to_bits();
    let t = (rounded - ROUNDER) * (std::f64::consts::LN_2 / steps) - x;
    // the table has as many entries as the mask lets through
    let place = usize::try_from(bits & u64::from(STEPS - 1)).unwrap_or_default();
    let power = POWERS.get(place).copied().unwrap_or_default();
    let exponent = (bits.wrapping_add(1023 << STEP_BITS) >> STEP_BITS) << 52;
    let y = (C3 - t) * (t * t) * C2 - t + 1.0;
    y * f64::from_bits(exponent | power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_near_the_c_librarys() {
        for at in -70_000..=70_000 {
            let x = f64::from(at) * 0.010_1;
            let (found, expected) = (exp_alone(x), x.exp());
            // each step of 2^(1/2048) is rounded once, so its fault grows with x
            assert!((found / expected - 1.0).abs() <= 3e-16 * (1.0 + x.abs()), "{x}: {found:e}, {expected:e}");
        }
        assert_eq!(exp_alone(0.0), 1.0);
        assert_eq!((exp_alone(-800.0), exp_alone(800.0)), (0.0, f64::INFINITY));
    }

    #[test]
    fn a_class_that_no_row_had_gets_what_catboost_gives_it() {
        // MultiClass of five classes of which three are in the data
        let none = f64::NEG_INFINITY;
        let mut values = [0.0; 5];
        CatBoostLink::Softmax.apply(&[-1.463_743_76, none, 2.191_156_16, none, -0.727_412_4], &mut values);
        let [first, second, ..] = values;
        assert!((first - 2.395_099_90e-2).abs() < 1e-10 && (second - 2.060_492_00e-308).abs() < 1e-316, "{values:?}");
    }
}
