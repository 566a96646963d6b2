//! Runs trees laid out for masks: a block of rows asks every question once, then all rows walk a tree at once. Each row
//! ends in exactly one leaf, so that a leaf's number can be read off the masks bit by bit.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]

use std::mem::MaybeUninit;

use ndarray::ArrayView2;

use super::element::Element;
use super::input::Numbers;
use super::isa::{EIGHT, Isa, WORD};
use super::sums::{Sums, To, add};
use crate::compiled::{
    Answer, Keys, Layout, Lookup, MISSING, MOST_LEAVES, MOST_NODES, MaskForm, MaskTree, Part, Values,
};

/// Trees whose leaves are found before they are added.
pub(super) const TREES: usize = 16;

/// One bit for each row of a block.
pub(super) trait Mask: Copy + AsRef<[u64]> + AsMut<[u64]> {
    /// Words of 64 rows.
    const WORDS: usize;
    const NONE: Self;
    const ALL: Self;
    fn and<I: Isa>(self, other: Self) -> Self;
    fn and_not<I: Isa>(self, other: Self) -> Self;
    fn or<I: Isa>(self, other: Self) -> Self;
}

/// 512 rows: a register, or several.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Wide([u64; EIGHT]);

/// 64 rows.
#[derive(Clone, Copy)]
pub(super) struct Narrow([u64; 1]);

impl Mask for Wide {
    const WORDS: usize = EIGHT;
    const NONE: Self = Self([0; EIGHT]);
    const ALL: Self = Self([u64::MAX; EIGHT]);

    #[inline(always)]
    fn and<I: Isa>(self, other: Self) -> Self {
        Self(I::and(&self.0, &other.0))
    }

    #[inline(always)]
    fn and_not<I: Isa>(self, other: Self) -> Self {
        Self(I::and_not(&self.0, &other.0))
    }

    #[inline(always)]
    fn or<I: Isa>(self, other: Self) -> Self {
        Self(I::or(&self.0, &other.0))
    }
}

impl Mask for Narrow {
    const WORDS: usize = 1;
    const NONE: Self = Self([0]);
    const ALL: Self = Self([u64::MAX]);

    #[inline(always)]
    fn and<I: Isa>(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0]])
    }

    #[inline(always)]
    fn and_not<I: Isa>(self, other: Self) -> Self {
        Self([self.0[0] & !other.0[0]])
    }

    #[inline(always)]
    fn or<I: Isa>(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0]])
    }
}

macro_rules! words {
    ($name:ty) => {
        impl AsRef<[u64]> for $name {
            #[inline(always)]
            fn as_ref(&self) -> &[u64] {
                &self.0
            }
        }

        impl AsMut<[u64]> for $name {
            #[inline(always)]
            fn as_mut(&mut self) -> &mut [u64] {
                &mut self.0
            }
        }
    };
}

words!(Wide);
words!(Narrow);

/// Memory that is used again.
pub(super) struct MaskScratch<M> {
    numbers: Numbers,
    ranks: Vec<u16>,
    bytes: Vec<[u8; WORD]>,
    /// One for each question.
    answers: Vec<M>,
    /// The rows that come to each node of a tree.
    reach: Box<[M; MOST_NODES]>,
    /// For each of some trees, each row's leaf.
    leaves: Vec<[u8; WORD]>,
}

impl<M: Mask> Default for MaskScratch<M> {
    fn default() -> Self {
        Self {
            numbers: Numbers::default(),
            ranks: Vec::new(),
            bytes: Vec::new(),
            answers: Vec::new(),
            reach: Box::new([M::NONE; MOST_NODES]),
            leaves: Vec::new(),
        }
    }
}

/// Adds the leaves of the part's trees for a block of at most as many rows as a mask has bits.
#[inline(always)]
pub(super) fn run<I: Isa, T: Element, M: Mask>(
    (part, form): (&Part, &MaskForm),
    answer: &Answer,
    rows: ArrayView2<'_, T>,
    scratch: &mut MaskScratch<M>,
    sums: &mut Sums,
) {
    ask::<I, T, M>(form, answer, rows, scratch);
    let MaskScratch { answers, reach, leaves, .. } = scratch;
    leaves.resize(TREES * M::WORDS, [0; WORD]);
    let mut trees = form.trees();
    let mut first = 0;
    while trees.len() > 0 {
        let mut starts = [(0, 0); TREES];
        let mut count = 0;
        for (tree, (leaves, start)) in
            trees.by_ref().take(TREES).zip(leaves.chunks_exact_mut(M::WORDS).zip(&mut starts))
        {
            find::<I, M>(form, &tree, answers, reach, leaves);
            *start = (tree.values, tree.leaves());
            count += 1;
        }
        add_trees::<I>(part, first, &starts[..count], (leaves, rows.nrows()), sums);
        first += count;
    }
}

