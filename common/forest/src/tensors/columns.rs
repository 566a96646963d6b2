//! What trees compare, a column of numbers for each way to ask: so that one `x <= bound` is the whole question, a missing
//! number is −∞ where it goes left, which passes every bound, and NaN where it goes right, which passes none. A category is its
//! place among those that the model asks for, and −1 if it is none of them. This is prepared on the CPU.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use candle_core::{Device, Tensor, WithDType};
use ndarray::ArrayView2;

use super::TensorError;
use crate::compiled::{Answer, category, round_down};
use crate::model::{CategoryRule, Model, Precision, Split, Test};
use crate::predict::{Element, fill};

/// Whole numbers that an `f32` can tell apart.
const MOST_CATEGORIES: usize = 1 << 24;

/// A column, and how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ask {
    /// Of the model's columns.
    column: u32,
    missing_left: bool,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Number { zero_is_missing: bool },
    Category,
}

/// The columns that the trees of a model ask.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    precision: Precision,
    rule: CategoryRule,
    asks: Vec<Ask>,
    places: HashMap<Ask, u32>,
    /// For each column of categories those that are asked for, ascending.
    categories: HashMap<u32, Vec<i64>>,
    /// The model's columns that linear leaves take.
    terms: Vec<u32>,
}

/// What columns are of.
trait Number: WithDType {
    const LEAST: Self;
    fn missing(self) -> bool;
    fn given<T: Element>(x: T) -> Self;
    fn cast(x: f64) -> Self;
}

impl Number for f32 {
    const LEAST: Self = Self::NEG_INFINITY;

    fn missing(self) -> bool {
        self.is_nan()
    }

    fn given<T: Element>(x: T) -> Self {
        x.narrow()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the cast is the library's")]
    fn cast(x: f64) -> Self {
        x as Self
    }
}

impl Number for f64 {
    const LEAST: Self = Self::NEG_INFINITY;

    fn missing(self) -> bool {
        self.is_nan()
    }

    fn given<T: Element>(x: T) -> Self {
        x.widen()
    }

    fn cast(x: f64) -> Self {
        x
    }
}

impl Columns {
    /// Knows the model's categories and linear leaves; questions are added by [`Columns::of`].
    pub(super) fn new(model: &Model) -> Self {
        let mut categories: BTreeMap<u32, BTreeSet<i64>> = BTreeMap::new();
        let mut terms = BTreeSet::new();
        for tree in model.trees() {
            for split in tree.splits() {
                if let Test::OneOf(set) = split.test {
                    let set = tree.sets().get(set as usize).into_iter().flatten();
                    categories.entry(split.column).or_default().extend(set);
                }
            }
            terms.extend(tree.linear().iter().flat_map(|linear| &linear.terms).map(|(column, _)| *column));
        }
        Self {
            precision: model.input().precision,
            rule: model.input().category,
            asks: Vec::new(),
            places: HashMap::new(),
            categories: categories.into_iter().map(|(column, of)| (column, of.into_iter().collect())).collect(),
            terms: terms.into_iter().collect(),
        }
    }

    /// Where the numbers stand that a split asks.
    pub(super) fn of(&mut self, split: &Split) -> u32 {
        let kind = match split.test {
            Test::AtMost(_) => Kind::Number { zero_is_missing: split.zero_is_missing },
            Test::OneOf(_) => Kind::Category,
        };
        let ask = Ask { column: split.column, missing_left: split.missing_left, kind };
        let next = self.asks.len() as u32;
        *self.places.entry(ask).or_insert_with(|| {
            self.asks.push(ask);
            next
        })
    }

    /// The places of a set of a column's categories, ascending.
    pub(super) fn places<'c>(&'c self, column: u32, set: &'c [i64]) -> impl Iterator<Item = usize> + 'c {
        let all = self.all(column);
        set.iter().filter_map(|category| all.binary_search(category).ok())
    }

