//! From a model to the bytes of a file.

use std::io;

use safetensors::serialize;
use serde::Serialize;

use super::header;
use super::tensor::{Number, Written, types, written};
use super::{EVERY_MARGIN, FORMAT, MANIFEST, has, kind};
use crate::model::{Linear, Model, Node, Parts, Test, Tree};

#[derive(Serialize)]
struct Manifest<'a> {
    format: u32,
    model: &'a Parts,
}

pub(super) fn bytes(model: &Model) -> io::Result<Vec<u8>> {
    let manifest = serde_json::to_string(&Manifest { format: FORMAT, model: model.parts() })?;
    // a number that JSON can not have would be lost without a word
    let again = header::parse(&manifest).map_err(io::Error::other)?;
    if serde_json::to_string(&Manifest { format: FORMAT, model: &again })? != manifest {
        return Err(io::Error::other("the manifest of this model can not be written exactly"));
    }
    let metadata = [(MANIFEST.to_owned(), manifest)].into_iter().collect();
    serialize(Gathered::of(model).tensors(), Some(metadata)).map_err(io::Error::other)
}

/// The numbers of all trees, as the tensors of this name hold them.
#[derive(Default)]
struct Gathered {
    tree_nodes: Vec<u32>,
    tree_sets: Vec<u32>,
    tree_target: Vec<u32>,
    tree_has: Vec<u32>,
    node_kind: Vec<u32>,
    node_cover: Vec<f64>,
    node_gain: Vec<f64>,
    split_column: Vec<u32>,
    split_left: Vec<u32>,
    split_right: Vec<u32>,
    split_threshold: Vec<f64>,
    split_set: Vec<u32>,
    leaf_number: Vec<u32>,
    leaf_value: Vec<f64>,
    leaf_label: Vec<u32>,
    leaf_constant: Vec<f64>,
    leaf_terms: Vec<u32>,
    term_column: Vec<u32>,
    term_coefficient: Vec<f64>,
    set_size: Vec<u32>,
    set_category: Vec<i64>,
    /// Whether what may be left out is needed after all.
    left_needed: bool,
    right_needed: bool,
    number_needed: bool,
}

/// A tree's nodes, leaves and sets are numbered by 32 bits.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Gathered {
    fn of(model: &Model) -> Self {
        let mut all = Self::default();
        model.trees().iter().for_each(|tree| all.add(tree));
        all
    }

    fn add(&mut self, tree: &Tree) {
        self.tree_nodes.push(count(tree.nodes().len()));
        self.tree_sets.push(count(tree.sets().len()));
        self.tree_target.push(tree.target().map_or(EVERY_MARGIN, count));
        let mut leaves = 0;
        for (at, node) in (0_u32..).zip(tree.nodes()) {
            match node {
                Node::Split(split) => {
                    let mut bits = kind::SPLIT;
                    bits |= if split.missing_left { kind::MISSING_LEFT } else { 0 };
                    bits |= if split.zero_is_missing { kind::ZERO_IS_MISSING } else { 0 };
                    match split.test {
                        Test::AtMost(threshold) => self.split_threshold.push(threshold),
                        Test::OneOf(set) => {
                            bits |= kind::ONE_OF;
                            self.split_set.push(set);
                        }
                    }
                    self.node_kind.push(bits.into());
                    self.split_column.push(split.column);
                    self.split_left.push(split.left);
                    self.split_right.push(split.right);
                    self.left_needed |= split.left != at + 1;
                    self.right_needed |= split.right.checked_sub(1) != Some(split.left);
                }
                Node::Leaf(number) => {
                    self.node_kind.push(0);
                    self.leaf_number.push(*number);
                    self.number_needed |= *number != leaves;
                    leaves += 1;
                }
            }
        }
        self.leaf_value.extend(tree.values());
        self.leaf_label.extend(tree.labels());
        self.add_the_rest(tree);
    }

    fn add_the_rest(&mut self, tree: &Tree) {
        let mut bits = 0;
        if !tree.cover().is_empty() {
            bits |= has::COVER;
            self.node_cover.extend(tree.cover());
        }
        if !tree.gain().is_empty() {
            let gains = || tree.nodes().iter().zip(tree.gain());
            let zero = |(node, gain): (&Node, &f64)| matches!(node, Node::Split(_)) || gain.to_bits() == 0;
            if gains().all(zero) {
                bits |= has::GAIN_OF_SPLITS;
                let splits = gains().filter(|(node, _)| matches!(node, Node::Split(_)));
                self.node_gain.extend(splits.map(|(_, gain)| gain));
            } else {
                bits |= has::GAIN_OF_NODES;
                self.node_gain.extend(tree.gain());
            }
        }
        if !tree.linear().is_empty() {
            bits |= has::LINEAR;
            for Linear { constant, terms } in tree.linear() {
                self.leaf_constant.push(*constant);
                self.leaf_terms.push(count(terms.len()));
                self.term_column.extend(terms.iter().map(|(column, _)| column));
                self.term_coefficient.extend(terms.iter().map(|(_, coefficient)| coefficient));
            }
        }
        self.tree_has.push(bits.into());
        for set in tree.sets() {
            self.set_size.push(count(set.len()));
            self.set_category.extend(set);
        }
    }

    fn tensors(&self) -> Vec<(&'static str, Written)> {
        let needed = |needed, numbers| if needed { numbers } else { &[][..] };
        let all = [
            of("tree.nodes", &self.tree_nodes),
            of("tree.sets", &self.tree_sets),
            of("tree.target", &self.tree_target),
            of("tree.has", &self.tree_has),
            of("node.kind", &self.node_kind),
            of("node.cover", &self.node_cover),
            of("node.gain", &self.node_gain),
            of("split.column", &self.split_column),
            of("split.left", needed(self.left_needed, &self.split_left)),
            of("split.right", needed(self.right_needed, &self.split_right)),
            of("split.threshold", &self.split_threshold),
            of("split.set", &self.split_set),
            of("leaf.number", needed(self.number_needed, &self.leaf_number)),
            of("leaf.value", &self.leaf_value),
            of("leaf.label", &self.leaf_label),
            of("leaf.constant", &self.leaf_constant),
            of("leaf.terms", &self.leaf_terms),
            of("term.column", &self.term_column),
            of("term.coefficient", &self.term_coefficient),
            of("set.size", &self.set_size),
            of("set.category", &self.set_category),
        ];
        all.into_iter().flatten().collect()
    }
}

/// A tensor, unless it is empty.
fn of<T: Number>(name: &str, numbers: &[T]) -> Option<(&'static str, Written)> {
    let (name, types) = types(name).filter(|_| !numbers.is_empty())?;
    Some((name, written(numbers, types)))
}
