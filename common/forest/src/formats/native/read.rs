//! From the tensors to trees. Memory is taken for numbers that were seen, never by a count alone.

use super::header::Header;
use super::tensor::Tensor;
use super::{EVERY_MARGIN, has, kind};
use crate::error::Error;
use crate::limits::Limits;
use crate::model::{Decision, Linear, Model, Node, Parts, Split, Test, Tree, TreeParts};

pub(super) fn model(header: Header<'_>, limits: &Limits) -> Result<Model, Error> {
    let mut tensors = Tensors::of(&header);
    let mut parts = header.parts;
    parts.trees = tensors.trees(&parts, limits)?;
    Model::new(parts)
}

/// What is left of each tensor.
struct Tensors<'a> {
    tree_nodes: Tensor<'a>,
    tree_sets: Tensor<'a>,
    tree_target: Tensor<'a>,
    tree_has: Tensor<'a>,
    node_kind: Tensor<'a>,
    node_cover: Tensor<'a>,
    node_gain: Tensor<'a>,
    split_column: Tensor<'a>,
    split_left: Option<Tensor<'a>>,
    split_right: Option<Tensor<'a>>,
    split_threshold: Tensor<'a>,
    split_set: Tensor<'a>,
    leaf_number: Option<Tensor<'a>>,
    leaf_value: Tensor<'a>,
    leaf_label: Tensor<'a>,
    leaf_constant: Tensor<'a>,
    leaf_terms: Tensor<'a>,
    term_column: Tensor<'a>,
    term_coefficient: Tensor<'a>,
    set_size: Tensor<'a>,
    set_category: Tensor<'a>,
    scratch: Scratch,
}

/// A tree's numbers, in memory that the next tree uses again.
#[derive(Default)]
struct Scratch {
    columns: Vec<u32>,
    left: Vec<u32>,
    right: Vec<u32>,
    thresholds: Vec<f64>,
    sets: Vec<u32>,
    numbers: Vec<u32>,
}

/// What a tree says of itself.
struct Facts {
    number: usize,
    nodes: usize,
    sets: usize,
    target: u32,
    has: u8,
}

impl<'a> Tensors<'a> {
    fn of(header: &Header<'a>) -> Self {
        let given = |name| Some(header.tensor(name)).filter(|tensor| !tensor.rest.is_empty());
        Self {
            tree_nodes: header.tensor("tree.nodes"),
            tree_sets: header.tensor("tree.sets"),
            tree_target: header.tensor("tree.target"),
            tree_has: header.tensor("tree.has"),
            node_kind: header.tensor("node.kind"),
            node_cover: header.tensor("node.cover"),
            node_gain: header.tensor("node.gain"),
            split_column: header.tensor("split.column"),
            split_left: given("split.left"),
            split_right: given("split.right"),
            split_threshold: header.tensor("split.threshold"),
            split_set: header.tensor("split.set"),
            leaf_number: given("leaf.number"),
            leaf_value: header.tensor("leaf.value"),
            leaf_label: header.tensor("leaf.label"),
            leaf_constant: header.tensor("leaf.constant"),
            leaf_terms: header.tensor("leaf.terms"),
            term_column: header.tensor("term.column"),
            term_coefficient: header.tensor("term.coefficient"),
            set_size: header.tensor("set.size"),
            set_category: header.tensor("set.category"),
            scratch: Scratch::default(),
        }
    }

