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

/// A split on a path. A path goes from split to split, always to the side with more leaves, until both are leaves: few
/// turns lead from the root to any leaf.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnPath {
    pub(crate) split: usize,
    /// Whether the path goes on with who does not pass.
    pub(crate) on_fail: bool,
    /// Where it leads beside the path; at its end, for who passes.
    pub(crate) aside: Child,
    /// Whether both sides are leaves.
    pub(crate) is_end: bool,
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

    /// All splits, path after path, and how many paths a row is on at most.
    pub(crate) fn paths(&self) -> (Vec<OnPath>, usize) {
        let leaves = self.leaves();
        let of = |child: Child| match child {
            Child::Split(split) => leaves.get(split).copied().unwrap_or(1),
            Child::Leaf(_) => 1,
        };
        let mut order = Vec::with_capacity(self.children.len());
        let mut most = 0;
        let mut heads = if self.children.is_empty() { Vec::new() } else { vec![(0, 1)] };
        while let Some((head, turns)) = heads.pop() {
            most = most.max(turns);
            let mut at = Some(head);
            while let Some(split) = at
                && let Some([pass, fail]) = self.children.get(split).copied()
            {
                let on_fail = of(fail) > of(pass);
                let (on, aside) = if on_fail { (fail, pass) } else { (pass, fail) };
                if let Child::Split(head) = aside {
                    heads.push((head, turns + 1));
                }
                at = if let Child::Split(split) = on { Some(split) } else { None };
                let is_end = at.is_none();
                order.push(OnPath { split, on_fail, aside: if is_end { pass } else { aside }, is_end });
            }
        }
        (order, most)
    }

    /// Below each split.
    fn leaves(&self) -> Vec<usize> {
        let mut leaves = vec![0; self.children.len()];
        for (split, children) in self.children.iter().enumerate().rev() {
            let below = children.map(|child| match child {
                // children stand after their parents
                Child::Split(split) => leaves.get(split).copied().unwrap_or(1),
                Child::Leaf(_) => 1,
            });
            if let Some(leaves) = leaves.get_mut(split) {
                *leaves = below.iter().sum();
            }
        }
        leaves
    }
}
