//! Some rows, as numbers.

use ndarray::{Array2, ArrayView2};

/// Rows that follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The number of its first row, from 0.
    pub first: u64,
    /// The wanted columns, in their order; rows or columns may be what lies together.
    pub numbers: Numbers,
}

/// Numbers of one of the two widths.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Of 32 bits.
    Single(Array2<f32>),
    /// Of 64 bits.
    Double(Array2<f64>),
}

impl Block {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match &self.numbers {
            Numbers::Single(of) => of.nrows(),
            Numbers::Double(of) => of.nrows(),
        }
    }
}

/// What readers are written for.
pub(crate) trait Float: Copy + Send + 'static {
    const NAN: Self;
    fn single(value: f32) -> Self;
    fn double(value: f64) -> Self;
    fn numbers(of: Array2<Self>) -> Numbers;
}

impl Float for f32 {
    const NAN: Self = Self::NAN;

    fn single(value: f32) -> Self {
        value
    }

    #[expect(clippy::cast_possible_truncation, reason = "it was chosen for columns that it holds exactly")]
    fn double(value: f64) -> Self {
        value as Self
    }

    fn numbers(of: Array2<Self>) -> Numbers {
        Numbers::Single(of)
    }
}

impl Float for f64 {
    const NAN: Self = Self::NAN;

    fn single(value: f32) -> Self {
        value.into()
    }

    fn double(value: f64) -> Self {
        value
    }

    fn numbers(of: Array2<Self>) -> Numbers {
        Numbers::Double(of)
    }
}

/// A block of `columns` columns: row after row, or column after column.
pub(crate) fn block<T: Float>(first: u64, values: Vec<T>, columns: usize, by_columns: bool) -> Option<Block> {
    let rows = values.len().checked_div(columns)?;
    let numbers = if by_columns {
        Array2::from_shape_vec((columns, rows), values).ok()?.reversed_axes()
    } else {
        Array2::from_shape_vec((rows, columns), values).ok()?
    };
    Some(Block { first, numbers: T::numbers(numbers) })
}

/// As 64 bits, for whoever does not care.
impl From<&Numbers> for Array2<f64> {
    fn from(numbers: &Numbers) -> Self {
        match numbers {
            Numbers::Single(of) => widened(of.view()),
            Numbers::Double(of) => of.clone(),
        }
    }
}

fn widened(of: ArrayView2<'_, f32>) -> Array2<f64> {
    of.mapv(f64::from)
}
