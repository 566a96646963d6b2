//! The numbers that rows may be of, and what is computed of rows of each. That is compiled here, once: of a generic function
//! each crate that calls it would compile a copy of its own, as its profile has it.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::{Output, PredictError};
use crate::compiled::Compiled;
use crate::explain::Explainer;
use crate::model::Column;

/// `f32` or `f64`.
pub trait Element: Copy + Send + Sync + rows::Rows + 'static {
    /// Whether it is of double precision.
    const WIDE: bool;
    /// As `f64`, which is exact.
    fn widen(self) -> f64;
    /// As the nearest `f32`.
    fn narrow(self) -> f32;
    /// A column's number from its feature's, in the precision of `Self`.
    fn prepare(self, column: &Column) -> f64;
}

impl Element for f64 {
    const WIDE: bool = true;

    fn widen(self) -> f64 {
        self
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
    fn narrow(self) -> f32 {
        self as f32
    }

    fn prepare(self, column: &Column) -> f64 {
        column.double(self)
    }
}

impl Element for f32 {
    const WIDE: bool = false;

    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn narrow(self) -> f32 {
        self
    }

    fn prepare(self, column: &Column) -> f64 {
        column.single(self)
    }
}

/// Nothing outside the crate can name it, and so none else is an [`Element`].
pub(crate) mod rows {
    use super::{ArrayView2, ArrayViewMut2, Compiled, Explainer, Output, PredictError};

    pub trait Rows: Sized {
        fn predict(compiled: &Compiled, rows: ArrayView2<'_, Self>, out: &mut Output<'_>) -> Result<(), PredictError>;
        fn margins(
            compiled: &Compiled,
            rows: ArrayView2<'_, Self>,
            out: ArrayViewMut2<'_, f64>,
        ) -> Result<(), PredictError>;
        fn explain(
            explainer: &Explainer,
            rows: ArrayView2<'_, Self>,
            out: ArrayViewMut2<'_, f64>,
        ) -> Result<(), PredictError>;
    }
}

macro_rules! rows_of {
    ($element:ty) => {
        impl rows::Rows for $element {
            fn predict(
                compiled: &Compiled,
                rows: ArrayView2<'_, Self>,
                out: &mut Output<'_>,
            ) -> Result<(), PredictError> {
                compiled.predict_rows(rows, out)
            }

            fn margins(
                compiled: &Compiled,
                rows: ArrayView2<'_, Self>,
                out: ArrayViewMut2<'_, f64>,
            ) -> Result<(), PredictError> {
                compiled.margins_of_rows(rows, out)
            }

            fn explain(
                explainer: &Explainer,
                rows: ArrayView2<'_, Self>,
                out: ArrayViewMut2<'_, f64>,
            ) -> Result<(), PredictError> {
                explainer.explain_rows(rows, out)
            }
        }
    };
}

rows_of!(f32);
rows_of!(f64);