/// Adds the leaves found of some trees, the first of which is number `first` of the part.
#[inline(always)]
pub(super) fn add_trees<I: Isa>(
    part: &Part,
    first: usize,
    starts: &[(usize, usize)],
    (leaves, rows): (&[[u8; WORD]], usize),
    sums: &mut Sums,
) {
    let to = match &part.layout {
        Layout::Targets(targets) => To::Targets(&targets[first..first + starts.len()]),
        Layout::Columns(count) => To::Columns(*count),
        Layout::Rows => To::Rows,
    };
    match (&part.values, sums) {
        (Values::Single(values), Sums::Single(sums)) => add::<I, f32>(values, starts, to, (leaves, rows), sums),
        (Values::Double(values), Sums::Double(sums)) => add::<I, f64>(values, starts, to, (leaves, rows), sums),
        _ => {}
    }
}

/// Answers every question for every row.
#[inline(always)]
fn ask<I: Isa, T: Element, M: Mask>(
    form: &MaskForm,
    answer: &Answer,
    rows: ArrayView2<'_, T>,
    scratch: &mut MaskScratch<M>,
) {
    let MaskScratch { numbers, ranks, bytes, answers, .. } = scratch;
    ranks.resize(M::WORDS * WORD, 0);
    bytes.resize(M::WORDS, [0; WORD]);
    answers.resize(form.tests(), M::NONE);
    let mut ranked = usize::MAX;
    for column in &form.columns {
        // no closure: it would not be compiled for the instructions that this is compiled for
        if ranked != column.lookup
            && let Some(lookup) = form.lookups.get(column.lookup)
        {
            rank_column::<I, T>(lookup, answer, rows, numbers, ranks);
            ranked = column.lookup;
        }
        cut(ranks, column.from, column.missing_passes, bytes);
        let range = column.tests.clone();
        let bounds = form.bounds.get(range.clone()).unwrap_or_default();
        for (passed, bound) in answers.get_mut(range).unwrap_or_default().iter_mut().zip(bounds) {
            for (word, bytes) in passed.as_mut().iter_mut().zip(&*bytes) {
                *word = I::at_most(bytes, *bound);
            }
        }
    }
    for table in &form.sets {
        let Some(lookup) = form.lookups.get(table.lookup) else { return };
        rank_column::<I, T>(lookup, answer, rows, numbers, ranks);
        for (word, ranks) in ranks.as_chunks::<WORD>().0.iter().enumerate() {
            for (tile, tests) in answers[table.tests.clone()].as_chunks_mut::<WORD>().0.iter_mut().enumerate() {
                // one row after another says which questions it passes; a question wants to know which rows
                let mut bits: [u64; WORD] = std::array::from_fn(|row| table.row(ranks[row])[tile]);
                transpose(&mut bits);
                tests.iter_mut().zip(bits).for_each(|(passed, bits)| passed.as_mut()[word] = bits);
            }
        }
    }
}

/// Of 64 words of 64 bits: bit `b` of word `w` becomes bit `w` of word `b`. Blocks are swapped, half as large each time.
#[inline(always)]
fn transpose(words: &mut [u64; WORD]) {
    let mut low = u64::MAX >> 32;
    let mut size = 32;
    while size > 0 {
        for pair in words.chunks_exact_mut(2 * size) {
            let (upper, lower) = pair.split_at_mut(size);
            for (upper, lower) in upper.iter_mut().zip(lower) {
                let changed = (*upper >> size ^ *lower) & low;
                *lower ^= changed;
                *upper ^= changed << size;
            }
        }
        size /= 2;
        low ^= low << size;
    }
}

#[inline(always)]
pub(super) fn rank_column<I: Isa, T: Element>(
    lookup: &Lookup,
    answer: &Answer,
    rows: ArrayView2<'_, T>,
    numbers: &mut Numbers,
    ranks: &mut [u16],
) {
    match &lookup.keys {
        Keys::Single(keys) => {
            let numbers = numbers.single(lookup, answer, rows, ranks.len());
            I::ranks_single(keys, numbers, ranks);
        }
        Keys::Double(keys) => {
            let numbers = numbers.double(lookup, answer, rows, ranks.len());
            I::ranks_double(keys, numbers, ranks);
        }
        Keys::Categories(..) => {
            let numbers = numbers.double(lookup, answer, rows, ranks.len());
            ranks.iter_mut().zip(numbers).for_each(|(rank, x)| *rank = lookup.rank(*x));
        }
    }
}

/// Ranks as bytes: those from `from` on.
#[inline(always)]
pub(super) fn cut(ranks: &[u16], from: u16, missing_passes: bool, bytes: &mut [[u8; WORD]]) {
    let bytes = bytes.as_flattened_mut().iter_mut().zip(ranks);
    if missing_passes {
        bytes.for_each(|(byte, rank)| {
            *byte = if *rank == MISSING { 0 } else { rank.saturating_sub(from).min(255) as u8 };
        });
    } else {
        bytes.for_each(|(byte, rank)| *byte = rank.saturating_sub(from).min(255) as u8);
    }
}

