//! What the pool computes with: rows in, values and labels out. It knows no queue and no message.

use arborgate_forest::{Compiled, Output, PredictError};
use ndarray::{ArrayView2, ArrayViewMut2};

/// Computes rows. One call's rows never depend on the others of the call.
pub(crate) trait Kernel: Send + Sync + 'static {
    /// Of the input.
    fn columns(&self) -> usize;
    /// Values a row.
    fn width(&self) -> usize;
    /// Labels a row.
    fn labels(&self) -> usize;
    /// `rows` are of [`Kernel::columns`], outputs of as many rows; all in standard layout.
    fn predict(
        &self,
        rows: ArrayView2<'_, f64>,
        values: ArrayViewMut2<'_, f64>,
        labels: ArrayViewMut2<'_, u32>,
    ) -> Result<(), Refused>;
}

/// Rows that a model does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// One row is at fault.
    Row {
        /// Counted from the first of the call.
        row: usize,
        /// Column.
        column: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The call is.
    Call(String),
}

impl Kernel for Compiled {
    fn columns(&self) -> usize {
        self.n_features()
    }

    fn width(&self) -> usize {
        self.values_width()
    }

    fn labels(&self) -> usize {
        self.labels_width()
    }

    fn predict(
        &self,
        rows: ArrayView2<'_, f64>,
        values: ArrayViewMut2<'_, f64>,
        labels: ArrayViewMut2<'_, u32>,
    ) -> Result<(), Refused> {
        Compiled::predict(self, rows, &mut Output { values, labels }).map_err(|error| match error {
            PredictError::Missing { row, feature } => {
                let problem = "is missing (NaN), which this model does not take".into();
                Refused::Row { row, column: feature, problem }
            }
            PredictError::TooLarge { row, feature } => {
                let problem = "is infinite or too large for a 32-bit float".into();
                Refused::Row { row, column: feature, problem }
            }
            PredictError::Unknown { row, feature } => {
                Refused::Row { row, column: feature, problem: "is a category that this model does not know".into() }
            }
            other => Refused::Call(other.to_string()),
        })
    }
}
