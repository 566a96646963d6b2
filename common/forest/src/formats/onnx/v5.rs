//! `TreeEnsemble`, which came with version 5 of ai.onnx.ml: splits and leaves apart, children by position.

use super::columns::{Kind, Matrix};
use super::ensemble::Ensemble;
use super::proto::Node;
use super::scoring;
use super::tensor::element;
use super::trees::{Ask, Builder, Item, Shared, Weight};
use crate::error::Error;
use crate::limits::Limits;

const KNOWN: &[&str] = &[
    "aggregate_function",
    "leaf_targetids",
    "leaf_weights",
    "membership_values",
    "n_targets",
    "nodes_falseleafs",
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_hitrates",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_splits",
    "nodes_trueleafs",
    "nodes_truenodeids",
    "post_transform",
    "tree_roots",
];

pub(super) fn read(node: &Node<'_>, matrix: &Matrix, size: usize, limits: &Limits) -> Result<Ensemble, Error> {
    node.only(KNOWN)?;
    if matrix.kind == Kind::Int {
        return Err(node.fault("reads whole numbers; it takes floats or doubles"));
    }
    let targets = scoring::targets(node, limits)?;
    let nodes = Nodes::read(node, matrix.kind, limits)?;
    let leaves = leaves(node, matrix.kind, limits)?;
    let mut builder = Builder::new(matrix.kind, matrix.columns.len(), targets, size, limits);
    trees_of(node, &nodes, &leaves, &mut builder)?;
    let aggregate = scoring::aggregate_code(node.int("aggregate_function")?.unwrap_or(1));
    let aggregate = aggregate.ok_or_else(|| node.fault("has an unknown aggregate_function"))?;
    let post = scoring::transform_code(node.int("post_transform")?.unwrap_or(0));
    let post = post.ok_or_else(|| node.fault("has an unknown post_transform"))?;
    let mut scoring = scoring::regressor(node, aggregate, Vec::new(), post, &builder, matrix.kind)?;
    // unlike its forerunners it gives out what it takes in
    scoring.link.output = scoring.sum.precision;
    let Builder { trees, sets, truncates, .. } = builder;
    Ok(Ensemble { trees, scoring, classes: Vec::new(), sets, truncates })
}

/// A tensor of the input's type.
fn numbers(node: &Node<'_>, name: &str, kind: Kind, limits: &Limits) -> Result<Vec<f64>, Error> {
    let Some(tensor) = node.tensor(name, limits)? else { return Ok(Vec::new()) };
    if Kind::of(tensor.element) != Some(kind) {
        return Err(node.fault(format!("has {name} of another type than its input")));
    }
    tensor.numbers()
}

fn leaves(node: &Node<'_>, kind: Kind, limits: &Limits) -> Result<Vec<Weight>, Error> {
    let (targets, weights) = (node.ints("leaf_targetids")?, numbers(node, "leaf_weights", kind, limits)?);
    if targets.len() != weights.len() || weights.is_empty() {
        return Err(node.fault("has no leaves, or leaf_targetids and leaf_weights of several lengths"));
    }
    if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
        return Err(node.fault(format!("has a weight that is {weight}")));
    }
    let leaf = |(target, weight)| match u32::try_from(target) {
        Ok(target) => Ok((target, weight)),
        Err(_) => Err(node.fault(format!("weighs target {target}"))),
    };
    targets.into_iter().zip(weights).map(leaf).collect()
}

/// A child: a split or a leaf.
#[derive(Clone, Copy)]
struct Child {
    at: i64,
    leaf: bool,
}

#[derive(Clone, Copy)]
struct Question {
    column: u32,
    ask: Ask,
    missing_yes: bool,
    yes: Child,
    no: Child,
}

struct Nodes {
    questions: Vec<Question>,
    members: Vec<f64>,
}

impl Nodes {
    fn read(node: &Node<'_>, kind: Kind, limits: &Limits) -> Result<Self, Error> {
        let modes = node.tensor("nodes_modes", limits)?.ok_or_else(|| node.fault("has no nodes_modes"))?;
        if modes.element != element::UINT8 {
            return Err(node.fault("has nodes_modes that are not of bytes"));
        }
        let (modes, splits) = (modes.ints()?, numbers(node, "nodes_splits", kind, limits)?);
        let members = numbers(node, "membership_values", kind, limits)?;
        let ints = |name| node.ints(name);
        let (features, missing) = (ints("nodes_featureids")?, ints("nodes_missing_value_tracks_true")?);
        let (yes, yes_leaf) = (ints("nodes_truenodeids")?, ints("nodes_trueleafs")?);
        let (no, no_leaf) = (ints("nodes_falsenodeids")?, ints("nodes_falseleafs")?);
        let count = modes.len();
        let lengths = [splits.len(), features.len(), yes.len(), yes_leaf.len(), no.len(), no_leaf.len()];
        if lengths != [count; 6] || (!missing.is_empty() && missing.len() != count) || count == 0 {
            return Err(node.fault("has no nodes, or attributes of its nodes of several lengths"));
        }
        if count > limits.max_nodes {
            return Err(Error::limit("nodes of all trees", limits.max_nodes));
        }
        let mut sets = Sets { members: &members, at: 0 };
        let mut questions = Vec::with_capacity(count);
        let flags = |number: usize, flag: i64| match flag {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(node.fault(format!("node {number} has a flag that is {flag}"))),
        };
        let mut missing = missing.into_iter();
        let children = yes.into_iter().zip(yes_leaf).zip(no.into_iter().zip(no_leaf));
        let each = modes.into_iter().zip(splits).zip(features).zip(children).enumerate();
        for (number, (((mode, split), feature), ((yes, yes_leaf), (no, no_leaf)))) in each {
            questions.push(Question {
                column: u32::try_from(feature)
                    .map_err(|_| node.fault(format!("node {number} splits on feature {feature}")))?,
                ask: ask(mode, split, &mut sets).ok_or_else(|| {
                    node.fault(format!("node {number} is of mode {mode}, or asks for a set that is not there"))
                })?,
                missing_yes: flags(number, missing.next().unwrap_or(0))?,
                yes: Child { at: yes, leaf: flags(number, yes_leaf)? },
                no: Child { at: no, leaf: flags(number, no_leaf)? },
            });
        }
        if sets.at < members.len() {
            return Err(node.fault("has more sets of membership_values than nodes that ask for one"));
        }
        Ok(Self { questions, members })
    }
}

