//! Trees laid out for masks: every question that the trees ask is asked once for a block of rows, its answers are one bit a
//! row, and trees are then walked by all rows of the block at once with nothing but AND. The same splits serve one row
//! alone.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::few::Few;
use super::lookup::{Lookup, MISSING};
use super::questions::{Ask, Lookups, Questions, SetTable};
use super::shape::{InOrder, Levels, Shape};
use super::side_by_side::{self, ABREAST};
use crate::model::{Node, Tree};
use crate::predict::Processor;

/// Ranks that fit one byte beside the byte of NaN: a column with more keys is cut into segments of so many.
pub(crate) const SEGMENT: usize = 255;
/// Questions of one form, at most.
pub(crate) const MOST_TESTS: usize = u16::MAX as usize - MOST_LEAVES;
/// Leaves of a tree, at most: a row's leaf is one byte.
pub(crate) const MOST_LEAVES: usize = 256;

/// Of a tree with at most [`MOST_LEAVES`] leaves, and one more.
pub(crate) const MOST_NODES: usize = 2 * MOST_LEAVES;

/// A column of bytes: ranks of a lookup from one on, cut to a byte.
#[derive(Debug, Clone)]
pub(crate) struct ByteColumn {
    /// Which lookup.
    pub(crate) lookup: usize,
    /// The rank that is 0 here.
    pub(crate) from: u16,
    /// Whether NaN is 0, which passes every question; else 255, which passes none.
    pub(crate) missing_passes: bool,
    /// The questions asked of it.
    pub(crate) tests: Range<usize>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct MaskForm {
    pub(crate) lookups: Vec<Lookup>,
    /// Their questions come first, in this order.
    pub(crate) columns: Vec<ByteColumn>,
    /// For each question of [`MaskForm::columns`]: whether the byte is at most this.
    pub(crate) bounds: Vec<u8>,
    /// Their questions come after the others.
    pub(crate) sets: Vec<SetTable>,
    /// For each split its question; trees as [`Shape`] has them.
    splits: Vec<u16>,
    /// For each node whether it is a leaf, and a word after the last.
    is_leaf: Vec<u64>,
    /// For each tree its first node, and the end of the last.
    starts: Vec<u32>,
    kinds: Vec<Kind>,
    values_each: usize,
    /// Of each leaf, trees as [`Shape`] has them, its place in order, by which it has its number.
    orders: Vec<u8>,
    /// Whether each split asks a set of its own, as the trees stand side by side.
    pub(crate) sets_in_order: bool,
    /// The same trees for few rows.
    pub(crate) few: Few,
}

/// What a tree is like.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Levels of splits.
    depth: u8,
    is_oblivious: bool,
}

/// One tree's part of the arrays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaskTree<'f> {
    /// For each split its question.
    pub(crate) splits: &'f [u16],
    /// Of each leaf, level by level, its number: each once.
    pub(crate) order: &'f [u8],
    /// Where its first node stands among all.
    first: usize,
    /// Levels of splits.
    pub(crate) depth: usize,
    /// Whether all leaves are on one level and each level asks one question.
    pub(crate) is_oblivious: bool,
    /// Where its first leaf's number stands among the leaves' values.
    pub(crate) values: usize,
}

impl ByteColumn {
    /// Of a rank.
    #[inline(always)]
    pub(crate) fn byte(&self, rank: u16) -> u8 {
        if self.missing_passes && rank == MISSING { 0 } else { rank.saturating_sub(self.from).min(255) as u8 }
    }
}

impl MaskTree<'_> {
    pub(crate) fn leaves(&self) -> usize {
        self.splits.len() + 1
    }

    pub(crate) fn nodes(&self) -> usize {
        2 * self.splits.len() + 1
    }
}

