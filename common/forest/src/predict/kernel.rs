//! The walks. Eight go at once, of eight rows through one tree or of one row through eight trees, so that the processor has
//! other loads to do while one is under way. Portable; no unsafe.
#![expect(clippy::indexing_slicing, reason = "`Compiled::new` and `predict` checked what every index here comes from")]

use super::BLOCK_ROWS;
use crate::compiled::{Compiled, LEAF, MISSING_LEFT};

const LANES: usize = 8;

/// Adds the leaves of all trees for one row, in the trees' order, into `values`, which is zero.
pub(super) fn add_row<const MISSING: bool>(model: &Compiled, row: &[f32], values: &mut [f64]) {
    for roots in model.roots.chunks(LANES) {
        let mut at = [LEAF; LANES];
        at[..roots.len()].copy_from_slice(roots);
        walk::<MISSING, 1, 0>(model, row, &mut at);
        for leaf in at.into_iter().take(roots.len()) {
            add(model, leaf, values);
        }
    }
}

/// As [`add_row`] for `count` rows, whose input stands column by column, [`BLOCK_ROWS`] numbers each.
pub(super) fn add_rows<const MISSING: bool>(model: &Compiled, columns: &[f32], count: usize, values: &mut [f64]) {
    for root in &model.roots {
        leaves::<MISSING>(model, *root, columns, count, |row, leaf| {
            add(model, leaf, &mut values[row * model.width..(row + 1) * model.width]);
        });
    }
}

/// The answers of the one tree that there is, for rows as in [`add_rows`].
pub(super) fn copy_rows<const MISSING: bool>(
    model: &Compiled,
    columns: &[f32],
    count: usize,
    values: &mut [f64],
    labels: &mut [u32],
) {
    let (width, outputs) = (model.width, model.n_classes.len());
    leaves::<MISSING>(model, model.roots[0], columns, count, |row, leaf| {
        let leaf = (leaf & !LEAF) as usize;
        values[row * width..(row + 1) * width].copy_from_slice(&model.values[leaf * width..(leaf + 1) * width]);
        labels[row * outputs..(row + 1) * outputs].copy_from_slice(&model.labels[leaf * outputs..(leaf + 1) * outputs]);
    });
}

/// Calls `found` with each row's leaf of one tree.
#[inline(always)]
fn leaves<const MISSING: bool>(
    model: &Compiled,
    root: u32,
    columns: &[f32],
    count: usize,
    mut found: impl FnMut(usize, u32),
) {
    for first in (0..count).step_by(LANES) {
        let lanes = LANES.min(count - first);
        // lanes without a row have arrived; they look at numbers that mean nothing, and stay
        let mut at = [LEAF; LANES];
        at[..lanes].fill(root);
        walk::<MISSING, BLOCK_ROWS, 1>(model, &columns[first..], &mut at);
        for (lane, leaf) in at.into_iter().take(lanes).enumerate() {
            found(first + lane, leaf);
        }
    }
}

/// From each lane's split to its leaf; a lane that has arrived stays. A lane's value of a feature is at
/// `feature * STRIDE + lane * STEP`.
#[inline(always)]
fn walk<const MISSING: bool, const STRIDE: usize, const STEP: usize>(
    model: &Compiled,
    input: &[f32],
    at: &mut [u32; LANES],
) {
    while at.iter().fold(LEAF, |all, at| all & at) == 0 {
        for (lane, at) in at.iter_mut().enumerate() {
            // masks and no branches, which are mispredicted half the time: all ones where the lane has arrived
            let here = *at;
            let arrived = (here.cast_signed() >> 31).cast_unsigned();
            let split = &model.splits[(here & !arrived) as usize];
            let x = input[(split.feature & !MISSING_LEFT) as usize * STRIDE + lane * STEP];
            let left = (x <= split.threshold) | (MISSING & x.is_nan() & (split.feature & MISSING_LEFT != 0));
            let next = split.children[usize::from(!left)];
            *at = (here & arrived) | (next & !arrived);
        }
    }
}

#[inline(always)]
fn add(model: &Compiled, leaf: u32, values: &mut [f64]) {
    let from = (leaf & !LEAF) as usize * model.width;
    for (sum, value) in values.iter_mut().zip(&model.values[from..from + model.width]) {
        *sum += value;
    }
}
