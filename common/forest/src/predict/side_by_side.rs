//! Few rows through trees that stand side by side: one row alone, or up to 64, eight at a time.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]
#![expect(unsafe_code, reason = "bits are read from where no word begins")]

use std::ops::Range;

use ndarray::ArrayView2;

use super::element::Element;
use super::input::Numbers;
use super::isa::{EIGHT, Isa, WORD};
use super::masks::{TREES, add_trees, cut, rank_column};
use super::sums::Sums;
use crate::compiled::{ABREAST, Answer, Layout, MOST_COLUMNS, MaskForm, Part, SetTable, SideBySide, Values};

/// A row's byte of each column.
type Bytes = [u8; MOST_COLUMNS];

/// Numbers that [`Isa::ranks_single`] takes at once.
const RANKED: usize = 16;

/// Memory that is used again.
#[derive(Default)]
pub(super) struct OneScratch {
    others: Vec<[u64; 1]>,
    found: Vec<[u8; ABREAST]>,
}

/// Memory that is used again.
#[derive(Default)]
pub(super) struct ManyScratch {
    numbers: Numbers,
    ranks: Vec<u16>,
    /// Of each table of sets, of each row.
    of_sets: Vec<[u16; WORD]>,
    bytes: Vec<[Bytes; EIGHT]>,
    others: Vec<[u64; EIGHT]>,
    /// Of each tree as they stand side by side.
    found: Vec<[[u8; EIGHT]; ABREAST]>,
    /// Of each tree in order, and of some that are not there.
    leaves: Vec<[[u8; EIGHT]; EIGHT]>,
}

/// The leaf of each tree as they stand side by side, for a row with these bytes and ranks.
#[inline(always)]
pub(super) fn one<'s, I: Isa>(
    form: &MaskForm,
    trees: &SideBySide,
    bytes: &[Bytes; 1],
    ranks: &[u16],
    scratch: &'s mut OneScratch,
) -> &'s [u8] {
    let OneScratch { others, found } = scratch;
    if !form.sets.is_empty() {
        others.clear();
        others.resize(trees.steps.len(), [0]);
        for (table, places) in form.sets.iter().zip(&trees.sets) {
            ask_sets::<I, 1>((table, places), ranks[table.lookup], 0, others);
        }
    }
    found.resize(trees.ends.len(), [0; ABREAST]);
    let mut from = 0;
    // no closures: they would not be compiled for the instructions that this is compiled for
    for (end, found) in trees.ends.iter().zip(&mut *found) {
        [*found] = ends::<I, 1>(form, trees, from..*end as usize, bytes, others);
        from = *end as usize;
    }
    found.as_flattened()
}

/// Adds the leaves of the part's trees for at most [`WORD`] rows.
#[inline(always)]
pub(super) fn many<I: Isa, T: Element>(
    (part, form, trees): (&Part, &MaskForm, &SideBySide),
    answer: &Answer,
    rows: ArrayView2<'_, T>,
    scratch: &mut ManyScratch,
    sums: &mut Sums,
) {
    read::<I, T>(form, answer, rows, scratch);
    if rows.nrows() <= EIGHT
        && let (Values::Double(values), Sums::Double(sums)) = (&part.values, &mut *sums)
        && let Layout::Columns(columns) = part.layout
    {
        find::<I>(form, trees, 0, scratch);
        let found = scratch.found.as_flattened();
        match columns {
            2 => add_eight::<I, 2>(values, form, trees, found, sums),
            3 => add_eight::<I, 3>(values, form, trees, found, sums),
            _ => add_eight::<I, 4>(values, form, trees, found, sums),
        }
        return;
    }
    scratch.leaves.resize(trees.places.len().next_multiple_of(TREES), [[0; EIGHT]; EIGHT]);
    for eight in 0..rows.nrows().div_ceil(EIGHT) {
        find::<I>(form, trees, eight, scratch);
        let found = scratch.found.as_flattened();
        for (leaves, place) in scratch.leaves.iter_mut().zip(&trees.places) {
            leaves[eight] = found[usize::from(*place)];
        }
    }
    let mut of_trees = form.trees();
    let leaves = scratch.leaves.as_flattened().as_flattened().as_chunks::<WORD>().0;
    for (group, leaves) in leaves.chunks(TREES).enumerate() {
        let mut starts = [(0, 0); TREES];
        let mut taken = 0;
        for (tree, start) in of_trees.by_ref().take(TREES).zip(&mut starts) {
            *start = (tree.values, tree.leaves());
            taken += 1;
        }
        add_trees::<I>(part, group * TREES, &starts[..taken], (leaves, rows.nrows()), sums);
    }
}

/// Adds each tree's leaf, of so many numbers, to eight rows' sums, which stay in registers.
#[inline(always)]
fn add_eight<I: Isa, const EACH: usize>(
    values: &[f64],
    form: &MaskForm,
    trees: &SideBySide,
    found: &[[u8; EIGHT]],
    to: &mut [f64],
) {
    let mut sums: [[f64; EIGHT]; EACH] = [[0.0; EIGHT]; EACH];
    let columns = || to.as_chunks::<WORD>().0.iter();
    for (sums, to) in sums.iter_mut().zip(columns()) {
        sums.copy_from_slice(&to[..EIGHT]);
    }
    // no closures: they would not be compiled for the instructions that this is compiled for
    for ((number, ends), place) in form.starts().array_windows().enumerate().zip(&trees.places) {
        let [first, end] = ends.map(|end| end as usize);
        let (from, leaves) = (form.values(number, first), (end - first) / 2 + 1);
        let rows = &found[usize::from(*place)];
        for (column, sums) in sums.iter_mut().enumerate() {
            // the values end with as many as a byte can name
            let Some(table) = values[from + column * leaves..].first_chunk() else { return };
            let picked = I::pick(table, leaves, rows);
            for (sum, picked) in sums.iter_mut().zip(picked) {
                *sum += picked;
            }
        }
    }
    for (sums, to) in sums.iter().zip(to.as_chunks_mut::<WORD>().0) {
        to[..EIGHT].copy_from_slice(sums);
    }
}