impl MaskForm {
    /// Of trees that ask what `lookups` answer, and for each tree its leaves as they are numbered; `None` if they do not fit the form.
    pub(crate) fn new(trees: &[&Tree], lookups: Lookups, values_each: usize) -> Option<(Self, Vec<Vec<u32>>)> {
        if trees.iter().any(|tree| tree.leaves() > MOST_LEAVES) {
            return None;
        }
        let mut levels: Vec<Levels> = trees.iter().map(|tree| Levels::new(tree)).collect::<Option<_>>()?;
        let orders: Vec<InOrder> = levels.iter().map(|of| Shape::new(of.is_leaf.iter().copied()).in_order()).collect();
        let mut questions = Questions::new(&lookups, true);
        let mut asked = ask_all(trees, (&levels, &orders), &mut questions)?;
        let sets_in_order = questions.are_mostly_different();
        if !sets_in_order {
            questions = Questions::new(&lookups, false);
            asked = ask_all(trees, (&levels, &orders), &mut questions)?;
        }
        let mut form = Self {
            lookups: Vec::new(),
            columns: Vec::new(),
            bounds: Vec::new(),
            sets: Vec::new(),
            splits: Vec::new(),
            is_leaf: Vec::new(),
            starts: vec![0],
            kinds: Vec::with_capacity(trees.len()),
            values_each,
            orders: orders.iter().flat_map(|order| order.leaves.iter().copied()).collect(),
            sets_in_order,
            few: Few::default(),
        };
        let numbers = form.number(&asked, &questions)?;
        for ((tree, levels), asked) in trees.iter().zip(&levels).zip(&asked) {
            let questions = asked.iter().map(|ask| numbers.get(ask).copied()).collect::<Option<Vec<_>>>()?;
            form.add(tree, &levels.is_leaf, &questions)?;
        }
        form.is_leaf.extend([0, 0]);
        form.lookups = lookups.all;
        for (levels, order) in levels.iter_mut().zip(&orders) {
            levels.number(order)?;
        }
        Some((form, levels.into_iter().map(|levels| levels.leaves).collect()))
    }

    /// The same for another processor.
    pub(crate) fn suit(&mut self, processor: Processor) {
        self.few = Few::new(self, processor);
    }

    /// The number of each question.
    fn number(&mut self, asked: &[Vec<Ask>], questions: &Questions<'_>) -> Option<HashMap<Ask, u16>> {
        let all: BTreeSet<Ask> = asked.iter().flatten().copied().collect();
        for ask in &all {
            if let Ask::Bound(lookup, segment, missing_passes, bound) = *ask {
                self.bound(lookup, u16::try_from(segment as usize * SEGMENT).ok()?, missing_passes, bound);
            }
        }
        for (lookup, table) in questions.tables(self.tests()) {
            self.sets.push(table?);
            debug_assert_eq!(self.sets.last().map(|table| table.lookup), Some(lookup));
        }
        if self.tests() > MOST_TESTS {
            return None;
        }
        let first = |lookup: usize| self.sets.iter().find(|of| of.lookup == lookup).map(|of| of.tests.start);
        // bounds come first among all
        let number = |(at, ask): (usize, &Ask)| match *ask {
            Ask::Bound(..) => Some((*ask, at as u16)),
            Ask::Set(lookup, place) => Some((*ask, (first(lookup)? + place) as u16)),
        };
        all.iter().enumerate().map(number).collect()
    }

    fn bound(&mut self, lookup: usize, from: u16, missing_passes: bool, bound: u8) {
        let at = self.bounds.len();
        self.bounds.push(bound);
        match self.columns.last_mut() {
            Some(last) if (last.lookup, last.from, last.missing_passes) == (lookup, from, missing_passes) => {
                last.tests.end = at + 1;
            }
            _ => self.columns.push(ByteColumn { lookup, from, missing_passes, tests: at..at + 1 }),
        }
    }

    fn add(&mut self, tree: &Tree, is_leaf: &[bool], questions: &[u16]) -> Option<()> {
        let first = self.starts.last().copied()? as usize;
        self.is_leaf.resize((first + is_leaf.len()).div_ceil(64), 0);
        for at in is_leaf.iter().enumerate().filter(|(_, is_leaf)| **is_leaf).map(|(at, _)| first + at) {
            *self.is_leaf.get_mut(at / 64)? |= 1 << (at % 64);
        }
        let depth = u8::try_from(tree.depth()).ok()?;
        let asks_once = |level: u8| {
            let level = questions.get((1 << level) - 1..(1 << (level + 1)) - 1).unwrap_or_default();
            level.windows(2).all(|pair| matches!(pair, [one, other] if one == other))
        };
        let is_oblivious = depth < 16 && tree.leaves() == 1 << depth && (0..depth).all(asks_once);
        self.splits.extend_from_slice(questions);
        self.kinds.push(Kind { depth, is_oblivious });
        self.starts.push(u32::try_from(first + is_leaf.len()).ok()?);
        Some(())
    }

