//! One tree, which can only be a legal one.

use crate::error::Error;
use crate::limits::Limits;

/// A node. Children are positions in [`Tree::nodes`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// Asks, and goes on.
    Split(Split),
    /// The end: which of the tree's leaves.
    Leaf(u32),
}

/// A question to one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Of the model's columns: see [`super::Model::columns`].
    pub column: u32,
    /// What is asked.
    pub test: Test,
    /// Where a row goes that passes.
    pub left: u32,
    /// Where the others go.
    pub right: u32,
    /// Where NaN goes.
    pub missing_left: bool,
    /// Whether what lies within ±1e-35 (as `f32`, widened) goes where NaN does (LightGBM's `zero_as_missing`).
    pub zero_is_missing: bool,
}

/// What is asked of a value that is not missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Test {
    /// Whether it is at most this: cast to the model's precision, then widened. Never NaN; may be infinite. A reader brings
    /// every other comparison into this form: `x < t` is `x <= t.next_down()` in the model's precision.
    AtMost(f64),
    /// Whether it is a category of this set of the tree.
    OneOf(u32),
}

/// A leaf that is a linear function: `value = constant + Σ coefficient · x`, in this order, in `f64`; if any x is NaN, the
/// leaf's plain value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Linear {
    /// What the sum starts from.
    pub constant: f64,
    /// Column and coefficient.
    pub terms: Vec<(u32, f64)>,
}

/// The parts of a [`Tree`], before they were checked.
#[derive(Debug, Clone, Default)]
pub struct TreeParts {
    /// Root first.
    pub nodes: Vec<Node>,
    /// Sets of categories, each ascending.
    pub sets: Vec<Vec<i64>>,
    /// The one margin that the leaves add to; `None` if each leaf has a number for every margin.
    pub target: Option<u32>,
    /// For each leaf, in the order of their numbers, one number or as many as there are margins.
    pub values: Vec<f64>,
    /// For each leaf a class for each output, where the leaf says it; else empty.
    pub labels: Vec<u32>,
    /// For each leaf, if leaves are linear functions; else empty.
    pub linear: Vec<Linear>,
    /// For each node how much of the training data came by, as the file's library weighs it in explanations; or empty.
    pub cover: Vec<f64>,
    /// For each node what its split gained, 0.0 for a leaf; or empty.
    pub gain: Vec<f64>,
}

/// One tree: node 0 is the root, every other node has exactly one parent, and every leaf has its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
    sets: Vec<Vec<i64>>,
    target: Option<u32>,
    values: Vec<f64>,
    labels: Vec<u32>,
    linear: Vec<Linear>,
    cover: Vec<f64>,
    gain: Vec<f64>,
    depth: usize,
    leaves: usize,
}

impl Tree {
    /// # Errors
    /// [`Error::Tree`] for children out of range, shared or cyclic nodes, nodes that nothing reaches, a NaN threshold, a set
    /// that is not there or not ascending; [`Error::Model`] for parts of a wrong length; [`Error::Limit`] for depth.
    pub fn new(parts: TreeParts, limits: &Limits) -> Result<Self, Error> {
        let TreeParts { nodes, sets, target, values, labels, linear, cover, gain } = parts;
        let depth = check_shape(&nodes, sets.len(), limits)?;
        let leaves = check_leaves(&nodes)?;
        if !sets.iter().all(|set| set.is_sorted_by(|a, b| a < b)) {
            return Err(Error::model("a set of categories is not ascending"));
        }
        let lengths = [("linear leaves", linear.len(), leaves), ("covers", cover.len(), nodes.len())];
        for (what, found, expected) in lengths.into_iter().chain([("gains", gain.len(), nodes.len())]) {
            if found != 0 && found != expected {
                return Err(Error::model(format!("{found} {what} where there should be {expected}")));
            }
        }
        Ok(Self { nodes, sets, target, values, labels, linear, cover, gain, depth, leaves })
    }

    /// Root first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What [`Test::OneOf`] names; each ascending.
    pub fn sets(&self) -> &[Vec<i64>] {
        &self.sets
    }

    /// The one margin that the leaves add to; `None` if they add to all.
    pub fn target(&self) -> Option<usize> {
        self.target.map(|target| target as usize)
    }

    /// Of all leaves, one after another: one number each, or one for each margin.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Of all leaves, one after another; empty unless a leaf names its class itself.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Of all leaves; empty unless they are linear functions.
    pub fn linear(&self) -> &[Linear] {
        &self.linear
    }

    /// Of all nodes, or empty if the file does not say.
    pub fn cover(&self) -> &[f64] {
        &self.cover
    }

