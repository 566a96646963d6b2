//! Refuses the rows that the file's library refuses.

use ndarray::ArrayView2;

use super::{Element, PredictError};
use crate::model::{Column, Fault, Input};

/// The first thing that is wrong with the rows of a model that takes them so; `missing_allowed` is of each feature.
pub(crate) fn check<T: Element>(
    rows: ArrayView2<'_, T>,
    input: Input,
    missing_allowed: &[bool],
    columns: &[Column],
) -> Result<(), PredictError> {
    let expected = missing_allowed.len();
    if rows.ncols() != expected {
        return Err(PredictError::RowLength { expected, found: rows.ncols() });
    }
    check_features(rows, input, missing_allowed)?;
    check_columns(rows, columns)
}

fn check_features<T: Element>(
    rows: ArrayView2<'_, T>,
    input: Input,
    missing_allowed: &[bool],
) -> Result<(), PredictError> {
    if input.infinite_allowed && missing_allowed.iter().all(|allowed| *allowed) {
        return Ok(());
    }
    for (at, row) in rows.outer_iter().enumerate() {
        for (feature, (x, allowed)) in row.iter().zip(missing_allowed).enumerate() {
            let x = x.widen();
            if x.is_nan() && !allowed {
                return Err(PredictError::Missing { row: at, feature });
            }
            if !input.infinite_allowed && input.precision.is_infinite(x) {
                return Err(PredictError::TooLarge { row: at, feature });
            }
        }
    }
    Ok(())
}

/// What the steps before the trees refuse.
fn check_columns<T: Element>(rows: ArrayView2<'_, T>, columns: &[Column]) -> Result<(), PredictError> {
    if !columns.iter().any(Column::refuses) {
        return Ok(());
    }
    for (at, row) in rows.outer_iter().enumerate() {
        for column in columns.iter().filter(|column| column.refuses()) {
            let feature = column.feature as usize;
            let x = row.get(feature).map_or(f64::NAN, |x| x.widen());
            match column.run(x, T::WIDE).1 {
                None => {}
                Some(Fault::Missing) => return Err(PredictError::Missing { row: at, feature }),
                Some(Fault::Infinite) => return Err(PredictError::TooLarge { row: at, feature }),
                Some(Fault::Unknown) => return Err(PredictError::Unknown { row: at, feature }),
            }
        }
    }
    Ok(())
}
