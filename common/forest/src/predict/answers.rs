//! From the margins of rows to what the caller's buffers hold: the same whatever found the margins.

use std::slice::ChunksExactMut;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::{Element, Output, PredictError, check};
use crate::compiled::Answer;

/// The rows of an [`Output`] that are not filled yet.
pub(crate) struct Answers<'o> {
    answer: &'o Answer,
    values: ChunksExactMut<'o, f64>,
    labels: ChunksExactMut<'o, u32>,
}

impl Answers<'_> {
    /// Fills the next row; `named`: the labels that its leaf says, if leaves do.
    #[inline]
    pub(crate) fn put(&mut self, margins: &[f64], named: &[u32]) {
        let labels = self.labels.next().unwrap_or_default();
        if let Some(values) = self.values.next() {
            self.answer.link.apply(margins, values);
            self.answer.choose(margins, values, labels);
        }
        labels.iter_mut().zip(named).for_each(|(label, named)| *label = *named);
    }
}

/// The rows of a buffer of margins that are not filled yet.
pub(crate) struct Margins<'o>(ChunksExactMut<'o, f64>);

impl Margins<'_> {
    /// Fills the next row.
    #[inline]
    pub(crate) fn put(&mut self, margins: &[f64]) {
        if let Some(to) = self.0.next() {
            to.copy_from_slice(margins);
        }
    }
}

impl Answer {
    /// Where the values and labels of rows go, once they and the buffers were checked.
    pub(crate) fn answers<'o, T: Element>(
        &'o self,
        rows: ArrayView2<'_, T>,
        out: &'o mut Output<'_>,
    ) -> Result<Answers<'o>, PredictError> {
        self.check(rows)?;
        let labels_width = self.n_classes.len();
        let values = buffer("values", &mut out.values, (rows.nrows(), self.width))?.chunks_exact_mut(self.width);
        let labels = buffer("labels", &mut out.labels, (rows.nrows(), labels_width))?;
        Ok(Answers { answer: self, values, labels: labels.chunks_exact_mut(labels_width.max(1)) })
    }

    /// Where the margins of rows go, once they and the buffer were checked.
    pub(crate) fn margins<'o, T: Element>(
        &self,
        rows: ArrayView2<'_, T>,
        out: &'o mut ArrayViewMut2<'_, f64>,
    ) -> Result<Margins<'o>, PredictError> {
        self.check(rows)?;
        let width = self.sum.start.len();
        Ok(Margins(buffer("margins", out, (rows.nrows(), width))?.chunks_exact_mut(width)))
    }

    /// The first thing that is wrong with the rows.
    fn check<T: Element>(&self, rows: ArrayView2<'_, T>) -> Result<(), PredictError> {
        check(rows, self.input, &self.missing_allowed, &self.columns)
    }
}

pub(crate) fn buffer<'b, T>(
    what: &'static str,
    view: &'b mut ArrayViewMut2<'_, T>,
    expected: (usize, usize),
) -> Result<&'b mut [T], PredictError> {
    let found = view.dim();
    let slice = if found == expected { view.as_slice_mut() } else { None };
    slice.ok_or(PredictError::Buffer { what, expected, found })
}
