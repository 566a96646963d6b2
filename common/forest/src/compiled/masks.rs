//! Trees laid out for masks: every question that the trees ask is asked once for a block of rows, its answers are one bit a
//! row, and trees are then walked by all rows of the block at once with nothing but AND. The same splits serve one row
//! alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;

use super::lookup::{Keys, Lookup, MISSING, OTHER, round_down};
use crate::model::{Model, Node, Precision, Split, Test, Tree};

/// Ranks that fit one byte beside the byte of NaN: a column with more keys is cut into segments of so many.
pub(crate) const SEGMENT: usize = 255;
/// Categories of a column, at most: a question about it takes a bit for each.
const MOST_CATEGORIES: usize = 510;
/// Questions that stand in one word of [`SetTable::bits`].
const WORD: usize = 64;
/// Questions of one form, at most.
pub(crate) const MOST_TESTS: usize = u16::MAX as usize;
/// Leaves of a tree, at most: a row's leaf is one byte.
pub(crate) const MOST_LEAVES: usize = 256;

/// 4 bytes a node: at most twice as many a split.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct MaskNode {
    /// Below [`MOST_LEAVES`]: a leaf, and which. Else which question, counted from there.
    pub(crate) test: u16,
    /// Where in the tree who passes goes; who does not goes to the node after that. A leaf leads to itself.
    pub(crate) pass: u16,
}

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
    /// Of all trees; a tree's parents stand before their children, and its leaves are numbered as they stand.
    pub(crate) nodes: Vec<MaskNode>,
    /// For each node whether it is a leaf, and a word after the last.
    is_leaf: Vec<u64>,
    /// For each tree its first node, and the end of the last.
    starts: Vec<u32>,
    kinds: Vec<Kind>,
    values_each: usize,
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
    pub(crate) nodes: &'f [MaskNode],
    /// Where its first node stands among all.
    pub(crate) first: usize,
    /// Levels of splits.
    pub(crate) depth: usize,
    /// Whether all leaves are on one level and each level asks one question.
    pub(crate) is_oblivious: bool,
    /// Where its first leaf's number stands among the leaves' values.
    pub(crate) values: usize,
}

/// The sets that are asked of one column of categories.
#[derive(Debug, Clone)]
pub(crate) struct SetTable {
    /// Which lookup.
    pub(crate) lookup: usize,
    /// Its questions, and as many after them as fill a word.
    pub(crate) tests: Range<usize>,
    /// For each category, for another one and for NaN: a bit for each question that it passes.
    bits: Vec<u64>,
    categories: usize,
}

impl SetTable {
    /// What a rank passes: a word for 64 questions.
    #[inline(always)]
    pub(crate) fn row(&self, rank: u16) -> &[u64] {
        let row = match rank {
            MISSING => self.categories + 1,
            OTHER => self.categories,
            rank => usize::from(rank),
        };
        let words = self.tests.len() / WORD;
        self.bits.get(row * words..(row + 1) * words).unwrap_or_default()
    }
}

/// A set while the form is built: the ranks of its categories, and whether NaN is one.
type Members = (Vec<u16>, bool);

/// A question while the form is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Ask {
    /// Lookup, segment, where NaN goes, bound: in the order in which the columns stand.
    Bound(usize, u16, bool, u8),
    /// Lookup, place among its sets.
    Set(usize, usize),
}

/// The questions of some trees, collected.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    numeric: BTreeMap<(u32, bool), BTreeSet<Bits>>,
    categories: BTreeMap<u32, BTreeSet<i64>>,
}

/// A threshold that sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bits(i64);

impl Bits {
    fn new(x: f64) -> Self {
        // -0.0 and 0.0 compare the same
        let bits = (x + 0.0).to_bits().cast_signed();
        Self(if bits < 0 { bits ^ i64::MAX } else { bits })
    }

    fn get(self) -> f64 {
        f64::from_bits((if self.0 < 0 { self.0 ^ i64::MAX } else { self.0 }).cast_unsigned())
    }
}

impl Asked {
    pub(crate) fn add(&mut self, tree: &Tree, precision: Precision) {
        for split in tree.splits() {
            match split.test {
                Test::AtMost(threshold) => {
                    let threshold =
                        if precision == Precision::Single { f64::from(round_down(threshold)) } else { threshold };
                    let keys = self.numeric.entry((split.column, split.zero_is_missing)).or_default();
                    keys.insert(Bits::new(threshold));
                }
                Test::OneOf(set) => {
                    let set = tree.sets().get(set as usize).into_iter().flatten();
                    self.categories.entry(split.column).or_default().extend(set);
                }
            }
        }
    }

