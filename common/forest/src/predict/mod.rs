//! Rows in, answers out: checks the input as the file's library does, sums the trees, applies the link and chooses the
//! class. What a row gives never depends on the rows that it stands among.

mod answers;
mod check;
mod element;
mod few;
mod finish;
mod input;
mod isa;
mod masks;
mod run;
mod side_by_side;
mod sums;
mod walk;

use ndarray::{ArrayView2, ArrayViewMut2};

pub(crate) use answers::buffer;
pub(crate) use check::check;
pub use element::Element;
#[cfg(feature = "candle")]
pub(crate) use finish::finish;
#[cfg(feature = "candle")]
pub(crate) use input::fill;
pub use run::Processor;

use crate::compiled::Compiled;

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
        /// `values`, `labels`, `margins` or `contributions`.
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
    /// A category that the model was not trained with, where the file says that there must be none.
    #[error("row {row}, feature {feature} is a category that this model does not know")]
    Unknown {
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

impl Compiled {
    /// Predicts every row into `out`.
    ///
    /// # Errors
    /// [`PredictError`], for the first thing that is wrong.
    pub fn predict<T: Element>(&self, rows: ArrayView2<'_, T>, out: &mut Output<'_>) -> Result<(), PredictError> {
        T::predict(self, rows, out)
    }

    fn predict_rows<T: Element>(&self, rows: ArrayView2<'_, T>, out: &mut Output<'_>) -> Result<(), PredictError> {
        let mut answers = self.answer.answers(rows, out)?;
        self.run(rows, |margins, named| answers.put(margins, named));
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
        out: ArrayViewMut2<'_, f64>,
    ) -> Result<(), PredictError> {
        T::margins(self, rows, out)
    }

    fn margins_of_rows<T: Element>(
        &self,
        rows: ArrayView2<'_, T>,
        mut out: ArrayViewMut2<'_, f64>,
    ) -> Result<(), PredictError> {
        let mut to = self.answer.margins(rows, &mut out)?;
        self.run(rows, |margins, _| to.put(margins));
        Ok(())
    }
}
