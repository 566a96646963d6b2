//! The numbers that rows may be of.

use crate::model::Column;

/// `f32` or `f64`.
pub trait Element: Copy + Send + Sync + private::Sealed + 'static {
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

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}