    fn trees(&mut self, parts: &Parts, limits: &Limits) -> Result<Vec<Tree>, Error> {
        let count = self.tree_nodes.len();
        if count > limits.max_trees {
            return Err(Error::limit("trees", limits.max_trees));
        }
        if self.node_kind.len() > limits.max_nodes {
            return Err(Error::limit("nodes of all trees", limits.max_nodes));
        }
        for tensor in [&self.tree_sets, &self.tree_target, &self.tree_has] {
            if tensor.len() != count {
                return Err(tensor.error(format!("has {} numbers for {count} trees", tensor.len())));
            }
        }
        if self.node_kind.len() < count {
            return Err(self.node_kind.error(format!("has {} nodes for {count} trees", self.node_kind.len())));
        }
        let mut trees = Vec::with_capacity(count);
        let mut one = Vec::new();
        for number in 0..count {
            let mut next = |tensor: &mut Tensor<'a>| {
                tensor.take(1, number)?.ints(&mut one);
                Ok(one.first().copied().unwrap_or_default())
            };
            let nodes = next(&mut self.tree_nodes)? as usize;
            let sets = next(&mut self.tree_sets)? as usize;
            let target = next(&mut self.tree_target)?;
            let has = self.tree_has.take(1, number)?.rest.first().copied().unwrap_or_default();
            let facts = Facts { number, nodes, sets, target, has };
            let tree = self.tree(&facts, parts).and_then(|parts| Tree::new(parts, limits));
            trees.push(tree.map_err(|error| error.within(&format!("tree {number}")))?);
        }
        self.check_end()?;
        Ok(trees)
    }

    fn tree(&mut self, facts: &Facts, parts: &Parts) -> Result<TreeParts, Error> {
        let number = facts.number;
        let known = has::COVER | has::GAIN_OF_SPLITS | has::GAIN_OF_NODES | has::LINEAR;
        let both = has::GAIN_OF_SPLITS | has::GAIN_OF_NODES;
        if facts.has & !known != 0 || facts.has & both == both {
            return Err(self.tree_has.error(format!("is {:#x} for tree {number}", facts.has)));
        }
        let kinds = self.node_kind.take(facts.nodes, number)?.rest;
        let splits = kinds.iter().filter(|bits| **bits & kind::SPLIT != 0).count();
        let leaves = kinds.len() - splits;
        self.read_splits(kinds, splits, number)?;
        let mut tree = TreeParts { nodes: self.nodes(kinds, number)?, ..TreeParts::default() };
        tree.target = (facts.target != EVERY_MARGIN).then_some(facts.target);
        let each = if tree.target.is_some() { 1 } else { parts.sum.start.len() };
        self.leaf_value.take(leaves.saturating_mul(each), number)?.floats(&mut tree.values);
        if parts.decision == Decision::Leaf {
            self.leaf_label.take(leaves.saturating_mul(parts.n_outputs), number)?.ints(&mut tree.labels);
        }
        if facts.has & has::COVER != 0 {
            self.node_cover.take(kinds.len(), number)?.floats(&mut tree.cover);
        }
        if facts.has & both != 0 {
            tree.gain = self.gain(kinds, splits, facts)?;
        }
        if facts.has & has::LINEAR != 0 {
            tree.linear = self.linear(leaves, number)?;
        }
        tree.sets = self.sets(facts.sets, number)?;
        Ok(tree)
    }

    /// Into the scratch.
    fn read_splits(&mut self, kinds: &[u8], splits: usize, number: usize) -> Result<(), Error> {
        let categories = kinds.iter().filter(|bits| **bits & kind::ONE_OF != 0).count();
        let scratch = &mut self.scratch;
        self.split_column.take(splits, number)?.ints(&mut scratch.columns);
        self.split_set.take(categories, number)?.ints(&mut scratch.sets);
        self.split_threshold.take(splits.saturating_sub(categories), number)?.floats(&mut scratch.thresholds);
        for (tensor, count, into) in [
            (&mut self.split_left, splits, &mut scratch.left),
            (&mut self.split_right, splits, &mut scratch.right),
            (&mut self.leaf_number, kinds.len() - splits, &mut scratch.numbers),
        ] {
            if let Some(tensor) = tensor {
                tensor.take(count, number)?.ints(into);
            }
        }
        Ok(())
    }

    fn nodes(&self, kinds: &[u8], number: usize) -> Result<Vec<Node>, Error> {
        let Scratch { columns, left, right, thresholds, sets, numbers } = &self.scratch;
        let (mut columns, mut thresholds, mut sets) = (columns.iter(), thresholds.iter(), sets.iter());
        let (mut left, mut right, mut numbers) = (left.iter(), right.iter(), numbers.iter());
        let mut nodes = Vec::with_capacity(kinds.len());
        let mut leaves = 0_u32;
        for (at, bits) in (0_u32..).zip(kinds) {
            if *bits == 0 {
                nodes.push(Node::Leaf(numbers.next().copied().unwrap_or(leaves)));
                leaves += 1;
                continue;
            }
            let known = kind::SPLIT | kind::MISSING_LEFT | kind::ZERO_IS_MISSING | kind::ONE_OF;
            let test = if bits & kind::ONE_OF == 0 {
                thresholds.next().copied().map(Test::AtMost)
            } else {
                sets.next().copied().map(Test::OneOf)
            };
            let legal = bits & kind::SPLIT != 0 && bits & !known == 0;
            let (Some(column), Some(test), true) = (columns.next().copied(), test, legal) else {
                return Err(self.node_kind.error(format!("is {bits:#x} for node {at} of tree {number}")));
            };
            let left = left.next().copied().unwrap_or(at.saturating_add(1));
            let right = right.next().copied().unwrap_or(left.saturating_add(1));
            let missing_left = bits & kind::MISSING_LEFT != 0;
            let zero_is_missing = bits & kind::ZERO_IS_MISSING != 0;
            nodes.push(Node::Split(Split { column, test, left, right, missing_left, zero_is_missing }));
        }
        Ok(nodes)
    }

    fn gain(&mut self, kinds: &[u8], splits: usize, facts: &Facts) -> Result<Vec<f64>, Error> {
        let of_splits = facts.has & has::GAIN_OF_SPLITS != 0;
        let count = if of_splits { splits } else { kinds.len() };
        let mut given = Vec::new();
        self.node_gain.take(count, facts.number)?.floats(&mut given);
        if !of_splits {
            return Ok(given);
        }
        let mut given = given.into_iter();
        let of = |bits: &u8| if bits & kind::SPLIT == 0 { 0.0 } else { given.next().unwrap_or_default() };
        Ok(kinds.iter().map(of).collect())
    }

    fn linear(&mut self, leaves: usize, number: usize) -> Result<Vec<Linear>, Error> {
        let (mut constants, mut counts) = (Vec::new(), Vec::new());
        self.leaf_constant.take(leaves, number)?.floats(&mut constants);
        self.leaf_terms.take(leaves, number)?.ints(&mut counts);
        let (mut columns, mut coefficients) = (Vec::new(), Vec::new());
        let mut linear = Vec::with_capacity(leaves);
        for (constant, count) in constants.into_iter().zip(counts) {
            self.term_column.take(count as usize, number)?.ints(&mut columns);
            self.term_coefficient.take(count as usize, number)?.floats(&mut coefficients);
            let terms = columns.iter().copied().zip(coefficients.iter().copied()).collect();
            linear.push(Linear { constant, terms });
        }
        Ok(linear)
    }

    fn sets(&mut self, count: usize, number: usize) -> Result<Vec<Vec<i64>>, Error> {
        let mut sizes = Vec::new();
        self.set_size.take(count, number)?.ints(&mut sizes);
        sizes.into_iter().map(|size| Ok(self.set_category.take(size as usize, number)?.longs())).collect()
    }

    /// Nothing may be left.
    fn check_end(&self) -> Result<(), Error> {
        let given = [&self.split_left, &self.split_right, &self.leaf_number].into_iter().flatten();
        let all = [
            &self.node_kind,
            &self.node_cover,
            &self.node_gain,
            &self.split_column,
            &self.split_threshold,
            &self.split_set,
            &self.leaf_value,
            &self.leaf_label,
            &self.leaf_constant,
            &self.leaf_terms,
            &self.term_column,
            &self.term_coefficient,
            &self.set_size,
            &self.set_category,
        ];
        match all.into_iter().chain(given).find(|tensor| !tensor.rest.is_empty()) {
            Some(tensor) => Err(tensor.error(format!("has {} numbers more than the trees need", tensor.len()))),
            None => Ok(()),
        }
    }
}