/// Each row's bytes, and its ranks among categories.
#[inline(always)]
fn read<I: Isa, T: Element>(form: &MaskForm, answer: &Answer, rows: ArrayView2<'_, T>, scratch: &mut ManyScratch) {
    let ManyScratch { numbers, ranks, of_sets, bytes, .. } = scratch;
    ranks.resize(rows.nrows().next_multiple_of(RANKED), 0);
    bytes.resize(rows.nrows().div_ceil(EIGHT), [[0; MOST_COLUMNS]; EIGHT]);
    let mut ranked = usize::MAX;
    for (place, column) in form.columns.iter().enumerate() {
        if ranked != column.lookup {
            rank_column::<I, T>(&form.lookups[column.lookup], answer, rows, numbers, ranks);
            ranked = column.lookup;
        }
        let mut of_column = [[0; WORD]];
        cut(ranks, column.from, column.missing_passes, &mut of_column);
        for (bytes, byte) in bytes.as_flattened_mut().iter_mut().zip(of_column.as_flattened()) {
            bytes[place] = *byte;
        }
    }
    of_sets.resize(form.sets.len(), [0; WORD]);
    for (table, to) in form.sets.iter().zip(of_sets) {
        rank_column::<I, T>(&form.lookups[table.lookup], answer, rows, numbers, ranks);
        to[..ranks.len()].copy_from_slice(ranks);
    }
}

/// Finds the leaf of each tree, for eight rows.
#[inline(always)]
fn find<I: Isa>(form: &MaskForm, trees: &SideBySide, eight: usize, scratch: &mut ManyScratch) {
    let ManyScratch { of_sets, bytes, others, found, .. } = scratch;
    if !form.sets.is_empty() {
        others.clear();
        others.resize(trees.steps.len(), [0; EIGHT]);
        for ((table, places), ranks) in form.sets.iter().zip(&trees.sets).zip(of_sets) {
            for (row, rank) in ranks[eight * EIGHT..].iter().take(EIGHT).enumerate() {
                ask_sets::<I, EIGHT>((table, places), *rank, row, others);
            }
        }
    }
    found.resize(trees.ends.len(), [[0; EIGHT]; ABREAST]);
    let mut from = 0;
    // no closures: they would not be compiled for the instructions that this is compiled for
    for (end, found) in trees.ends.iter().zip(found) {
        I::turn(&ends::<I, EIGHT>(form, trees, from..*end as usize, &bytes[eight], others), found);
        from = *end as usize;
    }
}

/// The leaves that rows end in, of the 64 trees whose steps these are.
#[inline(always)]
fn ends<I: Isa, const ROWS: usize>(
    form: &MaskForm,
    trees: &SideBySide,
    steps: Range<usize>,
    bytes: &[Bytes; ROWS],
    others: &[[u64; ROWS]],
) -> [[u8; ABREAST]; ROWS] {
    let has_sets = !form.sets.is_empty();
    let others = if has_sets { &others[steps.clone()] } else { &[] };
    let steps = &trees.steps[steps];
    match (form.columns.len() > WORD, has_sets) {
        (false, false) => I::end::<ROWS, false, false>(steps, bytes, others),
        (false, true) => I::end::<ROWS, false, true>(steps, bytes, others),
        (true, false) => I::end::<ROWS, true, false>(steps, bytes, others),
        (true, true) => I::end::<ROWS, true, true>(steps, bytes, others),
    }
}

/// In which trees of each step a row of this rank is not in the set that is asked of.
#[inline(always)]
fn ask_sets<I: Isa, const ROWS: usize>(
    (table, places): (&SetTable, &[u64]),
    rank: u16,
    row: usize,
    others: &mut [[u64; ROWS]],
) {
    let passed = table.row(rank);
    // its questions stand as the steps do
    let mut asked = 0;
    for (others, places) in others.iter_mut().zip(places) {
        if *places != 0 {
            others[row] |= I::deposit(!window(passed, asked), *places);
            asked += places.count_ones() as usize;
        }
    }
}

/// 64 bits from one on that is not after the last word but one.
#[inline(always)]
fn window(words: &[u64], from: usize) -> u64 {
    if cfg!(target_endian = "little") {
        // SAFETY: nine bytes from any of a word that has one after it
        unsafe {
            let byte = words.as_ptr().cast::<u8>().add(from / 8);
            let (low, high) = (byte.cast::<u64>().read_unaligned(), *byte.add(8));
            return low >> (from % 8) | u64::from(high) << 1 << (63 - from % 8);
        }
    }
    let (word, shift) = (from / WORD, from % WORD);
    words[word] >> shift | words[word + 1] << 1 << (63 - shift)
}
