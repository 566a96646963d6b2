//! What stands before the trees in a pipeline: columns made from features, number by number.

use serde::{Deserialize, Serialize};

/// A column that trees ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// What it is made from.
    pub feature: u32,
    /// In order, each in the precision of the caller's input.
    pub steps: Vec<Step>,
}

/// One operation on a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// `x - c`
    Subtract(f64),
    /// `x / c`
    Divide(f64),
    /// `x * c`
    Multiply(f64),
    /// `x + c`
    Add(f64),
    /// Into a range, both ends within it; NaN stays.
    Clip(f64, f64),
    /// NaN becomes this.
    Fill(f64),
    /// What is at most so far from 0 becomes 0.
    Flush(f64),
    /// To the nearest `f32`.
    Single,
    /// Without its fraction.
    Truncate,
}

impl Column {
    /// The column's number, in double precision.
    pub fn double(&self, x: f64) -> f64 {
        self.steps.iter().fold(x, |x, step| step.apply(x))
    }

    /// The column's number, each step rounded to single precision.
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
    pub fn single(&self, x: f32) -> f32 {
        self.steps.iter().fold(x, |x, step| step.apply(f64::from(x)) as f32)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
fn round(x: f64) -> f64 {
    f64::from(x as f32)
}

impl Step {
    fn apply(&self, x: f64) -> f64 {
        match *self {
            Self::Subtract(c) => x - c,
            Self::Divide(c) => x / c,
            Self::Multiply(c) => x * c,
            Self::Add(c) => x + c,
            Self::Clip(low, high) if x < low => low.min(high),
            Self::Clip(_, high) if x > high => high,
            Self::Fill(value) if x.is_nan() => value,
            Self::Flush(bound) if x.abs() <= bound => 0.0,
            Self::Clip(..) | Self::Fill(_) | Self::Flush(_) => x,
            Self::Single => round(x),
            Self::Truncate => x.trunc(),
        }
    }
}
