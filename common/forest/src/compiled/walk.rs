//! Deep trees, which ask so many different things that few rows share an answer: each row is walked down each tree, by ranks.

use super::lookup::{Keys, Lookup};
use super::questions::Lookups;
use crate::model::{Node, Test, Tree};

/// In a child or a root: the rest is the number of a leaf of the tree.
pub(crate) const LEAF: u32 = 1 << 31;
/// In [`WalkSplit::lookup`]: NaN goes left.
pub(crate) const MISSING_LEFT: u16 = 1 << 15;
/// In [`WalkSplit::lookup`]: [`WalkSplit::key`] names a set.
pub(crate) const ONE_OF: u16 = 1 << 14;
/// Lookups, at most.
const MOST_LOOKUPS: usize = ONE_OF as usize;

/// 12 bytes a split.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WalkSplit {
    /// A rank: whether it is at most this; or which set.
    pub(crate) key: u16,
    /// Which lookup, [`MISSING_LEFT`] and [`ONE_OF`].
    pub(crate) lookup: u16,
    /// Left and right: another split, or a leaf with [`LEAF`].
    pub(crate) children: [u32; 2],
}

/// One tree's part of the arrays.
#[derive(Debug, Clone)]
pub(crate) struct WalkTree {
    /// As children are.
    pub(crate) root: u32,
    /// Where its first leaf's number stands among the leaves' values.
    pub(crate) values: usize,
    /// How many there are.
    pub(crate) leaves: usize,
}

/// Trees to walk.
#[derive(Debug, Clone)]
pub(crate) struct WalkForm {
    pub(crate) lookups: Vec<Lookup>,
    pub(crate) splits: Vec<WalkSplit>,
    /// For each set, a bit for each rank.
    pub(crate) sets: Vec<Vec<u64>>,
    pub(crate) trees: Vec<WalkTree>,
}

impl WalkForm {
    /// Of trees that ask what `lookups` answer; `None` if they do not fit the form.
    pub(crate) fn new(trees: &[&Tree], lookups: Lookups, values_each: usize) -> Option<Self> {
        let mut form = Self { lookups: Vec::new(), splits: Vec::new(), sets: Vec::new(), trees: Vec::new() };
        if lookups.all.len() > MOST_LOOKUPS {
            return None;
        }
        let mut values = 0;
        for tree in trees {
            form.tree(tree, &lookups, values)?;
            values += tree.leaves() * values_each;
        }
        form.lookups = lookups.all;
        form.splits.shrink_to_fit();
        Some(form)
    }

    fn tree(&mut self, tree: &Tree, lookups: &Lookups, values: usize) -> Option<()> {
        let mut places = Vec::with_capacity(tree.nodes().len());
        let mut next = u32::try_from(self.splits.len()).ok()?;
        for node in tree.nodes() {
            places.push(match node {
                Node::Split(_) => {
                    next = next.checked_add(1).filter(|next| next & LEAF == 0)?;
                    next - 1
                }
                Node::Leaf(leaf) => LEAF | leaf,
            });
        }
        let place = |child: u32| places.get(child as usize).copied();
        for node in tree.nodes() {
            let Node::Split(split) = node else { continue };
            let lookup = lookups.of(split)?;
            let (key, kind) = match split.test {
                Test::AtMost(threshold) => (lookups.all.get(lookup)?.place(threshold)?, 0),
                Test::OneOf(set) => {
                    let Keys::Categories(_, keys) = &lookups.all.get(lookup)?.keys else { return None };
                    let mut bits = vec![0_u64; keys.len().div_ceil(64)];
                    for category in tree.sets().get(set as usize)? {
                        let place = keys.binary_search(category).ok()?;
                        *bits.get_mut(place / 64)? |= 1 << (place % 64);
                    }
                    self.sets.push(bits);
                    (u16::try_from(self.sets.len() - 1).ok()?, ONE_OF)
                }
            };
            let missing = if split.missing_left { MISSING_LEFT } else { 0 };
            let lookup = u16::try_from(lookup).ok()? | kind | missing;
            self.splits.push(WalkSplit { key, lookup, children: [place(split.left)?, place(split.right)?] });
        }
        self.trees.push(WalkTree { root: place(0)?, values, leaves: tree.leaves() });
        Some(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.lookups.iter().map(Lookup::bytes).sum::<usize>()
            + size_of_val(&*self.splits)
            + self.sets.iter().map(|set| size_of_val(set.as_slice())).sum::<usize>()
            + size_of_val(&*self.trees)
    }
}
