//! What scikit-learn makes of margins: the inverse links of its boosting (`sklearn/_loss/link.py`, to 1.3
//! `sklearn/ensemble/_gb_losses.py`) and the score of its isolation forest (`sklearn/ensemble/_iforest.py`). Takes exp, log
//! and pow from the C library; numpy does so unless its vectorised ones run, which differ in the last place.

use serde::{Deserialize, Serialize};

use crate::model::float;

/// What scikit-learn makes of margins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum SklearnLink {
    /// Of two classes, the second's logit.
    Logit,
    /// Of two classes, half the second's logit (the exponential loss).
    HalfLogit,
    /// `exp(x)`: Poisson and gamma.
    Log,
    /// `sklearn.utils.extmath.softmax`.
    Softmax {
        /// Whether each row lies in one piece, as `GradientBoosting` has it, so that numpy adds its numbers pairwise; else
        /// they are added one by one, as of `HistGradientBoosting` for more than one row.
        pairwise: bool,
    },
    /// `exp(x - logsumexp(x))`: `MultinomialDeviance`, to 1.3.
    LogSumExp,
    /// The margin is the sum of the depths at which a row is isolated.
    Isolation {
        /// Trees, times the depth to expect in each.
        #[serde(with = "float")]
        expected: f64,
        /// `offset_`
        #[serde(with = "float")]
        offset: f64,
    },
}

impl SklearnLink {
    pub(super) fn width(&self, margins: usize, pairs: Option<usize>) -> Option<usize> {
        match self {
            Self::Logit | Self::HalfLogit => pairs,
            Self::Log | Self::Softmax { .. } | Self::LogSumExp | Self::Isolation { .. } => Some(margins),
        }
    }

    pub(super) fn apply(&self, margins: &[f64], values: &mut [f64]) {
        match self {
            Self::Logit => pairs(margins, values, |x| x),
            Self::HalfLogit => pairs(margins, values, |x| 2.0 * x),
            Self::Log => each(margins, values, f64::exp),
            Self::Softmax { pairwise } => {
                let largest = largest(margins);
                each(margins, values, |x| (x - largest).exp());
                let sum = if *pairwise { pairwise_sum(values) } else { values.iter().sum() };
                values.iter_mut().for_each(|value| *value /= sum);
            }
            Self::LogSumExp => {
                let largest = largest(margins);
                each(margins, values, |x| (x - largest).exp());
                let sum = pairwise_sum(values).ln() + largest;
                each(margins, values, |x| (x - sum).exp());
            }
            Self::Isolation { expected, offset } => each(margins, values, |depth| {
                let depth = if *expected == 0.0 { 1.0 } else { depth / expected };
                -two_to(-depth) - offset
            }),
        }
    }
}

fn each(margins: &[f64], values: &mut [f64], of: impl Fn(f64) -> f64) {
    values.iter_mut().zip(margins).for_each(|(value, margin)| *value = of(*margin));
}

/// `scipy.special.expit`, and what is left to 1.
fn pairs(margins: &[f64], values: &mut [f64], of: impl Fn(f64) -> f64) {
    for (pair, margin) in values.as_chunks_mut::<2>().0.iter_mut().zip(margins) {
        let second = 1.0 / (1.0 + (-of(*margin)).exp());
        *pair = [1.0 - second, second];
    }
}

fn largest(margins: &[f64]) -> f64 {
    margins.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The C library's `pow(2, x)`, which the compiler would take for `exp2`; that differs in the last place.
fn two_to(x: f64) -> f64 {
    std::hint::black_box(2.0_f64).powf(x)
}

/// `numpy.sum` of contiguous doubles, in its order of additions (`pairwise_sum` in numpy's
/// `loops_utils.h.src`): eight running sums to 128 numbers, halves beyond.
pub(crate) fn pairwise_sum(values: &[f64]) -> f64 {
    if values.len() > 128 {
        let half = values.len() / 2;
        let (low, high) = values.split_at(half - half % 8);
        return pairwise_sum(low) + pairwise_sum(high);
    }
    let (blocks, rest) = values.as_chunks::<8>();
    let start = match blocks {
        [] => 0.0,
        [first, others @ ..] => {
            let mut sums = *first;
            for block in others {
                sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
            }
            let [a, b, c, d, e, f, g, h] = sums;
            ((a + b) + (c + d)) + ((e + f) + (g + h))
        }
    };
    rest.iter().fold(start, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_in_numpys_order() {
        // from numpy: the bits of np.array([0.1 * i for i in range(n)]).sum()
        let sum = |n: u32| pairwise_sum(&(0..n).map(|i| 0.1 * f64::from(i)).collect::<Vec<_>>()).to_bits();
        for (n, bits) in SUMS {
            assert_eq!(sum(*n), *bits, "{n}");
        }
    }

    const SUMS: &[(u32, u64)] = &[
        (0, 0x0000_0000_0000_0000),
        (1, 0x0000_0000_0000_0000),
        (7, 0x4000_cccc_cccc_cccd),
        (8, 0x4006_6666_6666_6667),
        (9, 0x400c_cccc_cccc_ccce),
        (10, 0x4012_0000_0000_0001),
        (16, 0x4028_0000_0000_0000),
        (23, 0x4039_4ccc_cccc_cccd),
        (100, 0x407e_f000_0000_0000),
        (127, 0x4089_00cc_cccc_cccd),
        (128, 0x4089_6666_6666_6667),
        (129, 0x4089_cccc_cccc_cccd),
        (130, 0x408a_3400_0000_0000),
        (200, 0x409f_1800_0000_0000),
        (300, 0x40b1_8500_0000_0000),
        (1000, 0x40e8_63c0_0000_0000),
    ];
}