/// Each row's leaf of one tree.
#[inline(always)]
fn find<I: Isa, M: Mask>(
    form: &MaskForm,
    tree: &MaskTree<'_>,
    answers: &[M],
    reach: &mut [M; MOST_NODES],
    found: &mut [[u8; WORD]],
) {
    let mut planes = [M::NONE; 8];
    let used = if tree.is_oblivious {
        // the last level's question is the lowest bit; who passes goes left
        for level in 0..tree.depth {
            let question = tree.splits[(1 << level) - 1];
            planes[tree.depth - 1 - level] = M::ALL.and_not::<I>(answers[usize::from(question)]);
        }
        tree.depth
    } else {
        descend::<I, M>(form, tree, answers, reach);
        number::<I, M>(form, tree, reach, &mut planes)
    };
    for (word, found) in found.iter_mut().enumerate() {
        I::bytes(planes[..used].iter().map(|plane| plane.as_ref()[word]), found);
    }
}

/// The rows that come to each node.
#[expect(
    unsafe_code,
    reason = "a form's constructor checked what every index here comes from, and this is the hottest loop"
)]
#[inline(always)]
fn descend<I: Isa, M: Mask>(form: &MaskForm, tree: &MaskTree<'_>, answers: &[M], reach: &mut [M; MOST_NODES]) {
    reach[0] = M::ALL;
    let mut questions = tree.splits.iter();
    // where who passes goes
    let mut pass = 1;
    for from in (0..tree.nodes()).step_by(64) {
        let (_, mut splits) = form.kinds(tree, from);
        while splits != 0
            && let Some(question) = questions.next()
        {
            let at = from + splits.trailing_zeros() as usize;
            splits &= splits - 1;
            // SAFETY: a split's question is one of the form's
            let passed = unsafe { *answers.get_unchecked(usize::from(*question)) };
            // a node's place is below `MOST_NODES`: taking the rest of it costs less than asking
            let here = reach[at % MOST_NODES];
            reach[pass % MOST_NODES] = here.and::<I>(passed);
            reach[(pass + 1) % MOST_NODES] = here.and_not::<I>(passed);
            pass += 2;
        }
    }
}

/// The bits of the leaves' numbers, from the rows that come to each node. Returns how many bits there are.
#[expect(unsafe_code, reason = "clearing what is written at once costs as much as writing it")]
#[inline(always)]
fn number<I: Isa, M: Mask>(
    form: &MaskForm,
    tree: &MaskTree<'_>,
    reach: &[M; MOST_NODES],
    planes: &mut [M; 8],
) -> usize {
    let mut masks = [const { MaybeUninit::<M>::uninit() }; MOST_LEAVES];
    let mut order = tree.order.iter();
    for from in (0..tree.nodes()).step_by(64) {
        let (mut leaves, _) = form.kinds(tree, from);
        while leaves != 0
            && let Some(place) = order.next()
        {
            let at = from + leaves.trailing_zeros() as usize;
            leaves &= leaves - 1;
            masks[usize::from(*place)].write(reach[at % MOST_NODES]);
        }
    }
    // SAFETY: a tree has as many leaves as its order has places, and that has each place once
    let mut masks = unsafe { masks[..tree.order.len()].assume_init_mut() };
    let mut used = 0;
    while masks.len() > 1 {
        planes[used] = halve::<I, M>(masks);
        let pairs = masks.len().div_ceil(2);
        masks = &mut masks[..pairs];
        used += 1;
    }
    used
}

/// Joins masks two by two. Returns the rows of the second ones: those with this bit set in their place.
#[inline(always)]
fn halve<I: Isa, M: Mask>(masks: &mut [M]) -> M {
    let mut odd = M::NONE;
    let pairs = masks.len() / 2;
    for pair in 0..pairs {
        let (even, uneven) = (masks[2 * pair], masks[2 * pair + 1]);
        odd = odd.or::<I>(uneven);
        masks[pair] = even.or::<I>(uneven);
    }
    if masks.len() % 2 == 1 {
        masks[pairs] = masks[masks.len() - 1];
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let mut state = 1_u64;
        let words: [u64; WORD] = std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state ^ state >> 29
        });
        let mut turned = words;
        transpose(&mut turned);
        for (at, word) in words.iter().enumerate() {
            for (bit, column) in turned.iter().enumerate() {
                assert_eq!(word >> bit & 1, column >> at & 1, "{at} {bit}");
            }
        }
        transpose(&mut turned);
        assert_eq!(turned, words);
    }
}
