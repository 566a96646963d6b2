//! A block's rows, column by column: prepared, cast and with what counts as missing made NaN.

use ndarray::ArrayView2;

use super::element::Element;
use crate::compiled::{Answer, Lookup, ZERO};

/// Memory that is used again.
#[derive(Default)]
pub(super) struct Numbers {
    single: Vec<f32>,
    double: Vec<f64>,
}

impl Numbers {
    /// One column of `count` numbers, zeros after the rows that there are, cast to the nearest `f32`.
    #[inline(always)]
    pub(super) fn single<T: Element>(
        &mut self,
        lookup: &Lookup,
        answer: &Answer,
        rows: ArrayView2<'_, T>,
        count: usize,
    ) -> &[f32] {
        self.single.resize(count, 0.0);
        fill(&mut self.single, (lookup.column, lookup.zero_is_missing), answer, rows, Element::narrow, |x| x as f32);
        &self.single
    }

    /// As [`Numbers::single`], not cast.
    #[inline(always)]
    pub(super) fn double<T: Element>(
        &mut self,
        lookup: &Lookup,
        answer: &Answer,
        rows: ArrayView2<'_, T>,
        count: usize,
    ) -> &[f64] {
        self.double.resize(count, 0.0);
        fill(&mut self.double, (lookup.column, lookup.zero_is_missing), answer, rows, Element::widen, |x| x);
        &self.double
    }
}

/// One column of rows, as far as there is room: what needs no more than a cast by `plain`, everything else by `cast`; zero
/// that counts as missing is NaN before.
#[inline(always)]
pub(crate) fn fill<T: Element, F>(
    to: &mut [F],
    (column, zero_is_missing): (u32, bool),
    answer: &Answer,
    rows: ArrayView2<'_, T>,
    plain: impl Fn(T) -> F,
    cast: impl Fn(f64) -> F,
) {
    let column = column as usize;
    let prepared = answer.columns.get(column);
    let feature = prepared.map_or(column, |column| column.feature as usize);
    if feature >= rows.ncols() {
        return;
    }
    let numbers = rows.column(feature);
    let missing = |x: f64| zero_is_missing && x.abs() <= ZERO;
    match prepared {
        None if !zero_is_missing => to.iter_mut().zip(numbers).for_each(|(to, x)| *to = plain(*x)),
        _ => to.iter_mut().zip(numbers).for_each(|(to, x)| {
            let x = prepared.map_or_else(|| x.widen(), |column| x.prepare(column));
            *to = cast(if missing(x) { f64::NAN } else { x });
        }),
    }
}
