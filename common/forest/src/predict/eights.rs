//! Eight rows at once, each of which has asked every split as one row alone does: the answers of a tree are then a word a row,
//! and all eight find their leaves in registers.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]

use ndarray::ArrayView2;

use super::bits::deposited;
use super::element::Element;
use super::few::{bytes, numbers, rank};
use super::isa::{EIGHT, Isa, WORD};
use super::masks::{TREES, add_trees};
use super::sums::Sums;
use crate::compiled::{Answer, BitForm, BitWalk, MaskForm, Part};

/// Memory that is used again.
#[derive(Default)]
pub(super) struct EightScratch {
    numbers: Vec<f64>,
    /// Of each row.
    ranks: [Vec<u16>; EIGHT],
    /// For each 64 splits a bit each, of each row.
    fails: Vec<[u64; EIGHT]>,
    /// For each tree its bits, of each row.
    failed: Vec<[u64; EIGHT]>,
    /// Of some trees.
    leaves: Vec<[u8; WORD]>,
}

/// Adds the leaves of the part's trees for at most [`EIGHT`] rows.
#[inline(always)]
pub(super) fn run<I: Isa, T: Element>(
    (part, form, bits): (&Part, &MaskForm, &BitForm),
    answer: &Answer,
    rows: ArrayView2<'_, T>,
    scratch: &mut EightScratch,
    sums: &mut Sums,
) {
    ask::<I, T>(form, bits, answer, rows, scratch);
    if let BitWalk::Paths(paths) = &bits.walk {
        collect::<I>(form, &paths.sets, rows.nrows(), scratch);
    }
    let EightScratch { fails, failed, leaves, .. } = scratch;
    leaves.resize(TREES, [0; WORD]);
    let mut trees = form.trees().enumerate();
    let mut first = 0;
    while trees.len() > 0 {
        let mut starts = [(0, 0); TREES];
        let mut count = 0;
        // no closures: they would not be compiled for the instructions that this is compiled for
        for ((number, tree), (leaves, start)) in trees.by_ref().take(TREES).zip(leaves.iter_mut().zip(&mut starts)) {
            let Some(leaves) = leaves.first_chunk_mut() else { return };
            match &bits.walk {
                BitWalk::Complete(complete) => {
                    let place = number << complete.levels;
                    let table = &complete.leaves[place..];
                    I::complete(complete.levels, (&fails[place / WORD..], place % WORD), table, leaves);
                }
                BitWalk::Paths(paths) => {
                    let group = &paths.groups[number / TREES];
                    let asides = &paths.asides[tree.first_split()..];
                    I::follow_eight(group, number % TREES, &failed[number], asides, leaves);
                }
            }
            *start = (tree.values, tree.leaves());
            count += 1;
        }
        add_trees::<I>(part, first, &starts[..count], (leaves, rows.nrows()), sums);
        first += count;
    }
}

/// Asks every split.
#[inline(always)]
fn ask<I: Isa, T: Element>(
    form: &MaskForm,
    bits: &BitForm,
    answer: &Answer,
    rows: ArrayView2<'_, T>,
    scratch: &mut EightScratch,
) {
    let EightScratch { numbers: of_row, ranks, fails, .. } = scratch;
    let (columns, bounds) = (bits.columns.as_chunks::<WORD>().0, bits.bounds.as_chunks::<WORD>().0);
    // a window may begin in the last word
    fails.resize(columns.len() + 1, [0; EIGHT]);
    for (place, (row, ranks)) in rows.outer_iter().zip(ranks).enumerate() {
        numbers(answer, row, of_row);
        rank::<I>(&form.lookups, of_row, ranks);
        let bytes = bytes(form, ranks);
        let (low, high) = bytes.split_at(WORD);
        let (Some(low), Some(high)) = (low.first_chunk(), high.first_chunk()) else { return };
        let asked = fails.iter_mut().zip(columns.iter().zip(bounds));
        if form.columns.len() <= WORD {
            for (fails, (columns, bounds)) in asked {
                fails[place] = I::above(low, columns, bounds);
            }
        } else {
            for (fails, (columns, bounds)) in asked {
                fails[place] = I::above_of_two([low, high], columns, bounds);
            }
        }
    }
}

/// Each tree's bits, with those of the sets that it asks.
#[inline(always)]
fn collect<I: Isa>(form: &MaskForm, sets: &[Vec<u64>], rows: usize, scratch: &mut EightScratch) {
    let EightScratch { ranks, fails, failed, .. } = scratch;
    failed.resize(form.trees().len(), [0; EIGHT]);
    for (failed, tree) in failed.iter_mut().zip(form.trees()) {
        let (word, shift) = (tree.first_split() / WORD, tree.first_split() % WORD);
        let (low, high) = (&fails[word], &fails[word + 1]);
        for (place, failed) in failed.iter_mut().enumerate() {
            *failed = low[place] >> shift | high[place] << 1 << (63 - shift);
        }
    }
    for (table, of_trees) in form.sets.iter().zip(sets) {
        for (place, ranks) in ranks.iter().take(rows).enumerate() {
            let passed = table.row(ranks[table.lookup]);
            let mut asked = 0;
            for (failed, splits) in failed.iter_mut().zip(of_trees) {
                failed[place] |= deposited::<I>(passed, &mut asked, *splits);
            }
        }
    }
}
