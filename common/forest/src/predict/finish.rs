//! What is done with the sums of a row: the end of the sum, and the choice of a class.

use crate::compiled::Answer;
use crate::model::{Combine, Decision, Finish, Precision};

#[expect(clippy::cast_possible_truncation, reason = "the sum is of that precision")]
pub(super) fn combine(combine: Combine, precision: Precision, first: bool, sum: f64, value: f64) -> f64 {
    match (combine, precision) {
        (Combine::Add, Precision::Double) => sum + value,
        (Combine::Add, Precision::Single) => f64::from(sum as f32 + value as f32),
        _ if first => value,
        (Combine::Min, _) => {
            if value < sum {
                value
            } else {
                sum
            }
        }
        (Combine::Max, _) => {
            if value > sum {
                value
            } else {
                sum
            }
        }
    }
}

/// The margins of one row, or of several after one another.
#[expect(clippy::cast_possible_truncation, reason = "the sum is of that precision")]
pub(crate) fn finish(finish: &Finish, precision: Precision, margins: &mut [f64]) {
    let single = precision == Precision::Single;
    match finish {
        Finish::Nothing => {}
        Finish::Divide(by) if single => {
            margins.iter_mut().for_each(|sum| *sum = f64::from(*sum as f32 / *by as f32));
        }
        Finish::Divide(by) => margins.iter_mut().for_each(|sum| *sum /= by),
        Finish::DivideAndShift { by, shift } => {
            for (sum, shift) in margins.iter_mut().zip(shift.iter().cycle()) {
                *sum = if single { f64::from(*sum as f32 / *by as f32 + *shift as f32) } else { *sum / by + shift };
            }
        }
        Finish::ScaleAndShift { scale, shift } => {
            for (sum, shift) in margins.iter_mut().zip(shift.iter().cycle()) {
                *sum =
                    if single { f64::from(*sum as f32 * *scale as f32 + *shift as f32) } else { *sum * scale + shift };
            }
        }
    }
}

impl Answer {
    /// The class of each output, unless the leaf said it.
    pub(super) fn choose(&self, margins: &[f64], values: &[f64], labels: &mut [u32]) {
        match self.decision {
            Decision::None | Decision::Leaf => {}
            Decision::LargestMargin => labels.iter_mut().for_each(|label| *label = first_largest(margins)),
            Decision::LargestValue => {
                let mut rest = values;
                for (label, count) in labels.iter_mut().zip(&self.n_classes) {
                    let Some((own, after)) = rest.split_at_checked(*count) else { return };
                    rest = after;
                    *label = first_largest(own);
                }
            }
            Decision::MarginAbove(bound) => second_if(labels, margins, |margin| margin > bound),
            Decision::MarginAtLeast(bound) => second_if(labels, margins, |margin| margin >= bound),
            Decision::ValueAtLeast(bound) => second_if(labels, values, |value| value >= bound),
        }
    }
}

fn second_if(labels: &mut [u32], of: &[f64], is_second: impl Fn(f64) -> bool) {
    for (label, number) in labels.iter_mut().zip(of) {
        *label = u32::from(is_second(*number));
    }
}

/// `numpy.argmax`: the first NaN is larger than all.
fn first_largest(values: &[f64]) -> u32 {
    let mut best = (0, f64::NEG_INFINITY);
    for (class, value) in (0_u32..).zip(values) {
        if value.is_nan() {
            return class;
        }
        if *value > best.1 {
            best = (class, *value);
        }
    }
    best.0
}
