//! The trees of a mask form once more, for one row alone.

use super::masks::{MOST_LEAVES, MaskForm};
use super::shape::Child;
use crate::predict::Processor;

/// Byte columns that [`BitForm::columns`] can name.
pub(crate) const MOST_COLUMNS: usize = 128;
/// Tables of sets that a walk along paths asks.
pub(crate) const MOST_TABLES: usize = 16;
/// Splits of such a tree that ask sets of one table.
const PATH_SETS: u32 = 57;
/// Splits of a tree that is walked along paths: a word has a bit for each.
const PATH_SPLITS: usize = 64;
/// Levels of a complete tree.
const MOST_LEVELS: usize = 8;
/// In [`Paths::asides`]: from here on leaves.
pub(crate) const ASIDE_LEAF: u8 = 64;
/// Trees that are walked along equally many paths.
pub(crate) const PATH_TREES: usize = 16;
/// A byte is at most this.
const ALWAYS: u8 = u8::MAX;

/// How one row is taken.
#[derive(Debug, Clone)]
pub(crate) enum Few {
    /// Every question is asked once, then each tree is walked node by node.
    Nodes(Vec<MaskNode>),
    /// Every split is asked, 64 at once, then each tree's leaf is found among the bits.
    Bits(BitForm),
}

impl Default for Few {
    fn default() -> Self {
        Self::Nodes(Vec::new())
    }
}

/// 4 bytes a node: at most twice as many a split.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct MaskNode {
    /// Below [`MOST_LEAVES`]: a leaf, and which. Else which question, counted from there.
    pub(crate) test: u16,
    /// Where in the tree who passes goes; who does not goes to the node after that. A leaf leads to itself.
    pub(crate) pass: u16,
}

/// What each split asks: whether a byte is at most a bound.
#[derive(Debug, Clone)]
pub(crate) struct BitForm {
    /// Of each split, whose byte; filled up to a multiple of 64.
    pub(crate) columns: Vec<u8>,
    /// Of each split.
    pub(crate) bounds: Vec<u8>,
    pub(crate) walk: BitWalk,
}

/// How a leaf is found among the bits of its tree.
#[derive(Debug, Clone)]
pub(crate) enum BitWalk {
    Complete(Complete),
    Paths(Paths),
}

/// Every tree is filled up to so many levels, with splits that all rows pass.
#[derive(Debug, Clone)]
pub(crate) struct Complete {
    pub(crate) levels: u32,
    /// For each place below a tree's last level its leaf. 64 more after the last.
    pub(crate) leaves: Vec<u8>,
}

/// A tree's splits stand path after path.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// Of each split: where it leads beside its path: a split of the tree, or a leaf from [`ASIDE_LEAF`] on; at the end of a
    /// path, the first of its two leaves. As many more after the last as a byte can name.
    pub(crate) asides: Vec<u8>,
    pub(crate) groups: Vec<PathGroup>,
    /// For each table of sets and each tree: the splits that ask a set of it.
    pub(crate) sets: Vec<Vec<u64>>,
}

/// Some trees. Those that are not there have no splits.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathGroup {
    /// A bit for each split of a tree: whether its path goes on with who does not pass.
    pub(crate) turned: [u64; PATH_TREES],
    /// A bit for each split of a tree: whether it is the end of its path. None: the tree has no splits.
    pub(crate) ends: [u64; PATH_TREES],
    /// On how many paths a row is at most.
    pub(crate) turns: usize,
}

impl PathGroup {
    /// Of one tree: the splits that are turned, and the ends.
    #[inline(always)]
    pub(crate) fn of(&self, tree: usize) -> (u64, u64) {
        let [turned, ends] = [&self.turned, &self.ends].map(|words| words.get(tree).copied().unwrap_or(0));
        (turned, ends)
    }
}

impl Few {
    pub(crate) fn new(form: &MaskForm, processor: Processor) -> Self {
        // without a permutation of bytes, asking every split costs more than walking to some
        let bits = if processor == Processor::Avx512 { BitForm::new(form) } else { None };
        bits.map_or_else(|| Self::Nodes(nodes(form)), Self::Bits)
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Nodes(nodes) => size_of_val(&**nodes),
            Self::Bits(form) => form.bytes(),
        }
    }
}

fn nodes(form: &MaskForm) -> Vec<MaskNode> {
    let mut nodes = Vec::new();
    for tree in form.trees() {
        let (mut splits, mut leaves) = (0..tree.splits.len(), 0..tree.leaves());
        for place in 0..tree.nodes() {
            let (is_leaf, _) = form.kinds(&tree, place);
            nodes.push(if is_leaf & 1 == 1 {
                MaskNode { test: leaves.next().unwrap_or_default() as u16, pass: place as u16 }
            } else {
                let split = splits.next().unwrap_or_default();
                let question = tree.splits.get(split).copied().unwrap_or_default();
                MaskNode { test: question + MOST_LEAVES as u16, pass: 2 * split as u16 + 1 }
            });
        }
    }
    nodes
}

