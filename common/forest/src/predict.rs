//! Rows in, answers out: checks the input as the file's library does, converts it, and walks. Blocks of rows go through
//! one tree after another, so that each row's sum is in the trees' order whatever rows it stands among.

mod kernel;

use std::cell::RefCell;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use crate::compiled::Compiled;
use crate::model::{Aggregation, Task};

/// Rows that go through the trees together, and how few go one by one.
const BLOCK_ROWS: usize = 64;
const FEW_ROWS: usize = 8;

/// Numbers of converted input that a thread keeps room for between calls.
const KEPT_NUMBERS: usize = 1 << 20;

thread_local! {
    /// The input of a block as `f32`, by columns; kept, so that a thread's later calls allocate nothing.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

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
        /// `values` or `labels`.
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
    /// Infinite, or too large for an `f32`.
    #[error("row {row}, feature {feature} is infinite or too large for a 32-bit float")]
    TooLarge {
        /// From 0.
        row: usize,
        /// From 0.
        feature: usize,
    },
}

impl Compiled {
    /// Predicts every row into `out`.
    ///
    /// # Errors
    /// [`PredictError`], for the first thing that is wrong.
    pub fn predict(&self, rows: ArrayView2<'_, f64>, out: &mut Output<'_>) -> Result<(), PredictError> {
        if rows.ncols() != self.n_features {
            return Err(PredictError::RowLength { expected: self.n_features, found: rows.ncols() });
        }
        let values = buffer("values", &mut out.values, (rows.nrows(), self.width))?;
        let labels = buffer("labels", &mut out.labels, (rows.nrows(), self.n_classes.len()))?;
        SCRATCH.with_borrow_mut(|scratch| {
            let values = values.chunks_mut((BLOCK_ROWS * self.width).max(1));
            let mut labels = labels.chunks_mut((BLOCK_ROWS * self.n_classes.len()).max(1));
            let blocks = rows.axis_chunks_iter(Axis(0), BLOCK_ROWS);
            for (number, (rows, values)) in blocks.zip(values).enumerate() {
                let labels = labels.next().unwrap_or_default();
                self.block(rows, scratch, values, labels, number * BLOCK_ROWS)?;
            }
            if scratch.capacity() > KEPT_NUMBERS {
                *scratch = Vec::new();
            }
            Ok(())
        })
    }

    fn block(
        &self,
        rows: ArrayView2<'_, f64>,
        scratch: &mut Vec<f32>,
        values: &mut [f64],
        labels: &mut [u32],
        first: usize,
    ) -> Result<(), PredictError> {
        if self.aggregation == Aggregation::Single {
            if self.convert(rows, scratch, BLOCK_ROWS, first)? {
                kernel::copy_rows::<true>(self, scratch, rows.nrows(), values, labels);
            } else {
                kernel::copy_rows::<false>(self, scratch, rows.nrows(), values, labels);
            }
            return Ok(());
        }
        values.fill(0.0);
        if rows.nrows() <= FEW_ROWS {
            let each = rows.axis_chunks_iter(Axis(0), 1).zip(values.chunks_exact_mut(self.width));
            for (at, (row, values)) in each.enumerate() {
                if self.convert(row, scratch, 1, first + at)? {
                    kernel::add_row::<true>(self, scratch, values);
                } else {
                    kernel::add_row::<false>(self, scratch, values);
                }
            }
        } else if self.convert(rows, scratch, BLOCK_ROWS, first)? {
            kernel::add_rows::<true>(self, scratch, rows.nrows(), values);
        } else {
            kernel::add_rows::<false>(self, scratch, rows.nrows(), values);
        }
        // the trees' number is far below 2^53
        let trees = self.roots.len() as f64;
        values.iter_mut().for_each(|value| *value /= trees);
        if self.task == Task::Classification {
            let rows = values.chunks_exact(self.width).zip(labels.chunks_exact_mut(self.n_classes.len()));
            for (values, labels) in rows {
                self.name(values, labels);
            }
        }
        Ok(())
    }

    /// Into columns of `stride` numbers. As scikit-learn casts: to the nearest `f32`; what is then infinite is refused.
    /// Returns whether any is NaN.
    #[expect(clippy::cast_possible_truncation, reason = "the cast is scikit-learn's")]
    fn convert(
        &self,
        rows: ArrayView2<'_, f64>,
        scratch: &mut Vec<f32>,
        stride: usize,
        first: usize,
    ) -> Result<bool, PredictError> {
        scratch.resize(self.n_features * stride, 0.0);
        let mut all_finite = true;
        for (at, row) in rows.outer_iter().enumerate() {
            let column = scratch.iter_mut().skip(at).step_by(stride);
            for (to, from) in column.zip(row) {
                *to = *from as f32;
                all_finite &= to.is_finite();
            }
        }
        if all_finite { Ok(false) } else { self.check(rows, first).map(|()| true) }
    }

    /// The first value that is not taken.
    #[expect(clippy::cast_possible_truncation, reason = "the cast is scikit-learn's")]
    fn check(&self, rows: ArrayView2<'_, f64>, first: usize) -> Result<(), PredictError> {
        for (at, row) in rows.outer_iter().enumerate() {
            for (feature, (value, allowed)) in row.iter().zip(&self.missing_allowed).enumerate() {
                if (*value as f32).is_infinite() {
                    return Err(PredictError::TooLarge { row: first + at, feature });
                }
                if value.is_nan() && !allowed {
                    return Err(PredictError::Missing { row: first + at, feature });
                }
            }
        }
        Ok(())
    }

    /// The first largest probability of each output.
    fn name(&self, values: &[f64], labels: &mut [u32]) {
        let mut rest = values;
        for (label, count) in labels.iter_mut().zip(&self.n_classes) {
            let Some((own, after)) = rest.split_at_checked(*count) else { return };
            rest = after;
            let mut best = (0, f64::NEG_INFINITY);
            for (class, value) in (0_u32..).zip(own) {
                if *value > best.1 {
                    best = (class, *value);
                }
            }
            *label = best.0;
        }
    }
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