    /// `None` if a column has more keys than a rank can count.
    pub(crate) fn lookups(&self, model: &Model) -> Option<Lookups> {
        let mut lookups = Lookups::default();
        let input = model.input();
        for ((column, zero_is_missing), thresholds) in &self.numeric {
            let thresholds: Vec<f64> = thresholds.iter().map(|bits| bits.get()).collect();
            lookups.numeric.insert((*column, *zero_is_missing), lookups.all.len());
            lookups.all.push(Lookup::numeric(*column, *zero_is_missing, input.precision, &thresholds)?);
        }
        for (column, categories) in &self.categories {
            lookups.categories.insert(*column, lookups.all.len());
            if categories.len() >= OTHER as usize {
                return None;
            }
            let keys = Keys::Categories(input.category, categories.iter().copied().collect());
            lookups.all.push(Lookup { column: *column, zero_is_missing: false, keys });
        }
        Some(lookups)
    }
}

/// Lookups, and which is whose.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) all: Vec<Lookup>,
    numeric: HashMap<(u32, bool), usize>,
    categories: HashMap<u32, usize>,
}

impl Lookups {
    /// Which lookup answers a split.
    pub(crate) fn of(&self, split: &Split) -> Option<usize> {
        match split.test {
            Test::AtMost(_) => self.numeric.get(&(split.column, split.zero_is_missing)).copied(),
            Test::OneOf(_) => self.categories.get(&split.column).copied(),
        }
    }
}

/// Questions of some trees and the sets among them, each once.
struct Questions<'l> {
    lookups: &'l Lookups,
    /// Of each lookup.
    sets: BTreeMap<usize, Vec<Members>>,
    known: HashMap<(usize, Members), usize>,
}

impl Questions<'_> {
    /// `None` where a byte is too small.
    fn ask(&mut self, tree: &Tree, split: &Split) -> Option<Ask> {
        let lookup = self.lookups.of(split)?;
        match split.test {
            Test::AtMost(threshold) => {
                let place = self.lookups.all.get(lookup)?.place(threshold)? as usize;
                let segment = u16::try_from(place / SEGMENT).ok()?;
                let bound = u8::try_from(place % SEGMENT).ok()?;
                Some(Ask::Bound(lookup, segment, split.missing_left, bound))
            }
            Test::OneOf(set) => {
                let Keys::Categories(_, keys) = &self.lookups.all.get(lookup)?.keys else { return None };
                if keys.len() > MOST_CATEGORIES {
                    return None;
                }
                let rank = |category: &i64| keys.binary_search(category).ok().map(|place| place as u16);
                let members: Vec<u16> = tree.sets().get(set as usize)?.iter().map(rank).collect::<Option<_>>()?;
                let members = (members, split.missing_left);
                let sets = self.sets.entry(lookup).or_default();
                if let Some(place) = self.known.get(&(lookup, members.clone())) {
                    return Some(Ask::Set(lookup, *place));
                }
                sets.push(members.clone());
                self.known.insert((lookup, members), sets.len() - 1);
                Some(Ask::Set(lookup, sets.len() - 1))
            }
        }
    }
}

impl MaskTree<'_> {
    pub(crate) fn leaves(&self) -> usize {
        self.nodes.len() / 2 + 1
    }
}

impl MaskForm {
    /// Of trees that ask what `lookups` answer, and for each tree the order of its leaves; `None` if they do not fit the form.
    pub(crate) fn new(trees: &[&Tree], lookups: Lookups, values_each: usize) -> Option<(Self, Vec<Vec<u32>>)> {
        let mut questions = Questions { lookups: &lookups, sets: BTreeMap::new(), known: HashMap::new() };
        let mut asked: Vec<Vec<Ask>> = Vec::with_capacity(trees.len());
        for tree in trees {
            asked.push(tree.splits().map(|split| questions.ask(tree, split)).collect::<Option<_>>()?);
        }
        let all: BTreeSet<Ask> = asked.iter().flatten().copied().collect();
        let mut form = Self {
            lookups: Vec::new(),
            columns: Vec::new(),
            bounds: Vec::new(),
            sets: Vec::new(),
            nodes: Vec::new(),
            is_leaf: Vec::new(),
            starts: vec![0],
            kinds: Vec::with_capacity(trees.len()),
            values_each,
        };
        for ask in &all {
            match *ask {
                Ask::Bound(lookup, segment, missing_passes, bound) => {
                    form.bound(lookup, u16::try_from(segment as usize * SEGMENT).ok()?, missing_passes, bound);
                }
                Ask::Set(..) => {}
            }
        }
        for (lookup, sets) in &questions.sets {
            form.set_table(*lookup, lookups.all.get(*lookup)?.len(), sets)?;
        }
        if form.tests() + MOST_LEAVES > MOST_TESTS {
            return None;
        }
        let first_set =
            |lookup: usize| form.sets.iter().find(|table| table.lookup == lookup).map(|table| table.tests.start);
        let number = |(at, ask): (usize, &Ask)| match *ask {
            Ask::Bound(..) => Some((*ask, at as u16)),
            Ask::Set(lookup, place) => Some((*ask, (first_set(lookup)? + place) as u16)),
        };
        // bounds come first among all
        let numbers: HashMap<Ask, u16> = all.iter().enumerate().map(number).collect::<Option<_>>()?;
        let mut leaves = Vec::with_capacity(trees.len());
        for (tree, asked) in trees.iter().zip(&asked) {
            leaves.push(form.add(tree, asked.iter().filter_map(|ask| numbers.get(ask)).copied())?);
        }
        form.lookups = lookups.all;
        form.is_leaf = vec![0; form.nodes.len() / 64 + 2];
        for (at, node) in form.nodes.iter().enumerate() {
            if usize::from(node.test) < MOST_LEAVES {
                *form.is_leaf.get_mut(at / 64)? |= 1 << (at % 64);
            }
        }
        form.nodes.shrink_to_fit();
        Some((form, leaves))
    }

