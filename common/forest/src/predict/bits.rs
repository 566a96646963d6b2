//! One row's leaves from the answers of all splits, a bit each: 64 splits are asked at once, and a walk then loads little.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]
#![expect(unsafe_code, reason = "every index is of the form's own, and each is looked up some thousand times a row")]

use super::isa::{Isa, WORD};
use crate::compiled::{BitForm, BitWalk, Complete, MOST_COLUMNS, MaskForm, PATH_TREES, Paths};

/// Memory that is used again.
#[derive(Default)]
pub(super) struct BitScratch {
    /// A bit for each split.
    fails: Vec<u64>,
    /// Of each tree, and of some that are not there.
    pub(super) leaves: Vec<u8>,
    /// For each tree its bits.
    failed: Vec<[u64; PATH_TREES]>,
    /// For each tree its first split.
    firsts: Vec<[u64; PATH_TREES]>,
}

/// Finds the leaf of each tree, for a row with these bytes and ranks.
#[inline(always)]
pub(super) fn find<I: Isa>(
    form: &MaskForm,
    bits: &BitForm,
    bytes: &[u8; MOST_COLUMNS],
    ranks: &[u16],
    scratch: &mut BitScratch,
) {
    let BitScratch { fails, leaves, .. } = scratch;
    let (columns, bounds) = (bits.columns.as_chunks::<WORD>().0, bits.bounds.as_chunks::<WORD>().0);
    let (low, high) = bytes.split_at(WORD);
    let (Some(low), Some(high)) = (low.first_chunk(), high.first_chunk()) else { return };
    // a window may begin in the last word
    fails.resize(columns.len() + 1, 0);
    // no closures: they would not be compiled for the instructions that this is compiled for
    let asked = fails.iter_mut().zip(columns.iter().zip(bounds));
    if form.columns.len() <= WORD {
        for (fails, (columns, bounds)) in asked {
            *fails = I::above(low, columns, bounds);
        }
    } else {
        for (fails, (columns, bounds)) in asked {
            *fails = I::above_of_two([low, high], columns, bounds);
        }
    }
    leaves.resize(form.starts().len() - 1, 0);
    match &bits.walk {
        BitWalk::Complete(complete) => match complete.levels {
            1 => in_complete::<1>(complete, fails, leaves),
            2 => in_complete::<2>(complete, fails, leaves),
            3 => in_complete::<3>(complete, fails, leaves),
            4 => in_complete::<4>(complete, fails, leaves),
            5 => in_complete::<5>(complete, fails, leaves),
            6 => in_complete::<6>(complete, fails, leaves),
            7 => in_complete::<7>(complete, fails, leaves),
            8 => in_complete::<8>(complete, fails, leaves),
            _ => leaves.fill(0),
        },
        BitWalk::Paths(paths) => on_paths::<I>(form, paths, ranks, scratch),
    }
}

/// Of trees that are all of so many levels.
#[inline(always)]
fn in_complete<const LEVELS: u32>(complete: &Complete, fails: &[u64], leaves: &mut [u8]) {
    for (tree, leaf) in leaves.iter_mut().enumerate() {
        let first = tree << LEVELS;
        let mut at = 0_usize;
        if LEVELS <= 6 {
            // SAFETY: there is a bit for each place of each tree
            let word = unsafe { *fails.get_unchecked(tree >> (6 - LEVELS)) } >> (first % WORD);
            for _ in 0..LEVELS {
                at = 2 * at + 1 + (word >> (at % WORD) & 1) as usize;
            }
        } else {
            for _ in 0..LEVELS {
                // SAFETY: there is a bit for each place of each tree
                let word = unsafe { *fails.get_unchecked((tree << (LEVELS - 6)) + at / WORD) };
                at = 2 * at + 1 + (word >> (at % WORD) & 1) as usize;
            }
        }
        // SAFETY: after the last level there are as many places as leaves are named for each tree
        *leaf = unsafe { *complete.leaves.get_unchecked(first + at + 1 - (1 << LEVELS)) };
    }
}

/// Of trees whose splits stand path after path.
#[inline(always)]
fn on_paths<I: Isa>(form: &MaskForm, paths: &Paths, ranks: &[u16], scratch: &mut BitScratch) {
    let BitScratch { fails, leaves, failed, firsts } = scratch;
    let groups = paths.groups.len();
    failed.resize(groups, [0; PATH_TREES]);
    firsts.resize(groups, [0; PATH_TREES]);
    leaves.resize(groups * PATH_TREES, 0);
    // no closures: they would not be compiled for the instructions that this is compiled for
    let of_trees = failed.as_flattened_mut().iter_mut().zip(firsts.as_flattened_mut());
    for (tree, ((failed, first), start)) in of_trees.zip(form.starts()).enumerate() {
        *first = (u64::from(*start) - tree as u64) / 2;
        *failed = window(fails, *first as usize);
    }
    for (table, of_trees) in form.sets.iter().zip(&paths.sets) {
        let passed = table.row(ranks[table.lookup]);
        // its questions stand in the trees' order
        let mut asked = 0;
        for (failed, splits) in failed.as_flattened_mut().iter_mut().zip(of_trees) {
            *failed |= deposited::<I>(passed, &mut asked, *splits);
        }
    }
    let of_groups = failed.iter().zip(&*firsts).zip(leaves.as_chunks_mut().0);
    for (group, ((failed, firsts), leaves)) in paths.groups.iter().zip(of_groups) {
        I::follow(group, failed, firsts, &paths.asides, leaves);
    }
}

/// The splits of a tree whose sets a row is in none of, by what it passes from `asked` on.
#[inline(always)]
pub(super) fn deposited<I: Isa>(passed: &[u64], asked: &mut usize, splits: u64) -> u64 {
    let bits = I::deposit(!narrow_window(passed, *asked), splits);
    *asked += splits.count_ones() as usize;
    bits
}

/// 64 bits from a place on.
#[inline(always)]
fn window(words: &[u64], from: usize) -> u64 {
    let (word, shift) = (from / WORD, from % WORD);
    // SAFETY: there is a word after the last that has a bit of a tree
    unsafe {
        if cfg!(target_endian = "little") {
            let byte = words.as_ptr().cast::<u8>().add(from / 8);
            let (low, high) = (byte.cast::<u64>().read_unaligned(), *byte.add(8));
            return low >> (from % 8) | u64::from(high) << 1 << (63 - from % 8);
        }
        let (low, high) = (*words.get_unchecked(word), *words.get_unchecked(word + 1));
        low >> shift | high << 1 << (63 - shift)
    }
}

/// 57 of them.
#[inline(always)]
fn narrow_window(words: &[u64], from: usize) -> u64 {
    if cfg!(target_endian = "big") {
        return window(words, from);
    }
    // SAFETY: as there
    let bits = unsafe { words.as_ptr().cast::<u8>().add(from / 8).cast::<u64>().read_unaligned() };
    bits >> (from % 8)
}