    /// Of all nodes, 0.0 for leaves; or empty if the file does not say.
    pub fn gain(&self) -> &[f64] {
        &self.gain
    }

    /// Splits between the root and the deepest leaf.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many leaves there are.
    pub fn leaves(&self) -> usize {
        self.leaves
    }

    /// All questions, in the order of the nodes.
    pub fn splits(&self) -> impl Iterator<Item = &Split> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Split(split) => Some(split),
            Node::Leaf(_) => None,
        })
    }
}

/// Each node must be met exactly once from the root. Returns the depth.
fn check_shape(nodes: &[Node], sets: usize, limits: &Limits) -> Result<usize, Error> {
    match forwards(nodes, sets) {
        Some(depth) if depth <= limits.max_depth => Ok(depth),
        _ => walk(nodes, sets, limits),
    }
}

fn legal(test: Test, sets: usize) -> bool {
    match test {
        Test::AtMost(threshold) => !threshold.is_nan(),
        Test::OneOf(set) => (set as usize) < sets,
    }
}

/// The depth of a tree whose parents all stand before their children, in one pass; `None` if it is none, or is no tree.
fn forwards(nodes: &[Node], sets: usize) -> Option<usize> {
    const UNMET: u32 = u32::MAX;
    let mut depths = vec![UNMET; nodes.len()];
    *depths.first_mut()? = 0;
    let mut deepest = 0;
    for (at, node) in nodes.iter().enumerate() {
        let depth = depths.get(at).copied().filter(|depth| *depth != UNMET)?;
        if let Node::Split(split) = node {
            if !legal(split.test, sets) {
                return None;
            }
            for child in [split.left, split.right] {
                let child = depths.get_mut(child as usize).filter(|depth| **depth == UNMET)?;
                *child = depth + 1;
            }
            deepest = deepest.max(depth + 1);
        }
    }
    Some(deepest as usize)
}

/// Walks from the root, and says what is wrong.
fn walk(nodes: &[Node], sets: usize, limits: &Limits) -> Result<usize, Error> {
    let mut met = vec![false; nodes.len()];
    let mut waiting = vec![(0_u32, 0_usize)];
    let mut seen = 0_usize;
    let mut deepest = 0_usize;
    while let Some((at, depth)) = waiting.pop() {
        let (Some(node), Some(met)) = (nodes.get(at as usize), met.get_mut(at as usize)) else {
            return Err(Error::tree(at, format!("is a child but there are only {} nodes", nodes.len())));
        };
        if std::mem::replace(met, true) {
            return Err(Error::tree(at, "has two parents, or is its own ancestor"));
        }
        seen += 1;
        deepest = deepest.max(depth);
        if depth > limits.max_depth {
            return Err(Error::limit("depth of a tree", limits.max_depth));
        }
        if let Node::Split(split) = node {
            match split.test {
                Test::AtMost(threshold) if threshold.is_nan() => {
                    return Err(Error::tree(at, "has NaN as its threshold"));
                }
                Test::OneOf(set) if set as usize >= sets => {
                    return Err(Error::tree(at, format!("asks for set {set} of categories, of {sets}")));
                }
                Test::AtMost(_) | Test::OneOf(_) => {}
            }
            waiting.push((split.right, depth + 1));
            waiting.push((split.left, depth + 1));
        }
    }
    if seen != nodes.len() {
        let lost = met.iter().position(|met| !met).unwrap_or(0);
        return Err(Error::tree(u32::try_from(lost).unwrap_or(u32::MAX), "is reached from nowhere"));
    }
    Ok(deepest)
}

/// Leaves are numbered from 0 without gaps. Returns how many there are.
fn check_leaves(nodes: &[Node]) -> Result<usize, Error> {
    if let Some(count) = in_order(nodes) {
        return Ok(count);
    }
    let mut met = vec![false; nodes.len() / 2 + 1];
    let mut count = 0;
    for (at, node) in (0_u32..).zip(nodes) {
        if let Node::Leaf(leaf) = *node {
            match met.get_mut(leaf as usize) {
                Some(met) if !*met => *met = true,
                _ => return Err(Error::tree(at, format!("has leaf number {leaf}, taken or too large"))),
            }
            count += 1;
        }
    }
    Ok(count)
}

/// How many leaves there are, if they are numbered as they stand.
fn in_order(nodes: &[Node]) -> Option<usize> {
    let mut count = 0_u32;
    for node in nodes {
        if let Node::Leaf(number) = *node {
            if number != count {
                return None;
            }
            count += 1;
        }
    }
    Some(count as usize)
}
