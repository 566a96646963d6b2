//! What stands before the trees in a pipeline: columns made from features, number by number.

use serde::{Deserialize, Serialize};

use super::{Precision, float};

/// A column that trees ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What it is made from.
    pub feature: u32,
    /// In order, each in the precision of the caller's input, until [`Step::Widen`].
    pub steps: Vec<Step>,
}

/// One operation on a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Step {
    /// `x - c`
    Subtract(#[serde(with = "float")] f64),
    /// `x / c`
    Divide(#[serde(with = "float")] f64),
    /// `x - c`, c first rounded to the precision of x
    SubtractRounded(#[serde(with = "float")] f64),
    /// `x / c`, c first rounded to the precision of x
    DivideRounded(#[serde(with = "float")] f64),
    /// `x * c`
    Multiply(#[serde(with = "float")] f64),
    /// `x + c`
    Add(#[serde(with = "float")] f64),
    /// Into a range, both ends within it; NaN stays.
    Clip(#[serde(with = "float")] f64, #[serde(with = "float")] f64),
    /// NaN becomes this.
    Fill(#[serde(with = "float")] f64),
    /// What is at most so far from 0 becomes 0.
    Flush(#[serde(with = "float")] f64),
    /// To the nearest `f32`.
    Single,
    /// Without its fraction.
    Truncate,
    /// To single precision, whatever the input's; also for all that follows.
    Narrow,
    /// To double precision, whatever the input's; also for all that follows.
    Widen,
    /// A category becomes its place.
    Encode(Box<Encoding>),
    /// The fraction is cut off, and of what is left all but the low byte. Less than 0 becomes NaN, unless it is told to be taken
    /// as it comes (scikit-learn's `HistGradientBoosting` before 1.4, `_predictor.pyx`).
    Byte {
        /// Whether what is less than 0 keeps its low byte too.
        negative: bool,
    },
    /// Refuses a row; else the number stays.
    Refuse {
        /// NaN is refused.
        missing: bool,
        /// What is infinite in this precision is refused.
        infinite: Option<Precision>,
    },
}

/// Which numbers categories become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    /// Ascending; the one at place i becomes i.
    #[serde(with = "float::list")]
    pub categories: Vec<f64>,
    /// What NaN becomes; `None`: the row is refused.
    #[serde(with = "float::option")]
    pub missing: Option<f64>,
    /// What anything else becomes; `None`: the row is refused.
    #[serde(with = "float::option")]
    pub unknown: Option<f64>,
}

/// Why a row is refused on the way to a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Missing,
    Infinite,
    Unknown,
}

impl Column {
    /// The column's number from a feature in double precision.
    pub fn double(&self, x: f64) -> f64 {
        self.run(x, true).0
    }

    /// The column's number from a feature in single precision; each step is rounded to that until [`Step::Widen`].
    pub fn single(&self, x: f32) -> f64 {
        self.run(f64::from(x), false).0
    }

    /// Whether any number can be refused.
    pub(crate) fn refuses(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Refuse { .. } => true,
            Step::Encode(encoding) => encoding.missing.is_none() || encoding.unknown.is_none(),
            _ => false,
        })
    }

    /// The number, and the first fault on the way; `wide`: the feature is in double precision.
    pub(crate) fn run(&self, mut x: f64, mut wide: bool) -> (f64, Option<Fault>) {
        let mut fault = None;
        for step in &self.steps {
            match step {
                Step::Widen => wide = true,
                Step::Narrow => wide = false,
                _ => {}
            }
            fault = fault.or_else(|| step.fault(x));
            x = step.apply(x, wide);
            if !wide {
                x = round(x);
            }
        }
        (x, fault)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
fn round(x: f64) -> f64 {
    f64::from(x as f32)
}

impl Step {
    fn fault(&self, x: f64) -> Option<Fault> {
        match self {
            Self::Refuse { missing: true, .. } if x.is_nan() => Some(Fault::Missing),
            Self::Refuse { infinite: Some(precision), .. } if precision.is_infinite(x) => Some(Fault::Infinite),
            Self::Encode(encoding) if encoding.of(x).is_none() => {
                Some(if x.is_nan() { Fault::Missing } else { Fault::Unknown })
            }
            _ => None,
        }
    }

    fn apply(&self, x: f64, wide: bool) -> f64 {
        let rounded = |c: f64| if wide { c } else { round(c) };
        match *self {
            Self::Subtract(c) => x - c,
            Self::Divide(c) => x / c,
            Self::SubtractRounded(c) => x - rounded(c),
            Self::DivideRounded(c) => x / rounded(c),
            Self::Multiply(c) => x * c,
            Self::Add(c) => x + c,
            Self::Clip(low, high) if x < low => low.min(high),
            Self::Clip(_, high) if x > high => high,
            Self::Fill(value) if x.is_nan() => value,
            Self::Flush(bound) if x.abs() <= bound => 0.0,
            Self::Single => round(x),
            Self::Truncate => x.trunc(),
            Self::Encode(ref encoding) => encoding.of(x).unwrap_or(f64::NAN),
            Self::Byte { negative } => byte(x, negative),
            Self::Clip(..) | Self::Fill(_) | Self::Flush(_) | Self::Narrow | Self::Widen | Self::Refuse { .. } => x,
        }
    }
}

impl Encoding {
    /// `None`: refused.
    fn of(&self, x: f64) -> Option<f64> {
        if x.is_nan() {
            return self.missing;
        }
        let place = self.categories.binary_search_by(|category| category.total_cmp(&(x + 0.0)));
        place.ok().map(|place| place as f64).or(self.unknown)
    }
}

/// As x86-64 compiles C's `(uint8_t)x`: by way of a 32-bit integer, which is its least where x is beyond.
#[expect(clippy::cast_possible_truncation, reason = "the low byte is what is asked for")]
fn byte(x: f64, negative: bool) -> f64 {
    let fits = x > -2_147_483_649.0 && x < 2_147_483_648.0;
    match x {
        _ if x.is_nan() || (x < 0.0 && !negative) => f64::NAN,
        _ if fits => f64::from((x as i32).cast_unsigned() as u8),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_to_the_precision_of_the_input() {
        let column = |steps| Column { feature: 0, steps };
        let scaled = column(vec![Step::Subtract(0.1), Step::Divide(0.3)]);
        assert_eq!(scaled.double(0.7), (0.7 - 0.1) / 0.3);
        let step = (f64::from(0.7_f32) - 0.1) as f32;
        assert_eq!(scaled.single(0.7), f64::from((f64::from(step) / 0.3) as f32));
        let rounded = column(vec![Step::SubtractRounded(0.1), Step::DivideRounded(0.3)]);
        assert_eq!(rounded.single(0.7), f64::from((0.7_f32 - 0.1_f32) / 0.3_f32));
        let widened = column(vec![Step::Widen, Step::SubtractRounded(0.1)]);
        assert_eq!(widened.single(0.7), f64::from(0.7_f32) - 0.1);
    }

    #[test]
    fn says_why_a_row_is_refused() {
        let encoding = Encoding { categories: vec![0.0, 2.5], missing: None, unknown: None };
        let column = Column { feature: 0, steps: vec![Step::Encode(Box::new(encoding))] };
        assert_eq!(column.run(-0.0, true), (0.0, None));
        assert_eq!(column.run(2.5, true), (1.0, None));
        assert_eq!(column.run(2.0, true).1, Some(Fault::Unknown));
        assert_eq!(column.run(f64::NAN, true).1, Some(Fault::Missing));
        let finite = Step::Refuse { missing: false, infinite: Some(Precision::Single) };
        let column = Column { feature: 0, steps: vec![Step::Multiply(10.0), finite] };
        assert_eq!(column.run(3e38, true).1, Some(Fault::Infinite));
        assert_eq!(column.run(3e37, true).1, None);
        assert!(column.run(f64::NAN, true).1.is_none() && column.refuses());
    }

    #[test]
    fn bytes_wrap_as_they_do_in_c() {
        let all = [(0.9, 0.0), (255.9, 255.0), (256.0, 0.0), (300.0, 44.0), (3e9, 0.0), (f64::INFINITY, 0.0)];
        for (x, expected) in all {
            assert_eq!(byte(x, false), expected, "{x}");
        }
        assert!(byte(-0.5, false).is_nan() && byte(f64::NAN, true).is_nan());
        assert_eq!((byte(-0.5, true), byte(-1.0, true)), (0.0, 255.0));
    }
}
