//! The sums of a block of rows, and how the leaves that rows have ended in are added to them.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]

use super::isa::{Isa, Leaves, WORD};
use super::masks::TREES;

/// Running sums of a block.
pub(super) enum Sums {
    /// As [`Sums::Double`].
    Single(Vec<f32>),
    /// Margin after margin, a number for each row; where a leaf has several numbers, row after row.
    Double(Vec<f64>),
}

/// A precision of sums.
pub(super) trait Float: Copy + std::ops::AddAssign {
    fn add<I: Isa>(sums: &mut [Self; WORD], trees: &[Leaves<'_, Self>], rows: usize);
}

impl Float for f32 {
    #[inline(always)]
    fn add<I: Isa>(sums: &mut [Self; WORD], trees: &[Leaves<'_, Self>], rows: usize) {
        I::add_single(sums, trees, rows);
    }
}

impl Float for f64 {
    #[inline(always)]
    fn add<I: Isa>(sums: &mut [Self; WORD], trees: &[Leaves<'_, Self>], rows: usize) {
        I::add_double(sums, trees, rows);
    }
}

/// Where the leaves of some trees go.
#[derive(Clone, Copy)]
pub(super) enum To<'p> {
    /// Each to one margin.
    Targets(&'p [u32]),
    /// Each to all of so many, which stand by columns.
    Columns(usize),
    /// Each to all, which stand by rows.
    Rows,
}

/// Adds the leaves found of at most [`TREES`] trees, each row's in the trees' order.
#[inline(always)]
pub(super) fn add<I: Isa, F: Float>(
    values: &[F],
    starts: &[(usize, usize)],
    to: To<'_>,
    (leaves, rows): (&[[u8; WORD]], usize),
    sums: &mut [F],
) {
    // of a mask
    let words = leaves.len() / TREES;
    match to {
        To::Targets(targets) => {
            let mut from = 0;
            for run in targets.chunk_by(|one, other| one == other) {
                let sums = &mut sums[run[0] as usize * words * WORD..];
                add_column::<I, F>(
                    values,
                    (&starts[from..from + run.len()], 0),
                    &leaves[from * words..],
                    (words, rows),
                    sums,
                );
                from += run.len();
            }
        }
        To::Columns(count) => {
            for column in 0..count {
                let sums = &mut sums[column * words * WORD..];
                add_column::<I, F>(values, (starts, column), leaves, (words, rows), sums);
            }
        }
        To::Rows => {
            let each = sums.len() / (words * WORD);
            for ((start, _), leaves) in starts.iter().zip(leaves.chunks_exact(words)) {
                let leaves = leaves.as_flattened();
                for (sums, leaf) in sums.chunks_exact_mut(each).zip(leaves).take(rows) {
                    let values = &values[start + usize::from(*leaf) * each..];
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
                }
            }
        }
    }
}

/// Adds one number of each tree's leaf to one margin.
#[inline(always)]
fn add_column<I: Isa, F: Float>(
    values: &[F],
    (starts, column): (&[(usize, usize)], usize),
    leaves: &[[u8; WORD]],
    (words, rows): (usize, usize),
    sums: &mut [F],
) {
    for (word, sums) in sums.as_chunks_mut::<WORD>().0.iter_mut().take(words).enumerate() {
        // the values end with as many as a byte can name, so every tree has its table
        let Some(table) = values.first_chunk() else { return };
        let mut trees = [Leaves { rows: &leaves[word], count: 0, table }; TREES];
        for (to, ((start, count), leaves)) in trees.iter_mut().zip(starts.iter().zip(leaves.chunks_exact(words))) {
            let table = values.get(start + column * count..).and_then(<[F]>::first_chunk).unwrap_or(table);
            *to = Leaves { rows: &leaves[word], count: *count, table };
        }
        F::add::<I>(sums, &trees[..starts.len()], rows.saturating_sub(word * WORD));
    }
}
