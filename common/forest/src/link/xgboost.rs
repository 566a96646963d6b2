//! XGBoost's transforms (`src/objective/*`, `src/common/math.h`), in `f32` with the C library's `expf`.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// `kRtEps`
const EPSILON: f32 = 1e-6;

/// XGBoost's transforms (`src/objective/*`, `src/common/math.h`), in `f32` with the C library's `expf`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum XgboostLink {
    /// Each margin by itself.
    Each(XgboostCurve),
    /// Each margin by itself, to what is given for the second of two classes; the first class has what that lacks to 1,
    /// as `XGBClassifier.predict_proba` gives it.
    Pair(XgboostCurve),
    /// `Softmax`: sums in `f64`, divides in `f32`.
    Softmax,
    /// Ascending (quantiles, since 3.4).
    Sorted,
    /// The first as it is, each further one above it by the softplus of its margin (since 3.3).
    Expectiles,
}

/// From one margin to one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum XgboostCurve {
    /// It is the value.
    Identity,
    /// `1 / (1 + expf(-x))`, before 1.6.
    Sigmoid,
    /// `1 / (expf(min(-x, 88.7)) + 1 + 1e-16)`
    ClampedSigmoid,
    /// `expf`
    Exp,
    /// 1 if it is above 0, else 0.
    Step,
}

impl XgboostCurve {
    fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::ClampedSigmoid => {
                // not `f32::min`, which would make a number of NaN
                let exponent = if -x > 88.7 { 88.7 } else { -x };
                1.0 / (exponent.exp() + 1.0 + 1e-16)
            }
            Self::Exp => x.exp(),
            Self::Step => f32::from(u8::from(x > 0.0)),
        }
    }

    /// The largest margin whose value is not above one half: the wrapper's classifier says the second class beyond it.
    pub(crate) fn last_to_one_half(self) -> f32 {
        // the curves rise; by bisection, so that the C library decides
        let (mut below, mut above) = (-1.0_f32, 1.0_f32);
        loop {
            let middle = below + (above - below) / 2.0;
            // the two are neighbours
            let middle = if middle > below && middle < above { middle } else { below.next_up() };
            if middle >= above {
                return below;
            }
            if self.apply(middle) > 0.5 {
                above = middle;
            } else {
                below = middle;
            }
        }
    }
}

impl XgboostLink {
    pub(super) fn width(&self, margins: usize, pairs: Option<usize>) -> Option<usize> {
        match self {
            Self::Pair(_) => pairs,
            Self::Each(_) | Self::Softmax | Self::Sorted | Self::Expectiles => Some(margins),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "margins are sums of `f32`, widened")]
    pub(super) fn apply(&self, margins: &[f64], values: &mut [f64]) {
        match self {
            Self::Each(curve) => {
                for (value, margin) in values.iter_mut().zip(margins) {
                    *value = f64::from(curve.apply(*margin as f32));
                }
            }
            Self::Pair(curve) => {
                for ([first, second], margin) in values.as_chunks_mut::<2>().0.iter_mut().zip(margins) {
                    let value = curve.apply(*margin as f32);
                    *second = f64::from(value);
                    *first = f64::from(1.0 - value);
                }
            }
            Self::Softmax => softmax(margins, values),
            Self::Sorted => sort(margins, values),
            Self::Expectiles => {
                let mut sum = 0.0_f32;
                for (at, (value, margin)) in values.iter_mut().zip(margins).enumerate() {
                    let margin = *margin as f32;
                    sum = if at == 0 { margin } else { sum + (EPSILON + softplus(margin)) };
                    *value = f64::from(sum);
                }
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "margins are sums of `f32`, widened; the sum's cast is the library's"
)]
fn softmax(margins: &[f64], values: &mut [f64]) {
    let largest = margins.iter().fold(f32::NAN, |largest, margin| largest.max(*margin as f32));
    let mut sum = 0.0_f64;
    for (value, margin) in values.iter_mut().zip(margins) {
        *value = f64::from((*margin as f32 - largest).exp());
        sum += *value;
    }
    let sum = sum as f32;
    values.iter_mut().for_each(|value| *value = f64::from(*value as f32 / sum));
}

/// `common::SoftPlus`
fn softplus(x: f32) -> f32 {
    if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

/// By insertion, so that NaN stays where it does in the library.
fn sort(margins: &[f64], values: &mut [f64]) {
    for (at, margin) in margins.iter().enumerate() {
        let place = values
            .get(..at)
            .unwrap_or_default()
            .iter()
            .rposition(|lower| lower.partial_cmp(margin) != Some(Ordering::Greater));
        let place = place.map_or(0, |place| place + 1);
        if let Some(own) = values.get_mut(place..=at) {
            own.rotate_right(1);
            if let Some(first) = own.first_mut() {
                *first = *margin;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_half_is_met() {
        for curve in [
            XgboostCurve::Identity,
            XgboostCurve::Sigmoid,
            XgboostCurve::ClampedSigmoid,
            XgboostCurve::Exp,
            XgboostCurve::Step,
        ] {
            let last = curve.last_to_one_half();
            assert!(curve.apply(last) <= 0.5 && curve.apply(last.next_up()) > 0.5, "{curve:?} {last:?}");
            for step in 1..2000 {
                let offset = step as f32 * 1e-9;
                assert!(curve.apply(last - offset) <= 0.5 && curve.apply(last.next_up() + offset) > 0.5, "{curve:?}");
            }
        }
        assert_eq!(XgboostCurve::Identity.last_to_one_half(), 0.5);
        assert_eq!(XgboostCurve::Step.last_to_one_half(), 0.0);
    }

    #[test]
    fn sorts_as_insertion_does() {
        let sorted = |margins: &[f64]| {
            let mut values = vec![f64::NAN; margins.len()];
            sort(margins, &mut values);
            values
        };
        assert_eq!(sorted(&[3.0, 1.0, 2.0, -0.0, 0.0]), [-0.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(sorted(&[1.0]), [1.0]);
    }
}