/// Sets stand after one another in the order of their nodes, each ended by NaN.
struct Sets<'m> {
    members: &'m [f64],
    at: usize,
}

impl Sets<'_> {
    fn next(&mut self) -> Option<Ask> {
        let rest = self.members.get(self.at..).filter(|rest| !rest.is_empty())?;
        let count = rest.iter().position(|member| member.is_nan()).unwrap_or(rest.len());
        let (from, to) = (u32::try_from(self.at).ok()?, u32::try_from(self.at + count).ok()?);
        self.at = (self.at + count + 1).min(self.members.len());
        Some(Ask::OneOf(from, to))
    }
}

fn ask(mode: i64, split: f64, sets: &mut Sets<'_>) -> Option<Ask> {
    Some(match mode {
        0 => Ask::AtMost(split),
        1 => Ask::Below(split),
        2 => Ask::AtLeast(split),
        3 => Ask::Above(split),
        4 => Ask::Is(split),
        5 => Ask::IsNot(split),
        6 => return sets.next(),
        _ => return None,
    })
}

/// Leaves may be shared, for they are only numbers; splits may not.
fn trees_of(node: &Node<'_>, nodes: &Nodes, leaves: &[Weight], builder: &mut Builder<'_>) -> Result<(), Error> {
    let mut met = vec![false; nodes.questions.len()];
    let shared = Shared { weights: leaves, members: &nodes.members };
    let roots = node.ints("tree_roots")?;
    if roots.is_empty() {
        return Err(node.fault("has no tree_roots"));
    }
    for root in roots {
        let (items, names) = items(node, root, nodes, leaves.len(), &mut met)?;
        let name = |error| match error {
            Error::Tree { node: at, message } => {
                let name = names.get(at as usize).copied().unwrap_or_default();
                node.fault(format!("tree of root {root}: node {name} {message}"))
            }
            Error::Model { message } => node.fault(format!("tree of root {root}: {message}")),
            other => other,
        };
        builder.add(&items, &shared).map_err(name)?;
    }
    match met.iter().position(|met| !met) {
        None => Ok(()),
        Some(lost) => Err(node.fault(format!("node {lost} is reached from nowhere"))),
    }
}

/// The items of a tree, and which node each is.
fn items(
    node: &Node<'_>,
    root: i64,
    nodes: &Nodes,
    leaves: usize,
    met: &mut [bool],
) -> Result<(Vec<Item>, Vec<i64>), Error> {
    let mut items: Vec<Item> = Vec::new();
    let mut names = Vec::new();
    // a child, and the item and side that lead to it
    let mut waiting = vec![(Child { at: root, leaf: false }, None)];
    while let Some((child, parent)) = waiting.pop() {
        let at = u32::try_from(items.len()).map_err(|_| node.fault("has too many nodes"))?;
        if let Some((parent, side)) = parent
            && let Some(Item::Split { yes, no, .. }) = items.get_mut(parent)
        {
            *(if side { yes } else { no }) = at;
        }
        let place = usize::try_from(child.at).ok();
        names.push(child.at);
        if child.leaf {
            let leaf = place.filter(|leaf| *leaf < leaves).and_then(|leaf| u32::try_from(leaf).ok());
            let leaf = leaf.ok_or_else(|| node.fault(format!("leaf {} is not there, of {leaves}", child.at)))?;
            items.push(Item::Leaf(leaf, leaf + 1));
            continue;
        }
        let found = place.and_then(|place| Some((nodes.questions.get(place)?, met.get_mut(place)?)));
        let Some((question, met)) = found else {
            return Err(node.fault(format!("node {} is not there, of {}", child.at, nodes.questions.len())));
        };
        if std::mem::replace(met, true) {
            return Err(node.fault(format!("node {} has two parents, or is its own ancestor", child.at)));
        }
        let Question { column, ask, missing_yes, yes, no } = *question;
        // how a tree of one leaf is written
        if parent.is_none() && yes.leaf && no.leaf && yes.at == no.at {
            waiting.push((yes, None));
            names.pop();
            continue;
        }
        items.push(Item::Split { column, ask, yes: 0, no: 0, missing_yes });
        waiting.push((no, Some((at as usize, false))));
        waiting.push((yes, Some((at as usize, true))));
    }
    Ok((items, names))
}
