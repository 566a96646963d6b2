//! Rows in, answers out: checks the input as the file's library does, sums the trees, applies the link and chooses the
//! class. What a row gives never depends on the rows that it stands among.

mod check;
mod element;

use std::cell::RefCell;

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2};

pub use element::Element;

use crate::compiled::{Answer, Compiled};
use crate::model::{Combine, Decision, Finish, Precision};

/// Where the answers go: one row for each row of the input, in row-major order without gaps.
#[derive(Debug)]
pub struct Output<'a> {
    /// [`Compiled::values_width`] columns: probabilities as `predict_proba` gives them (of several outputs, one output
    /// after another), or values as `predict` gives them.
    pub values: ArrayViewMut2<'a, f64>,
    /// [`Compiled::labels_width`] columns: for each output the position of the predicted class among the model's classes.
    pub labels: ArrayViewMut2<'a, u32>,
}

/// Why rows are not predicted. The buffers then hold nothing that means anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// Rows of another length.
    #[error("a row has {found} values where the model has {expected} features")]
    RowLength {
        /// Features of the model.
        expected: usize,
        /// Columns given.
        found: usize,
    },
    /// A buffer that is not as the answer is.
    #[error("the buffer for {what} is {found:?} where {expected:?} in row-major order is needed")]
    Buffer {
        /// `values`, `labels` or `margins`.
        what: &'static str,
        /// Rows and columns.
        expected: (usize, usize),
        /// Rows and columns.
        found: (usize, usize),
    },
    /// NaN where the model takes none.
    #[error("row {row}, feature {feature} is missing (NaN), which this model does not take")]
    Missing {
        /// From 0.
        row: usize,
        /// From 0.
        feature: usize,
    },
    /// Infinite, or too large for the model's precision.
    #[error("row {row}, feature {feature} is infinite or too large for a 32-bit float")]
    TooLarge {
        /// From 0.
        row: usize,
        /// From 0.
        feature: usize,
    },
}

thread_local! {
    /// Kept, so that a thread's later calls allocate nothing.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    row: Vec<f64>,
    margins: Vec<f64>,
}

impl Compiled {
    /// Predicts every row into `out`.
    ///
    /// # Errors
    /// [`PredictError`], for the first thing that is wrong.
    pub fn predict<T: Element>(&self, rows: ArrayView2<'_, T>, out: &mut Output<'_>) -> Result<(), PredictError> {
        self.check(rows)?;
        let answer = &self.answer;
        let labels_width = self.labels_width();
        let values = buffer("values", &mut out.values, (rows.nrows(), answer.width))?;
        let labels = buffer("labels", &mut out.labels, (rows.nrows(), labels_width))?;
        let mut labels = labels.chunks_exact_mut(labels_width.max(1));
        SCRATCH.with_borrow_mut(|scratch| {
            for (row, values) in rows.outer_iter().zip(values.chunks_exact_mut(answer.width)) {
                let labels = labels.next().unwrap_or_default();
                let Scratch { row: numbers, margins } = scratch;
                margins.resize(answer.sum.start.len(), 0.0);
                self.row(row, numbers, margins, labels);
                answer.link.apply(margins, values);
                answer.choose(margins, values, labels);
            }
        });
        Ok(())
    }

    /// The margins of every row: what the trees sum to, before the link; [`Compiled::margins_width`] columns. Where the
    /// library sums in `f32`, they are widened.
    ///
    /// # Errors
    /// [`PredictError`], for the first thing that is wrong.
    pub fn margins<T: Element>(
        &self,
        rows: ArrayView2<'_, T>,
        mut out: ArrayViewMut2<'_, f64>,
    ) -> Result<(), PredictError> {
        self.check(rows)?;
        let width = self.margins_width();
        let margins = buffer("margins", &mut out, (rows.nrows(), width))?;
        let mut labels = vec![0; self.labels_width()];
        SCRATCH.with_borrow_mut(|scratch| {
            for (row, margins) in rows.outer_iter().zip(margins.chunks_exact_mut(width)) {
                self.row(row, &mut scratch.row, margins, &mut labels);
            }
        });
        Ok(())
    }

    fn row<T: Element>(&self, row: ArrayView1<'_, T>, numbers: &mut Vec<f64>, margins: &mut [f64], labels: &mut [u32]) {
        let Answer { columns, sum, decision, .. } = &self.answer;
        numbers.clear();
        if columns.is_empty() {
            numbers.extend(row.iter().map(|x| x.widen()));
        } else {
            numbers.extend(
                columns.iter().map(|column| row.get(column.feature as usize).map_or(f64::NAN, |x| x.prepare(column))),
            );
        }
        margins.copy_from_slice(&sum.start);
        let mut first = true;
        self.plain.leaves(numbers, |target, values, named| {
            let to = match target {
                Some(target) => margins.get_mut(target..=target).unwrap_or_default(),
                None => &mut *margins,
            };
            for (sum_so_far, value) in to.iter_mut().zip(values) {
                *sum_so_far = combine(sum.combine, sum.precision, first, *sum_so_far, *value);
            }
            if *decision == Decision::Leaf {
                labels.copy_from_slice(named);
            }
            first = false;
        });
        finish(&sum.finish, sum.precision, margins);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the sum is of that precision")]
fn combine(combine: Combine, precision: Precision, first: bool, sum: f64, value: f64) -> f64 {
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

#[expect(clippy::cast_possible_truncation, reason = "the sum is of that precision")]
fn finish(finish: &Finish, precision: Precision, margins: &mut [f64]) {
    let single = precision == Precision::Single;
    match finish {
        Finish::Nothing => {}
        Finish::Divide(by) if single => {
            margins.iter_mut().for_each(|sum| *sum = f64::from(*sum as f32 / *by as f32));
        }
        Finish::Divide(by) => margins.iter_mut().for_each(|sum| *sum /= by),
        Finish::ScaleAndShift { scale, shift } => {
            for (sum, shift) in margins.iter_mut().zip(shift) {
                *sum =
                    if single { f64::from(*sum as f32 * *scale as f32 + *shift as f32) } else { *sum * scale + shift };
            }
        }
    }
}

impl Answer {
    /// The class of each output, unless the leaf said it.
    fn choose(&self, margins: &[f64], values: &[f64], labels: &mut [u32]) {
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

/// `numpy.argmax`, for numbers that are none of them NaN.
fn first_largest(values: &[f64]) -> u32 {
    let mut best = (0, f64::NEG_INFINITY);
    for (class, value) in (0_u32..).zip(values) {
        if *value > best.1 {
            best = (class, *value);
        }
    }
    best.0
}

fn buffer<'b, T>(
    what: &'static str,
    view: &'b mut ArrayViewMut2<'_, T>,
    expected: (usize, usize),
) -> Result<&'b mut [T], PredictError> {
    let found = view.dim();
    let slice = if found == expected { view.as_slice_mut() } else { None };
    slice.ok_or(PredictError::Buffer { what, expected, found })
}
