//! Runs trees laid out for masks: a block of rows asks every question once, then all rows walk a tree at once. Each row
//! ends in exactly one leaf, so that a leaf's number can be read off the masks bit by bit.
#![expect(clippy::indexing_slicing, reason = "a form's constructor checked what every index here comes from")]

use ndarray::ArrayView2;

use super::element::Element;
use super::input::Numbers;
use super::isa::{BYTES, Isa, WORD};
use crate::compiled::{Answer, Keys, Lookup, MISSING, MOST_LEAVES, MOST_NODES, MaskForm, MaskTree, Part, Values};

/// Trees whose leaves are found before they are added.
pub(super) const TREES: usize = 16;

/// One bit for each row of a block.
pub(super) trait Mask: Copy + AsRef<[u64]> + AsMut<[u64]> {
    /// Words of 64 rows.
    const WORDS: usize;
    const NONE: Self;
    const ALL: Self;
    fn and(self, other: Self) -> Self;
    fn and_not(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
}

/// `64 * W` rows: a register, or several.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Wide<const W: usize>([u64; W]);

/// 64 rows.
#[derive(Clone, Copy)]
pub(super) struct Narrow([u64; 1]);

macro_rules! mask {
    ($name:ty, $words:expr, $($generics:tt)*) => {
        impl<$($generics)*> Mask for $name {
            const WORDS: usize = $words;
            const NONE: Self = Self([0; $words]);
            const ALL: Self = Self([u64::MAX; $words]);

            #[inline(always)]
            fn and(self, other: Self) -> Self {
                Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
            }

            #[inline(always)]
            fn and_not(self, other: Self) -> Self {
                Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
            }

            #[inline(always)]
            fn or(self, other: Self) -> Self {
                Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
            }
        }

        impl<$($generics)*> AsRef<[u64]> for $name {
            #[inline(always)]
            fn as_ref(&self) -> &[u64] {
                &self.0
            }
        }

        impl<$($generics)*> AsMut<[u64]> for $name {
            #[inline(always)]
            fn as_mut(&mut self) -> &mut [u64] {
                &mut self.0
            }
        }
    };
}

mask!(Wide<W>, W, const W: usize);
mask!(Narrow, 1,);

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
        let mut starts = [0; TREES];
        let mut count = 0;
        for (tree, (leaves, start)) in
            trees.by_ref().take(TREES).zip(leaves.chunks_exact_mut(M::WORDS).zip(&mut starts))
        {
            find::<I, M>(form, &tree, answers, reach, leaves);
            *start = tree.values;
            count += 1;
        }
        let targets = part.targets.get(first..first + count).unwrap_or_default();
        let starts = &starts[..count];
        first += count;
        match (&part.values, &mut *sums) {
            (Values::Single(values), Sums::Single(sums)) => add::<I, f32>(values, starts, targets, leaves, sums),
            (Values::Double(values), Sums::Double(sums)) => add::<I, f64>(values, starts, targets, leaves, sums),
            _ => {}
        }
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
    let answers = answers.get_mut(form.bounds.len()..).unwrap_or_default();
    for (passed, (lookup, set)) in answers.iter_mut().zip(&form.sets) {
        if ranked != *lookup
            && let Some(found) = form.lookups.get(*lookup)
        {
            rank_column::<I, T>(found, answer, rows, numbers, ranks);
            ranked = *lookup;
        }
        // ranks of categories are below 254, or one of the two last of 16 bits: the low byte says the same
        ranks.iter().zip(bytes.as_flattened_mut()).for_each(|(rank, byte)| *byte = *rank as u8);
        for (word, bytes) in passed.as_mut().iter_mut().zip(&*bytes) {
            *word = I::one_of(bytes, set);
        }
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
fn cut(ranks: &[u16], from: u16, missing_passes: bool, bytes: &mut [[u8; WORD]]) {
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
    reach[0] = M::ALL;
    for from in (0..tree.nodes.len()).step_by(64) {
        let (_, mut splits) = form.kinds(tree, from);
        while splits != 0 {
            let at = from + splits.trailing_zeros() as usize;
            splits &= splits - 1;
            let node = tree.nodes[at];
            // a node's place is below `MOST_NODES`: taking the rest of it costs less than asking
            let pass = usize::from(node.pass) % MOST_NODES;
            let (here, passed) = (reach[at % MOST_NODES], answers[usize::from(node.test) - MOST_LEAVES]);
            reach[pass] = here.and(passed);
            reach[(pass + 1) % MOST_NODES] = here.and_not(passed);
        }
    }
    let mut planes = [M::NONE; 8];
    let mut masks = [M::NONE; MOST_LEAVES / 2];
    let mut count = pairs(form, tree, reach, &mut masks, &mut planes[0]);
    let mut used = usize::from(tree.nodes.len() > 1);
    while count > 1 {
        planes[used] = halve(&mut masks[..count]);
        count = count.div_ceil(2);
        used += 1;
    }
    for (word, found) in found.iter_mut().enumerate() {
        I::bytes(planes[..used].iter().map(|plane| plane.as_ref()[word]), found);
    }
}

/// Joins leaves two by two, as [`halve`], from where they stand among the nodes. Returns how many pairs there are.
#[inline(always)]
fn pairs<M: Mask>(
    form: &MaskForm,
    tree: &MaskTree<'_>,
    reach: &[M; MOST_NODES],
    masks: &mut [M; MOST_LEAVES / 2],
    odd: &mut M,
) -> usize {
    let mut count = 0;
    let mut even = None;
    for from in (0..tree.nodes.len()).step_by(64) {
        let (mut leaves, _) = form.kinds(tree, from);
        while leaves != 0 {
            let mask = reach[(from + leaves.trailing_zeros() as usize) % MOST_NODES];
            leaves &= leaves - 1;
            match even.take() {
                None => even = Some(mask),
                Some(even) => {
                    *odd = odd.or(mask);
                    masks[count % (MOST_LEAVES / 2)] = mask.or(even);
                    count += 1;
                }
            }
        }
    }
    if let Some(last) = even {
        masks[count % (MOST_LEAVES / 2)] = last;
        count += 1;
    }
    count
}

/// Joins masks two by two. Returns the rows of the second ones: those with this bit set in their place.
#[inline(always)]
fn halve<M: Mask>(masks: &mut [M]) -> M {
    let mut odd = M::NONE;
    let pairs = masks.len() / 2;
    for pair in 0..pairs {
        let (even, uneven) = (masks[2 * pair], masks[2 * pair + 1]);
        odd = odd.or(uneven);
        masks[pair] = even.or(uneven);
    }
    if masks.len() % 2 == 1 {
        masks[pairs] = masks[masks.len() - 1];
    }
    odd
}

/// Running sums of a block.
pub(super) enum Sums {
    /// As [`Sums::Double`].
    Single(Vec<f32>),
    /// Margin after margin, a number for each row; where a leaf has several numbers, row after row.
    Double(Vec<f64>),
}

/// A precision of sums.
pub(super) trait Float: Copy + std::ops::AddAssign {
    fn add<I: Isa>(sums: &mut [Self; WORD], leaves: &[&[u8; WORD]], tables: &[&[Self; BYTES]]);
}

impl Float for f32 {
    #[inline(always)]
    fn add<I: Isa>(sums: &mut [Self; WORD], leaves: &[&[u8; WORD]], tables: &[&[Self; BYTES]]) {
        I::add_single(sums, leaves, tables);
    }
}

impl Float for f64 {
    #[inline(always)]
    fn add<I: Isa>(sums: &mut [Self; WORD], leaves: &[&[u8; WORD]], tables: &[&[Self; BYTES]]) {
        I::add_double(sums, leaves, tables);
    }
}

/// Adds the leaves found of at most [`TREES`] trees, each row's in the trees' order.
#[inline(always)]
fn add<I: Isa, F: Float>(values: &[F], starts: &[usize], targets: &[u32], leaves: &[[u8; WORD]], sums: &mut [F]) {
    // of a mask
    let words = leaves.len() / TREES;
    if targets.is_empty() {
        let each = sums.len() / (words * WORD);
        for (start, leaves) in starts.iter().copied().zip(leaves.chunks_exact(words)) {
            add_wide(sums, each, leaves.as_flattened(), values.get(start..).unwrap_or_default());
        }
        return;
    }
    // the values end with as many as a byte can name, so every tree has its table
    let Some(any) = values.first_chunk() else { return };
    let mut tables: [&[F; BYTES]; TREES] = [any; TREES];
    for (table, start) in tables.iter_mut().zip(starts.iter().copied()) {
        *table = values.get(start..).and_then(<[F]>::first_chunk).unwrap_or(any);
    }
    let mut from = 0;
    while let Some(target) = targets.get(from) {
        let run = targets.iter().skip(from).take_while(|other| *other == target).count();
        let sums = sums.get_mut(*target as usize * words * WORD..).unwrap_or_default();
        for (word, sums) in sums.as_chunks_mut::<WORD>().0.iter_mut().take(words).enumerate() {
            let mut columns: [&[u8; WORD]; TREES] = [&[0; WORD]; TREES];
            for (to, leaves) in columns.iter_mut().zip(leaves.chunks_exact(words).skip(from).take(run)) {
                *to = &leaves[word];
            }
            let tables = tables.get(from..from + run).unwrap_or_default();
            F::add::<I>(sums, &columns[..run], tables);
        }
        from += run;
    }
}

/// Leaves of `each` numbers: one for each margin.
#[inline(always)]
fn add_wide<F: Float>(sums: &mut [F], each: usize, leaves: &[u8], table: &[F]) {
    match each {
        2 => add_several::<F, 2>(sums, leaves, table),
        3 => add_several::<F, 3>(sums, leaves, table),
        4 => add_several::<F, 4>(sums, leaves, table),
        _ => {
            for (sums, leaf) in sums.chunks_exact_mut(each).zip(leaves) {
                let values = table.get(usize::from(*leaf) * each..).unwrap_or_default();
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
            }
        }
    }
}

#[inline(always)]
fn add_several<F: Float, const EACH: usize>(sums: &mut [F], leaves: &[u8], table: &[F]) {
    let table = table.as_chunks::<EACH>().0;
    for (sums, leaf) in sums.as_chunks_mut::<EACH>().0.iter_mut().zip(leaves) {
        if let Some(values) = table.get(usize::from(*leaf)) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
        }
    }
}
