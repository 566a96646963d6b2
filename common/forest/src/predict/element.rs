//! The numbers that rows may be of.

use crate::model::Column;

/// `f32` or `f64`.
pub trait Element: Copy + Send + Sync + private::Sealed + 'static {
    /// As `f64`, which is exact.
    fn widen(self) -> f64;
    /// A column's number from its feature's, in the precision of `Self`.
    fn prepare(self, column: &Column) -> f64;
}

impl Element for f64 {
    fn widen(self) -> f64 {
        self
    }

    fn prepare(self, column: &Column) -> f64 {
        column.double(self)
    }
}

impl Element for f32 {
    fn widen(self) -> f64 {
        f64::from(self)
    }

    fn prepare(self, column: &Column) -> f64 {
        f64::from(column.single(self))
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}
