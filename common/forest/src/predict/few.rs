//! Few rows, one by one: several trees are walked at once, so that the processor has other loads to do while one is under
//! way. The same for both forms; only what answers a split differs.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]

use super::isa::Isa;
use super::side_by_side::{self, OneScratch};
use super::sums::Sums;
use crate::compiled::{
    Answer, Few, Keys, LEAF, Layout, Lookup, MISSING, MISSING_LEFT, MOST_COLUMNS, MOST_LEAVES, MaskForm, MaskNode,
    ONE_OF, Part, Values, WalkForm, WalkSplit,
};

/// Trees at once.
const LANES: usize = 16;
/// Keys that are better counted than searched.
const COUNTED: usize = 256;
/// Levels after which it is asked whether all have arrived.
const LEVELS: usize = 4;

/// Memory that is used again.
#[derive(Default)]
pub(super) struct FewScratch {
    /// One for each question: 0 passes, 1 does not.
    answers: Vec<u8>,
    ranks: Vec<u16>,
    /// Of each tree.
    leaves: Vec<u8>,
    one: OneScratch,
}

/// Adds the leaves of trees laid out for masks for one row, whose columns' numbers are `numbers`.
#[inline(always)]
pub(super) fn masks<I: Isa>(part: &Part, form: &MaskForm, numbers: &[f64], scratch: &mut FewScratch, sums: &mut Sums) {
    let FewScratch { answers, ranks, leaves, one } = scratch;
    rank::<I>(&form.lookups, numbers, ranks);
    match &form.few {
        Few::Nodes(nodes) => {
            ask::<I>(form, ranks, answers);
            leaves.clear();
            descend(form, nodes, answers, leaves);
            add_leaves(part, form, leaves.iter().copied(), sums);
        }
        Few::SideBySide(trees) => {
            let found = side_by_side::one::<I>(form, trees, &[bytes(form, ranks)], ranks, one);
            add_leaves(part, form, trees.places.iter().map(|place| found[usize::from(*place)]), sums);
        }
    }
}

/// Of each column.
#[inline(always)]
fn bytes(form: &MaskForm, ranks: &[u16]) -> [u8; MOST_COLUMNS] {
    let mut bytes = [0; MOST_COLUMNS];
    for (byte, column) in bytes.iter_mut().zip(&form.columns) {
        *byte = column.byte(ranks[column.lookup]);
    }
    bytes
}

/// Answers every question.
#[inline(always)]
fn ask<I: Isa>(form: &MaskForm, ranks: &[u16], answers: &mut Vec<u8>) {
    answers.resize(MOST_LEAVES + form.tests(), 0);
    let (leaves, asked) = answers.split_at_mut(MOST_LEAVES);
    // leaves pass, and lead to themselves
    leaves.fill(0);
    for column in &form.columns {
        let byte = column.byte(ranks[column.lookup]);
        let bounds = &form.bounds[column.tests.clone()];
        for (answer, bound) in asked[column.tests.clone()].iter_mut().zip(bounds) {
            *answer = u8::from(byte > *bound);
        }
    }
    for table in &form.sets {
        let passed = table.row(ranks[table.lookup]);
        for (answers, passed) in asked[table.tests.clone()].as_chunks_mut().0.iter_mut().zip(passed) {
            I::spread(!passed, answers);
        }
    }
}

/// One row's leaf of each tree.
#[expect(unsafe_code, reason = "every index is of the form's own, and each is looked up some thousand times a row")]
#[inline(always)]
fn descend(form: &MaskForm, nodes: &[MaskNode], answers: &[u8], leaves: &mut Vec<u8>) {
    let starts = form.starts();
    for from in (0..starts.len() - 1).step_by(LANES) {
        let starts = &starts[from..starts.len().min(from + LANES + 1)];
        let count = starts.len() - 1;
        let mut first = [starts[0]; LANES];
        first[..count].copy_from_slice(&starts[..count]);
        let mut at = [0_u32; LANES];
        let node = |first: u32, at: u32| {
            // SAFETY: a tree's nodes name only nodes of the tree
            unsafe { *nodes.get_unchecked((first + at) as usize) }
        };
        let mut deeper = form.depth(from..from + count);
        // who has arrived stays
        while deeper > 0 {
            for _ in 0..deeper.min(LEVELS) {
                for lane in 0..LANES {
                    let MaskNode { test, pass } = node(first[lane], at[lane]);
                    // SAFETY: there is an answer for each leaf and each question
                    let answer = unsafe { *answers.get_unchecked(usize::from(test)) };
                    at[lane] = u32::from(pass) + u32::from(answer);
                }
            }
            deeper = deeper.saturating_sub(LEVELS);
            // of few levels more it is not worth asking
            if deeper > LEVELS && (0..LANES).all(|lane| usize::from(node(first[lane], at[lane]).test) < MOST_LEAVES) {
                break;
            }
        }
        leaves.extend((0..count).map(|lane| node(first[lane], at[lane]).test as u8));
    }
}

/// Adds the leaves of trees to walk for one row, whose columns' numbers are `numbers`.
#[inline(always)]
pub(super) fn walk<I: Isa>(part: &Part, form: &WalkForm, numbers: &[f64], scratch: &mut FewScratch, sums: &mut Sums) {
    let ranks = &mut scratch.ranks;
    rank::<I>(&form.lookups, numbers, ranks);
    for (number, trees) in form.trees.chunks(LANES).enumerate() {
        let mut at = [LEAF; LANES];
        at.iter_mut().zip(trees).for_each(|(at, tree)| *at = tree.root);
        let mut under_way = !form.splits.is_empty();
        while under_way {
            under_way = false;
            for at in &mut at {
                let walks = *at & LEAF == 0;
                let next = step(form, &form.splits[if walks { *at as usize } else { 0 }], |lookup| ranks[lookup]);
                *at = if walks { next } else { *at };
                under_way |= walks;
            }
        }
        let of = |lane: usize| {
            let tree = &trees[lane];
            Found { values: tree.values, leaf: (at[lane] & !LEAF) as usize, leaves: tree.leaves }
        };
        let found = (0..trees.len()).map(of);
        match (&part.values, &mut *sums) {
            (Values::Single(table), Sums::Single(sums)) => add_found(table, &part.layout, number * LANES, found, sums),
            (Values::Double(table), Sums::Double(sums)) => add_found(table, &part.layout, number * LANES, found, sums),
            _ => {}
        }
    }
}

