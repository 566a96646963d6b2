//! What a tree looks like, whatever it asks: its splits and leaves are numbered as a walk level by level meets them. The
//! children of split `k` are then the nodes `2k + 1`, for who passes, and `2k + 2`.

use std::collections::VecDeque;

use crate::model::{Node, Tree};

/// Where a split leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Child {
    Split(usize),
    Leaf(usize),
}

/// A tree without its questions.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Of each split: for who passes, and for who does not.
    pub(crate) children: Vec<[Child; 2]>,
}

/// A tree as a walk meets it that takes who passes first. Its splits alternate with its leaves: the k-th split stands between
/// leaf k and the next.
#[derive(Debug, Default)]
pub(crate) struct InOrder {
    /// Which split it is, and the first leaf below it.
    pub(crate) splits: Vec<(usize, u8)>,
    /// Of each leaf its place in this order.
    pub(crate) leaves: Vec<u8>,
}

/// Of a tree's nodes level by level: which are leaves, the splits' nodes, and the leaves.
pub(crate) struct Levels {
    pub(crate) is_leaf: Vec<bool>,
    pub(crate) splits: Vec<u32>,
    pub(crate) leaves: Vec<u32>,
}

impl Levels {
    pub(crate) fn new(tree: &Tree) -> Option<Self> {
        let mut levels = Self { is_leaf: Vec::new(), splits: Vec::new(), leaves: Vec::new() };
        let mut waiting = VecDeque::from([0_u32]);
        while let Some(at) = waiting.pop_front() {
            match tree.nodes().get(at as usize)? {
                Node::Split(split) => {
                    waiting.extend([split.left, split.right]);
                    levels.splits.push(at);
                    levels.is_leaf.push(false);
                }
                Node::Leaf(leaf) => {
                    levels.leaves.push(*leaf);
                    levels.is_leaf.push(true);
                }
            }
        }
        Some(levels)
    }

    /// Brings the leaves into order.
    pub(crate) fn number(&mut self, order: &InOrder) -> Option<()> {
        let mut leaves = vec![0; self.leaves.len()];
        for (leaf, place) in self.leaves.iter().zip(&order.leaves) {
            *leaves.get_mut(usize::from(*place))? = *leaf;
        }
        self.leaves = leaves;
        Some(())
    }
}

impl Shape {
    /// Of each node, level by level, whether it is a leaf.
    pub(crate) fn new(is_leaf: impl Iterator<Item = bool>) -> Self {
        let (mut splits, mut leaves) = (0, 0);
        let next = |number: &mut usize| {
            *number += 1;
            *number - 1
        };
        let number = |is_leaf| if is_leaf { Child::Leaf(next(&mut leaves)) } else { Child::Split(next(&mut splits)) };
        let nodes: Vec<Child> = is_leaf.map(number).collect();
        Self { children: nodes.get(1..).unwrap_or_default().as_chunks().0.to_vec() }
    }

    /// Of at most 256 leaves.
    pub(crate) fn in_order(&self) -> InOrder {
        let mut order =
            InOrder { splits: Vec::with_capacity(self.children.len()), leaves: vec![0; self.children.len() + 1] };
        let mut met = 0;
        let mut at = if self.children.is_empty() { Child::Leaf(0) } else { Child::Split(0) };
        let mut waiting = Vec::new();
        loop {
            while let Child::Split(split) = at
                && let Some([pass, fail]) = self.children.get(split)
            {
                waiting.push((split, met as u8, *fail));
                at = *pass;
            }
            if let Child::Leaf(leaf) = at
                && let Some(place) = order.leaves.get_mut(leaf)
            {
                *place = met as u8;
                met += 1;
            }
            let Some((split, first, fail)) = waiting.pop() else { return order };
            order.splits.push((split, first));
            at = fail;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_stand_between_leaves() {
        // 0: (1: leaf a, (3: leaf c, leaf d)), (2: leaf b, leaf e); leaves level by level: a, b, e, c, d
        let is_leaf = [false, false, false, true, false, true, true, true, true];
        let order = Shape::new(is_leaf.into_iter()).in_order();
        assert_eq!(order.splits, [(1, 0), (3, 1), (0, 0), (2, 3)]);
        assert_eq!(order.leaves, [0, 3, 4, 1, 2]);
        assert_eq!(Shape::new([true].into_iter()).in_order().leaves, [0]);
    }
}