    fn all(&self, column: u32) -> &[i64] {
        self.categories.get(&column).map(Vec::as_slice).unwrap_or_default()
    }

    /// Where a linear leaf finds a model's column; after all of them stands one of ones.
    pub(super) fn term(&self, column: u32) -> Option<usize> {
        self.terms.binary_search(&column).ok()
    }

    /// The place of the column of ones.
    pub(super) fn ones(&self) -> usize {
        self.terms.len()
    }

    /// Columns on the device.
    pub(super) fn count(&self) -> usize {
        self.asks.len().max(self.terms.len() + 1)
    }

    /// Once all questions are known.
    pub(super) fn check(&self) -> Result<(), TensorError> {
        let most = u32::MAX as usize;
        if self.count() > most {
            return Err(TensorError::TooLarge { what: "columns", most });
        }
        if self.precision == Precision::Single && self.categories.values().any(|of| of.len() > MOST_CATEGORIES) {
            return Err(TensorError::TooLarge { what: "categories of a column", most: MOST_CATEGORIES });
        }
        Ok(())
    }

    /// For each column one bound after another, in the precision of the comparisons.
    pub(super) fn bounds(&self, bounds: Vec<f64>, device: &Device) -> candle_core::Result<Tensor> {
        let count = bounds.len();
        match self.precision {
            Precision::Single => Tensor::from_iter(bounds.into_iter().map(round_down), device),
            Precision::Double => Tensor::from_vec(bounds, count, device),
        }
    }

    /// Columns by rows, as the splits ask them; rows must have been checked.
    pub(super) fn numbers<T: Element>(
        &self,
        answer: &Answer,
        rows: ArrayView2<'_, T>,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        match self.precision {
            Precision::Single => self.asked::<T, f32>(answer, rows, device),
            Precision::Double => self.asked::<T, f64>(answer, rows, device),
        }
    }

    fn asked<T: Element, F: Number>(
        &self,
        answer: &Answer,
        rows: ArrayView2<'_, T>,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let count = rows.nrows();
        // never empty: a device may refuse a tensor without numbers
        let columns = self.asks.len().max(1);
        let mut all = vec![F::cast(0.0); columns * count];
        for (ask, to) in self.asks.iter().zip(all.chunks_exact_mut(count)) {
            let marked = |x: F| if ask.missing_left && x.missing() { F::LEAST } else { x };
            let (place, column) = (|x: f64| marked(F::cast(self.place(ask.column, x))), ask.column);
            match ask.kind {
                Kind::Category => fill(to, (column, false), answer, rows, |x| place(x.widen()), place),
                Kind::Number { zero_is_missing } => {
                    let from = (column, zero_is_missing);
                    fill(to, from, answer, rows, |x| marked(F::given(x)), |x| marked(F::cast(x)));
                }
            }
        }
        Tensor::from_vec(all, (columns, count), device)
    }

    /// −1 for what is no category, or one that no split asks for.
    fn place(&self, column: u32, x: f64) -> f64 {
        if x.is_nan() {
            return x;
        }
        let known = category(self.rule, x).and_then(|category| self.all(column).binary_search(&category).ok());
        known.map_or(-1.0, |place| place as f64)
    }

    /// Columns by rows, as linear leaves take them: not cast, and NaN where they are. `None` if no leaf is linear.
    pub(super) fn wide<T: Element>(
        &self,
        answer: &Answer,
        rows: ArrayView2<'_, T>,
        device: &Device,
    ) -> candle_core::Result<Option<Tensor>> {
        if self.terms.is_empty() {
            return Ok(None);
        }
        let count = rows.nrows();
        let mut all = vec![1.0; (self.terms.len() + 1) * count];
        for (column, to) in self.terms.iter().zip(all.chunks_exact_mut(count)) {
            fill(to, (*column, false), answer, rows, Element::widen, |x| x);
        }
        Tensor::from_vec(all, (self.terms.len() + 1, count), device).map(Some)
    }
}