/// Where a row goes from a split.
#[inline(always)]
pub(super) fn step(form: &WalkForm, split: &WalkSplit, rank: impl Fn(usize) -> u16) -> u32 {
    let rank = rank(usize::from(split.lookup & !(MISSING_LEFT | ONE_OF)));
    let left = if rank == MISSING {
        split.lookup & MISSING_LEFT != 0
    } else if split.lookup & ONE_OF == 0 {
        rank <= split.key
    } else {
        let set = &form.sets[usize::from(split.key)];
        set.get(usize::from(rank / 64)).is_some_and(|word| word >> (rank % 64) & 1 == 1)
    };
    split.children[usize::from(!left)]
}

/// What one row found in a tree.
struct Found {
    /// Where the tree's numbers begin.
    values: usize,
    leaf: usize,
    /// How many leaves the tree has.
    leaves: usize,
}

/// Adds each tree's leaf to one row's sums.
#[inline(always)]
fn add_leaves(part: &Part, form: &MaskForm, leaves: impl Iterator<Item = u8>, sums: &mut Sums) {
    let of = |(number, (ends, leaf)): (usize, (&[u32; 2], u8))| {
        let [first, end] = ends.map(|end| end as usize);
        Found { values: form.values(number, first), leaf: usize::from(leaf), leaves: (end - first) / 2 + 1 }
    };
    let found = form.starts().array_windows().zip(leaves).enumerate().map(of);
    match (&part.values, sums) {
        (Values::Single(table), Sums::Single(sums)) => add_found(table, &part.layout, 0, found, sums),
        (Values::Double(table), Sums::Double(sums)) => add_found(table, &part.layout, 0, found, sums),
        _ => {}
    }
}

/// Adds the leaves of some trees, the first of which is number `first` of the part, to one row's sums.
#[inline(always)]
fn add_found<F: Copy + std::ops::AddAssign>(
    table: &[F],
    layout: &Layout,
    first: usize,
    found: impl Iterator<Item = Found>,
    sums: &mut [F],
) {
    match layout {
        Layout::Targets(targets) => {
            let mut targets = targets[first..].iter();
            let Some(mut target) = targets.clone().next().map(|target| *target as usize) else { return };
            // trees of one target follow each other
            let mut sum = sums[target];
            for (found, of) in found.zip(targets.by_ref()) {
                if target != *of as usize {
                    sums[target] = sum;
                    target = *of as usize;
                    sum = sums[target];
                }
                sum += table[found.values + found.leaf];
            }
            sums[target] = sum;
        }
        Layout::Columns(2) => add_columns::<F, 2>(table, found, sums),
        Layout::Columns(3) => add_columns::<F, 3>(table, found, sums),
        Layout::Columns(_) => add_columns::<F, 4>(table, found, sums),
        Layout::Rows => {
            let each = sums.len();
            for found in found {
                let leaf = &table[found.values + found.leaf * each..];
                sums.iter_mut().zip(leaf).for_each(|(sum, value)| *sum += *value);
            }
        }
    }
}

/// Leaves of so many numbers; the sums stay in registers.
#[expect(unsafe_code, reason = "every index is of the form's own, and this is a third of a small forest's time")]
#[inline(always)]
fn add_columns<F: Copy + std::ops::AddAssign, const EACH: usize>(
    table: &[F],
    found: impl Iterator<Item = Found>,
    to: &mut [F],
) {
    let Some(to) = to.first_chunk_mut::<EACH>() else { return };
    let mut sums = *to;
    for found in found {
        let from = found.values + found.leaf;
        for (column, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a tree's leaf has its number in each of the tree's columns
            *sum += unsafe { *table.get_unchecked(from + column * found.leaves) };
        }
    }
    *to = sums;
}

/// The rank of each lookup's number in one row.
#[expect(clippy::cast_possible_truncation, reason = "the cast is the library's")]
#[inline(always)]
fn rank<I: Isa>(lookups: &[Lookup], numbers: &[f64], ranks: &mut Vec<u16>) {
    ranks.resize(lookups.len(), 0);
    for (rank, lookup) in ranks.iter_mut().zip(lookups) {
        let x = numbers[lookup.column as usize];
        *rank = match &lookup.keys {
            _ if lookup.is_missing(x) => MISSING,
            Keys::Single(keys) if keys.len() <= COUNTED => I::below_single(keys.ascending(), x as f32),
            Keys::Double(keys) if keys.len() <= COUNTED => I::below_double(keys.ascending(), x),
            _ => lookup.rank(x),
        };
    }
}

/// The numbers of a row's columns, prepared and not cast.
#[inline(always)]
pub(super) fn numbers<T: super::Element>(answer: &Answer, row: ndarray::ArrayView1<'_, T>, to: &mut Vec<f64>) {
    to.clear();
    if answer.columns.is_empty() {
        to.extend(row.iter().map(|x| x.widen()));
    } else {
        let prepared = answer.columns.iter();
        to.extend(prepared.map(|column| row.get(column.feature as usize).map_or(f64::NAN, |x| x.prepare(column))));
    }
}