    /// In order.
    pub(crate) fn trees(&self) -> impl ExactSizeIterator<Item = MaskTree<'_>> {
        self.kinds.iter().zip(self.starts.windows(2)).enumerate().map(|(number, (kind, ends))| {
            let (first, end) = match ends {
                [first, end] => (*first as usize, *end as usize),
                _ => (0, 0),
            };
            // a tree has one split less than half its nodes
            let splits = (first - number) / 2..(end - number - 1) / 2;
            // and one split less than leaves
            let leaves = splits.start + number..splits.end + number + 1;
            MaskTree {
                splits: self.splits.get(splits).unwrap_or_default(),
                order: self.orders.get(leaves).unwrap_or_default(),
                first,
                depth: kind.depth.into(),
                is_oblivious: kind.is_oblivious,
                values: self.values(number, first),
            }
        })
    }

    /// Where the first leaf's number of a tree stands, of which the first node is `first`.
    #[inline(always)]
    pub(crate) fn values(&self, number: usize, first: usize) -> usize {
        // a tree has one node less than twice its leaves
        (first + number) / 2 * self.values_each
    }

    /// For each tree its first node, and the end of the last.
    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// Of the deepest of some trees.
    #[inline(always)]
    pub(crate) fn depth(&self, trees: Range<usize>) -> usize {
        self.kinds.get(trees).unwrap_or_default().iter().fold(0, |depth, kind| kind.depth.max(depth)).into()
    }

    /// Without its questions.
    pub(crate) fn shape(&self, tree: &MaskTree<'_>) -> Shape {
        let word = |at: usize| self.is_leaf.get(at / 64).copied().unwrap_or(0);
        Shape::new((tree.first..tree.first + tree.nodes()).map(|at| word(at) >> (at % 64) & 1 == 1))
    }

    /// Of 64 nodes of a tree from a place on, which are leaves, and which splits.
    #[inline(always)]
    pub(crate) fn kinds(&self, tree: &MaskTree<'_>, place: usize) -> (u64, u64) {
        let bit = tree.first + place;
        let word = |at: usize| self.is_leaf.get(at).copied().unwrap_or(0);
        let shift = bit % 64;
        let both = u128::from(word(bit / 64)) | u128::from(word(bit / 64 + 1)) << 64;
        let left = tree.nodes() - place;
        let all = if left < 64 { (1 << left) - 1 } else { u64::MAX };
        let leaves = (both >> shift) as u64 & all;
        (leaves, !leaves & all)
    }

    /// Of each question about a bound: whose byte, and the bound.
    pub(super) fn bytes_asked(&self) -> Vec<(u8, u8)> {
        let of = |(number, column): (usize, &ByteColumn)| {
            let bounds = self.bounds.get(column.tests.clone()).unwrap_or_default();
            bounds.iter().map(move |bound| (number as u8, *bound))
        };
        self.columns.iter().enumerate().flat_map(of).collect()
    }

    /// How many questions there are, with those that fill words.
    pub(crate) fn tests(&self) -> usize {
        self.sets.last().map_or(self.bounds.len(), |table| table.tests.end)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lookups.iter().map(Lookup::bytes).sum::<usize>()
            + size_of_val(&*self.columns)
            + size_of_val(&*self.bounds)
            + self.sets.iter().map(SetTable::bytes).sum::<usize>()
            + size_of_val(&*self.splits)
            + self.few.bytes()
            + size_of_val(&*self.is_leaf)
            + size_of_val(&*self.starts)
            + size_of_val(&*self.kinds)
            + size_of_val(&*self.orders)
    }
}

/// What each split of each tree asks. They are asked about as trees stand side by side.
fn ask_all(
    trees: &[&Tree],
    (levels, orders): (&[Levels], &[InOrder]),
    questions: &mut Questions<'_>,
) -> Option<Vec<Vec<Ask>>> {
    let mut asked: Vec<Vec<Option<Ask>>> = levels.iter().map(|levels| vec![None; levels.splits.len()]).collect();
    for group in side_by_side::arrange(levels.iter().map(|levels| levels.splits.len())).chunks(ABREAST) {
        for step in 0..group.first().map_or(0, |(_, splits)| *splits) {
            for (number, _) in group.iter().take_while(|(_, splits)| step < *splits) {
                let (split, _) = *orders.get(*number)?.splits.get(step)?;
                let (tree, levels) = (trees.get(*number)?, levels.get(*number)?);
                let Node::Split(of) = tree.nodes().get(*levels.splits.get(split)? as usize)? else { return None };
                *asked.get_mut(*number)?.get_mut(split)? = Some(questions.ask(tree, of)?);
            }
        }
    }
    asked.into_iter().map(|asked| asked.into_iter().collect()).collect()
}
