//! Refuses the rows that the file's library refuses.

use ndarray::ArrayView2;

use super::{Element, PredictError};
use crate::compiled::Compiled;
use crate::model::Precision;

impl Compiled {
    /// The first thing that is wrong with the rows.
    pub(super) fn check<T: Element>(&self, rows: ArrayView2<'_, T>) -> Result<(), PredictError> {
        let expected = self.n_features();
        if rows.ncols() != expected {
            return Err(PredictError::RowLength { expected, found: rows.ncols() });
        }
        let input = self.answer.input;
        if input.infinite_allowed && self.answer.missing_allowed.iter().all(|allowed| *allowed) {
            return Ok(());
        }
        for (at, row) in rows.outer_iter().enumerate() {
            for (feature, (x, allowed)) in row.iter().zip(&self.answer.missing_allowed).enumerate() {
                let x = x.widen();
                if x.is_nan() && !allowed {
                    return Err(PredictError::Missing { row: at, feature });
                }
                if !input.infinite_allowed && is_infinite(x, input.precision) {
                    return Err(PredictError::TooLarge { row: at, feature });
                }
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the cast is the library's")]
fn is_infinite(x: f64, precision: Precision) -> bool {
    match precision {
        Precision::Single => (x as f32).is_infinite(),
        Precision::Double => x.is_infinite(),
    }
}