impl BitForm {
    /// `None` where walking is better, or the form can not hold the trees.
    fn new(form: &MaskForm) -> Option<Self> {
        if form.columns.len() > MOST_COLUMNS {
            return None;
        }
        let (mut trees, mut splits, mut levels) = (0_usize, 0, 0);
        let mut fits_paths = form.sets_by_path && form.sets.len() <= MOST_TABLES;
        for tree in form.trees() {
            (trees, splits, levels) = (trees + 1, splits + tree.splits.len(), levels.max(tree.depth));
            fits_paths &= tree.splits.len() <= PATH_SPLITS;
        }
        let is_nearly_complete = levels <= MOST_LEVELS && trees << levels <= 2 * (trees + splits);
        if is_nearly_complete && form.sets.is_empty() {
            return Self::complete(form, levels);
        }
        if fits_paths { Self::paths(form) } else { None }
    }

    fn push(&mut self, byte: Option<(u8, u8)>) {
        let (column, bound) = byte.unwrap_or((0, ALWAYS));
        self.columns.push(column);
        self.bounds.push(bound);
    }

    fn filled(mut self) -> Self {
        while !self.columns.len().is_multiple_of(64) {
            self.push(None);
        }
        self.columns.shrink_to_fit();
        self.bounds.shrink_to_fit();
        self
    }

    fn complete(form: &MaskForm, levels: usize) -> Option<Self> {
        let asked = asked(form);
        let mut leaves = Vec::new();
        let walk = BitWalk::Complete(Complete { levels: levels as u32, leaves: Vec::new() });
        let mut bits = Self { columns: Vec::new(), bounds: Vec::new(), walk };
        for tree in form.trees() {
            let shape = form.shape(&tree);
            let mut level = vec![if shape.children.is_empty() { Child::Leaf(0) } else { Child::Split(0) }];
            for _ in 0..levels {
                let mut below = Vec::with_capacity(2 * level.len());
                for place in level {
                    if let Child::Split(split) = place {
                        let question = *tree.splits.get(split)?;
                        bits.push(Some(*asked.get(usize::from(question))?));
                        below.extend_from_slice(shape.children.get(split)?);
                    } else {
                        bits.push(None);
                        below.extend([place, place]);
                    }
                }
                level = below;
            }
            // so that a tree's bits do not cross a word
            bits.push(None);
            for place in level {
                let Child::Leaf(leaf) = place else { return None };
                leaves.push(u8::try_from(leaf).ok()?);
            }
        }
        leaves.resize(leaves.len() + 64, 0);
        bits.walk = BitWalk::Complete(Complete { levels: levels as u32, leaves });
        Some(bits.filled())
    }

    fn paths(form: &MaskForm) -> Option<Self> {
        let asked = asked(form);
        let count = form.trees().len();
        let mut paths = Paths {
            asides: Vec::new(),
            groups: Vec::with_capacity(count.div_ceil(PATH_TREES)),
            sets: vec![Vec::with_capacity(count); form.sets.len()],
        };
        let walk = BitWalk::Complete(Complete { levels: 0, leaves: Vec::new() });
        let mut bits = Self { columns: Vec::new(), bounds: Vec::new(), walk };
        for (number, tree) in form.trees().enumerate() {
            let (order, turns) = form.shape(&tree).paths();
            if number % PATH_TREES == 0 {
                paths.groups.push(PathGroup::default());
            }
            let group = paths.groups.last_mut()?;
            group.turns = group.turns.max(turns);
            let (turned, ends) = (group.turned.get_mut(number % PATH_TREES)?, group.ends.get_mut(number % PATH_TREES)?);
            paths.sets.iter_mut().for_each(|sets| sets.push(0));
            for (at, step) in order.iter().enumerate() {
                let question = usize::from(*tree.splits.get(step.split)?);
                match asked.get(question) {
                    Some(byte) => bits.push(Some(*byte)),
                    None => {
                        let table = form.sets.iter().position(|table| table.tests.contains(&question))?;
                        *paths.sets.get_mut(table)?.last_mut()? |= 1 << at;
                        bits.push(None);
                    }
                }
                *turned |= u64::from(step.on_fail) << at;
                *ends |= u64::from(step.is_end) << at;
                paths.asides.push(match step.aside {
                    Child::Split(split) => order.iter().position(|of| of.split == split)? as u8,
                    Child::Leaf(leaf) => ASIDE_LEAF + leaf as u8,
                });
            }
        }
        if paths.sets.iter().flatten().any(|splits| splits.count_ones() > PATH_SETS) {
            return None;
        }
        paths.asides.resize(paths.asides.len() + 256, 0);
        bits.walk = BitWalk::Paths(paths);
        Some(bits.filled())
    }

    fn bytes(&self) -> usize {
        let walk = match &self.walk {
            BitWalk::Complete(complete) => size_of_val(&*complete.leaves),
            BitWalk::Paths(paths) => {
                size_of_val(&*paths.asides)
                    + size_of_val(&*paths.groups)
                    + paths.sets.iter().map(|sets| size_of_val(&**sets)).sum::<usize>()
            }
        };
        size_of_val(&*self.columns) + size_of_val(&*self.bounds) + walk
    }
}

/// Of each question about a bound: whose byte, and the bound.
fn asked(form: &MaskForm) -> Vec<(u8, u8)> {
    let of = |(number, column): (usize, &super::masks::ByteColumn)| {
        let bounds = form.bounds.get(column.tests.clone()).unwrap_or_default();
        bounds.iter().map(move |bound| (number as u8, *bound))
    };
    form.columns.iter().enumerate().flat_map(of).collect()
}
