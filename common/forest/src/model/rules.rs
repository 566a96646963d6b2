//! The rules of a library that decide the last bit: how input is taken, how trees are summed, how a class is chosen.

use serde::{Deserialize, Serialize};

use super::float;

/// A width of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// 32 bits.
    Single,
    /// 64 bits.
    Double,
}

impl Precision {
    /// Whether a number is infinite once it is cast to this.
    #[expect(clippy::cast_possible_truncation, reason = "the cast is what is asked about")]
    pub(crate) fn is_infinite(self, x: f64) -> bool {
        match self {
            Self::Single => (x as f32).is_infinite(),
            Self::Double => x.is_infinite(),
        }
    }
}

/// How the input is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Numbers are cast to this, to the nearest, before any is compared.
    pub precision: Precision,
    /// Whether what is infinite after that is a value; else it is refused.
    pub infinite_allowed: bool,
    /// How a number becomes a category.
    pub category: CategoryRule,
}

/// How a number becomes a category. What becomes none is in no set of categories; NaN follows [`super::Split::missing_left`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CategoryRule {
    /// A whole number is a category, before any cast; anything else is none.
    Whole,
    /// As `f32`; below 0 is none; the fraction is cut off (XGBoost, `common::AsCat` and `InvalidCat`).
    Truncated32,
    /// The fraction is cut off, so that −0.5 is 0; then below 0, or beyond `i32`, is none (LightGBM, `CategoricalDecision`).
    Truncated64,
}

/// How the leaves of a row become its margins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// What is done with each further leaf, in the trees' order.
    pub combine: Combine,
    /// Of the running sums.
    pub precision: Precision,
    /// What each margin starts from; the base margins, or zeros.
    #[serde(with = "float::list")]
    pub start: Vec<f64>,
    /// What is done with the sums in the end, in the same precision.
    pub finish: Finish,
}

/// What is done with a further leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Combine {
    /// It is added.
    Add,
    /// The smaller stays. The first leaf replaces the start.
    Min,
    /// The larger stays. The first leaf replaces the start.
    Max,
}

/// What is done with the sums in the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Finish {
    /// Nothing.
    Nothing,
    /// Each is divided.
    Divide(#[serde(with = "float")] f64),
    /// Each is multiplied, then a number of its own is added (CatBoost's scale and bias; ONNX's base values, with 1).
    ScaleAndShift {
        /// For all.
        #[serde(with = "float")]
        scale: f64,
        /// For each.
        #[serde(with = "float::list")]
        shift: Vec<f64>,
    },
    /// Each is divided, then a number of its own is added (ONNX's averages with base values).
    DivideAndShift {
        /// For all.
        #[serde(with = "float")]
        by: f64,
        /// For each.
        #[serde(with = "float::list")]
        shift: Vec<f64>,
    },
}

/// How the class of a row is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    /// There are no classes.
    None,
    /// The leaf of the one tree says it.
    Leaf,
    /// The first largest of an output's values (probabilities).
    LargestValue,
    /// The first largest of the margins; there is one output.
    LargestMargin,
    /// Of two classes the second if the margin is above this. Of several outputs, each by its own margin.
    MarginAbove(#[serde(with = "float")] f64),
    /// Of two classes the second if the margin is at least this. Of several outputs, each by its own margin.
    MarginAtLeast(#[serde(with = "float")] f64),
    /// Of two classes the second if the value is at least this (an outlier detector's inlier).
    ValueAtLeast(#[serde(with = "float")] f64),
}