    fn set_table(&mut self, lookup: usize, categories: usize, sets: &[Members]) -> Option<()> {
        let first = self.tests();
        let words = sets.len().div_ceil(WORD);
        let mut bits = vec![0_u64; words * (categories + 2)];
        for (at, (members, missing)) in sets.iter().enumerate() {
            let missing = missing.then_some(categories + 1);
            for row in members.iter().map(|rank| usize::from(*rank)).chain(missing) {
                *bits.get_mut(row * words + at / WORD)? |= 1 << (at % WORD);
            }
        }
        self.sets.push(SetTable { lookup, tests: first..first + words * WORD, bits, categories });
        Some(())
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

    /// Level by level: nodes that are met together stand together. Returns the leaves of the tree in their new order.
    fn add(&mut self, tree: &Tree, tests: impl Iterator<Item = u16>) -> Option<Vec<u32>> {
        if tree.leaves() > MOST_LEAVES {
            return None;
        }
        // tests are in the order of the tree's splits
        let splits = tree.nodes().iter().enumerate().filter(|(_, node)| matches!(node, Node::Split(_)));
        let tests: HashMap<usize, u16> = splits.map(|(at, _)| at).zip(tests).collect();
        let first = self.nodes.len();
        let mut leaves = Vec::with_capacity(tree.leaves());
        let mut waiting = VecDeque::from([0_u32]);
        let mut given = 1_u16;
        let mut place = 0_u16;
        while let Some(at) = waiting.pop_front() {
            self.nodes.push(match tree.nodes().get(at as usize)? {
                Node::Split(split) => {
                    waiting.extend([split.left, split.right]);
                    given += 2;
                    let test = tests.get(&(at as usize))?.checked_add(MOST_LEAVES as u16)?;
                    MaskNode { test, pass: given - 2 }
                }
                Node::Leaf(leaf) => {
                    leaves.push(*leaf);
                    MaskNode { test: leaves.len() as u16 - 1, pass: place }
                }
            });
            place += 1;
        }
        let depth = u8::try_from(tree.depth()).ok()?;
        let nodes = self.nodes.get(first..)?;
        let is_oblivious = depth < 16
            && tree.leaves() == 1 << depth
            && (0..depth).all(|level| {
                let level = nodes.get((1 << level) - 1..(1 << (level + 1)) - 1).unwrap_or_default();
                level.windows(2).all(|pair| matches!(pair, [one, other] if one.test == other.test))
            });
        self.kinds.push(Kind { depth, is_oblivious });
        self.starts.push(u32::try_from(self.nodes.len()).ok()?);
        Some(leaves)
    }

    /// In order.
    pub(crate) fn trees(&self) -> impl ExactSizeIterator<Item = MaskTree<'_>> {
        self.kinds.iter().zip(self.starts.windows(2)).enumerate().map(|(number, (kind, ends))| {
            let (first, end) = match ends {
                [first, end] => (*first as usize, *end as usize),
                _ => (0, 0),
            };
            MaskTree {
                nodes: self.nodes.get(first..end).unwrap_or_default(),
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

    /// Of 64 nodes of a tree from a place on, which are leaves, and which splits.
    #[inline(always)]
    pub(crate) fn kinds(&self, tree: &MaskTree<'_>, place: usize) -> (u64, u64) {
        let bit = tree.first + place;
        let word = |at: usize| self.is_leaf.get(at).copied().unwrap_or(0);
        let shift = bit % 64;
        let both = u128::from(word(bit / 64)) | u128::from(word(bit / 64 + 1)) << 64;
        let left = tree.nodes.len() - place;
        let all = if left < 64 { (1 << left) - 1 } else { u64::MAX };
        let leaves = (both >> shift) as u64 & all;
        (leaves, !leaves & all)
    }

    /// How many questions there are, with those that fill words.
    pub(crate) fn tests(&self) -> usize {
        self.sets.last().map_or(self.bounds.len(), |table| table.tests.end)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lookups.iter().map(Lookup::bytes).sum::<usize>()
            + size_of_val(&*self.columns)
            + size_of_val(&*self.bounds)
            + self.sets.iter().map(|table| size_of_val(&*table.bits)).sum::<usize>()
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.is_leaf)
            + size_of_val(&*self.starts)
            + size_of_val(&*self.kinds)
    }
}
