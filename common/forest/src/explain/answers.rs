//! What some rows answer to a tree's questions: one bit a row.
#![expect(clippy::indexing_slicing, reason = "the form numbered the columns that there are")]

use ndarray::ArrayView2;

use super::form::{Form, MISSING_PASSES, ONE_OF, Question, TreeForm, ZERO_IS_MISSING};
use crate::compiled::{ZERO, category};
use crate::model::{Column, Input, Precision};
use crate::predict::Element;

/// Rows that have a bit in a word.
pub(super) const WORD: usize = 64;
/// Of a category: that the number is none, or NaN. No set has them.
const NONE: i64 = i64::MIN;
const MISSING: i64 = i64::MIN + 1;

/// The columns of a block of rows.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// As [`Form::numbers`], cast to the model's precision.
    numbers: Vec<[f64; WORD]>,
    /// As [`Form::categories`].
    categories: Vec<[i64; WORD]>,
}

impl Block {
    /// Takes at most [`WORD`] rows in; what stands in the places after them means nothing.
    #[expect(clippy::cast_possible_truncation, reason = "the cast is the library's")]
    pub(super) fn fill<T: Element>(&mut self, form: &Form, input: Input, columns: &[Column], rows: ArrayView2<'_, T>) {
        let numbers = |column: u32, found: &mut dyn FnMut(usize, f64)| {
            let prepared = columns.get(column as usize);
            let feature = prepared.map_or(column, |column| column.feature);
            for (row, x) in rows.column(feature as usize).iter().enumerate().take(WORD) {
                found(row, prepared.map_or_else(|| x.widen(), |column| x.prepare(column)));
            }
        };
        self.numbers.resize(form.numbers.len(), [0.0; WORD]);
        for (column, to) in form.numbers.iter().zip(&mut self.numbers) {
            match input.precision {
                Precision::Single => numbers(*column, &mut |row, x| to[row] = f64::from(x as f32)),
                Precision::Double => numbers(*column, &mut |row, x| to[row] = x),
            }
        }
        self.categories.resize(form.categories.len(), [NONE; WORD]);
        for (column, to) in form.categories.iter().zip(&mut self.categories) {
            numbers(*column, &mut |row, x| {
                to[row] = if x.is_nan() { MISSING } else { category(input.category, x).unwrap_or(NONE) };
            });
        }
    }

    /// The bits of the first `count` rows, for each question of a tree.
    #[inline(always)]
    pub(super) fn ask(&self, tree: &TreeForm, count: usize, bits: &mut Vec<u64>) {
        bits.clear();
        if count == 1 {
            bits.extend(tree.questions.iter().map(|question| u64::from(self.one(tree, question, 0))));
        } else if count <= 8 {
            for question in &tree.questions {
                let answers = (0..8).map(|row| u64::from(self.one(tree, question, row)) << row);
                bits.push(answers.fold(0, |bits, bit| bits | bit));
            }
        } else {
            for question in &tree.questions {
                bits.push(self.all(tree, question));
            }
        }
    }

    #[inline(always)]
    fn one(&self, tree: &TreeForm, question: &Question, row: usize) -> bool {
        let column = question.column as usize;
        let missing_passes = question.flags & MISSING_PASSES != 0;
        if question.flags & ONE_OF != 0 {
            let category = self.categories[column][row];
            return if category == MISSING { missing_passes } else { tree.sets[question.key as usize].has(category) };
        }
        let x = self.numbers[column][row];
        let zero = question.flags & ZERO_IS_MISSING != 0 && x.abs() <= ZERO;
        if x.is_nan() || zero { missing_passes } else { x <= f64::from_bits(question.key) }
    }

    #[inline(always)]
    fn all(&self, tree: &TreeForm, question: &Question) -> u64 {
        let mut passed = [0_u8; WORD];
        if question.flags & (ONE_OF | ZERO_IS_MISSING) != 0 {
            for (row, passed) in passed.iter_mut().enumerate() {
                *passed = u8::from(self.one(tree, question, row));
            }
        } else {
            let threshold = f64::from_bits(question.key);
            let numbers = &self.numbers[question.column as usize];
            if question.flags & MISSING_PASSES != 0 {
                passed
                    .iter_mut()
                    .zip(numbers)
                    .for_each(|(passed, x)| *passed = u8::from(x.is_nan() | (*x <= threshold)));
            } else {
                passed.iter_mut().zip(numbers).for_each(|(passed, x)| *passed = u8::from(*x <= threshold));
            }
        }
        pack(&passed)
    }
}

/// The low bit of each byte.
#[inline(always)]
fn pack(bytes: &[u8; WORD]) -> u64 {
    let eights = bytes.as_chunks::<8>().0.iter().enumerate();
    eights.fold(0, |bits, (at, eight)| {
        // each byte's bit goes to a place of its own in the highest byte
        let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits | gathered << (8 * at)
    })
}
