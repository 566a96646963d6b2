//! What the pool computes with: rows in, values and labels out. It knows no queue and no message.

use std::sync::Arc;

use arborgate_contracts::wire::Asked;
use arborgate_forest::{Compiled, Explainer, Leaves, Output, PredictError};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

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
    /// Told when [`Kernel::predict`] panicked.
    fn panicked(&self) {}
}

/// A kernel whose panics are told to somebody.
pub(crate) struct Reporting {
    pub(crate) kernel: Arc<dyn Kernel>,
    pub(crate) report: Arc<dyn Fn() + Send + Sync>,
}

impl Kernel for Reporting {
    fn columns(&self) -> usize {
        self.kernel.columns()
    }

    fn width(&self) -> usize {
        self.kernel.width()
    }

    fn labels(&self) -> usize {
        self.kernel.labels()
    }

    fn predict(
        &self,
        rows: ArrayView2<'_, f64>,
        values: ArrayViewMut2<'_, f64>,
        labels: ArrayViewMut2<'_, u32>,
    ) -> Result<(), Refused> {
        self.kernel.predict(rows, values, labels)
    }

    fn panicked(&self) {
        (self.report)();
    }
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
        Compiled::predict(self, rows, &mut Output { values, labels }).map_err(Refused::from)
    }
}

impl From<PredictError> for Refused {
    fn from(error: PredictError) -> Self {
        let row = |row, column, problem: &str| Self::Row { row, column, problem: problem.to_owned() };
        match error {
            PredictError::Missing { row: at, feature } => {
                row(at, feature, "is missing (NaN), which this model does not take")
            }
            PredictError::TooLarge { row: at, feature } => {
                row(at, feature, "is infinite or too large for a 32-bit float")
            }
            PredictError::Unknown { row: at, feature } => {
                row(at, feature, "is a category that this model does not know")
            }
            other => Self::Call(other.to_string()),
        }
    }
}

/// What is asked, side by side in the order of the layout of replies (see [`arborgate_contracts::wire`]), and nothing else.
pub(crate) struct Several {
    pub(crate) asked: Asked,
    pub(crate) compiled: Arc<Compiled>,
    /// There if leaves are asked.
    pub(crate) leaves: Option<Arc<Leaves>>,
    /// There if contributions are asked.
    pub(crate) explainer: Option<Arc<Explainer>>,
}

impl Several {
    /// `width` if this is asked.
    fn of(&self, asked: Asked, width: usize) -> usize {
        if self.asked.has(asked) { width } else { 0 }
    }

    fn asks_to_predict(&self) -> bool {
        self.asked.has(Asked::VALUES) || self.asked.has(Asked::LABELS)
    }
}

/// Puts columns beside those that are there.
fn beside<T: Clone>(to: &mut ArrayViewMut2<'_, T>, at: &mut usize, columns: &Array2<T>) {
    let end = *at + columns.ncols();
    to.slice_mut(s![.., *at..end]).assign(columns);
    *at = end;
}

impl Kernel for Several {
    fn columns(&self) -> usize {
        self.compiled.n_features()
    }

    fn width(&self) -> usize {
        self.of(Asked::VALUES, self.compiled.values_width())
            + self.of(Asked::MARGINS, self.compiled.margins_width())
            + self.explainer.as_ref().map_or(0, |explainer| explainer.width())
    }

    fn labels(&self) -> usize {
        self.of(Asked::LABELS, self.compiled.labels_width()) + self.leaves.as_ref().map_or(0, |leaves| leaves.width())
    }

    fn predict(
        &self,
        rows: ArrayView2<'_, f64>,
        mut values: ArrayViewMut2<'_, f64>,
        mut labels: ArrayViewMut2<'_, u32>,
    ) -> Result<(), Refused> {
        let (mut value, mut label) = (0, 0);
        if self.asks_to_predict() {
            // They are computed together.
            let mut predicted = Array2::zeros((rows.nrows(), self.compiled.values_width()));
            let mut classes = Array2::zeros((rows.nrows(), self.compiled.labels_width()));
            let mut out = Output { values: predicted.view_mut(), labels: classes.view_mut() };
            self.compiled.predict(rows, &mut out)?;
            if self.asked.has(Asked::VALUES) {
                beside(&mut values, &mut value, &predicted);
            }
            if self.asked.has(Asked::LABELS) {
                beside(&mut labels, &mut label, &classes);
            }
        }
        if self.asked.has(Asked::MARGINS) {
            let mut margins = Array2::zeros((rows.nrows(), self.compiled.margins_width()));
            self.compiled.margins(rows, margins.view_mut())?;
            beside(&mut values, &mut value, &margins);
        }
        if let Some(explainer) = &self.explainer {
            let mut contributions = Array2::zeros((rows.nrows(), explainer.width()));
            explainer.explain(rows, contributions.view_mut())?;
            beside(&mut values, &mut value, &contributions);
        }
        if let Some(leaves) = &self.leaves {
            let mut found = Array2::zeros((rows.nrows(), leaves.width()));
            leaves.find(rows, found.view_mut())?;
            beside(&mut labels, &mut label, &found);
        }
        Ok(())
    }
}
