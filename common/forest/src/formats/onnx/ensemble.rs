//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, in all versions of ai.onnx.ml: nodes by tree and node id, in the
//! order of the file; the weights of leaves by the same ids, in any order.

use super::columns::{Kind, Matrix};
use super::labels;
use super::proto::Node;
use super::scoring::{self, Scoring};
use super::trees::{Ask, Builder, Item, Shared, Weight};
use crate::error::{Error, quote};
use crate::limits::Limits;
use crate::model::{Label, Tree};

/// What a tree node says.
pub(super) struct Ensemble {
    pub(super) trees: Vec<Tree>,
    pub(super) scoring: Scoring,
    /// Empty for a regressor.
    pub(super) classes: Vec<Label>,
    /// Whether any tree asks for equality or a set.
    pub(super) sets: bool,
    /// Whether trees also ask the columns without their fractions, numbered behind the others.
    pub(super) truncates: bool,
}

const SHARED: &[&str] = &[
    "base_values",
    "base_values_as_tensor",
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_hitrates",
    "nodes_hitrates_as_tensor",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_nodeids",
    "nodes_treeids",
    "nodes_truenodeids",
    "nodes_values",
    "nodes_values_as_tensor",
    "post_transform",
];

/// Names of the attributes that say what leaves weigh.
struct Names {
    others: &'static [&'static str],
    trees: &'static str,
    nodes: &'static str,
    ids: &'static str,
    weights: &'static str,
    weights_as_tensor: &'static str,
}

const CLASSIFIER: Names = Names {
    others: &["classlabels_int64s", "classlabels_strings"],
    trees: "class_treeids",
    nodes: "class_nodeids",
    ids: "class_ids",
    weights: "class_weights",
    weights_as_tensor: "class_weights_as_tensor",
};

const REGRESSOR: Names = Names {
    others: &["aggregate_function", "n_targets"],
    trees: "target_treeids",
    nodes: "target_nodeids",
    ids: "target_ids",
    weights: "target_weights",
    weights_as_tensor: "target_weights_as_tensor",
};

pub(super) fn read(node: &Node<'_>, matrix: &Matrix, size: usize, limits: &Limits) -> Result<Ensemble, Error> {
    let classifier = node.op == "TreeEnsembleClassifier";
    let names = if classifier { CLASSIFIER } else { REGRESSOR };
    let Names { trees, nodes, ids, weights, weights_as_tensor, .. } = names;
    node.only(&[SHARED, names.others, &[trees, nodes, ids, weights, weights_as_tensor]].concat())?;
    let classes = if classifier { labels::list(node, limits)? } else { Vec::new() };
    let weights = Weights::read(node, &names, matrix.kind, limits)?;
    let base = numbers(node, "base_values", "base_values_as_tensor", matrix.kind, limits)?;
    if let Some(value) = base.iter().find(|value| !value.is_finite()) {
        return Err(node.fault(format!("has a base value that is {value}")));
    }
    let post = node.text("post_transform", limits)?.unwrap_or("NONE");
    let post = scoring::transform(post)
        .ok_or_else(|| node.fault(format!("has an unknown post_transform `{}`", quote(post))))?;
    let targets = if classifier {
        scoring::margins(node, classes.len(), &weights.sorted)?
    } else {
        scoring::targets(node, limits)?
    };
    let mut builder = Builder::new(matrix.kind, matrix.columns.len(), targets, size, limits);
    trees_of(node, &weights, &mut builder, limits)?;
    let scoring = if classifier {
        scoring::classifier(node, &classes, &weights.sorted, base, post, &builder, matrix.kind)?
    } else {
        let aggregate = node.text("aggregate_function", limits)?.unwrap_or("SUM");
        let aggregate = scoring::aggregate(aggregate)
            .ok_or_else(|| node.fault(format!("has an unknown aggregate_function `{}`", quote(aggregate))))?;
        scoring::regressor(node, aggregate, base, post, &builder, matrix.kind)?
    };
    let Builder { trees, sets, truncates, .. } = builder;
    Ok(Ensemble { trees, scoring, classes, sets, truncates })
}

/// Floats, or the tensor of the input's own type.
pub(super) fn numbers(
    node: &Node<'_>,
    plain: &str,
    tensor: &str,
    kind: Kind,
    limits: &Limits,
) -> Result<Vec<f64>, Error> {
    let floats = node.floats(plain)?;
    let Some(tensor_of) = node.tensor(tensor, limits)? else { return Ok(floats) };
    // onnxruntime unpacks it as its thresholds' type: doubles for an input of doubles, else floats
    let expected = if kind == Kind::Double { Kind::Double } else { Kind::Float };
    if Kind::of(tensor_of.element) != Some(expected) {
        return Err(node.fault(format!("has {tensor} of another type than its input")));
    }
    if !floats.is_empty() {
        return Err(node.fault(format!("has {plain} and {tensor}")));
    }
    tensor_of.numbers()
}

/// What leaves weigh, by tree and node.
struct Weights {
    /// Of which tree and node each is.
    ids: Vec<(i64, i64)>,
    sorted: Vec<Weight>,
}

impl Weights {
    fn read(node: &Node<'_>, names: &Names, kind: Kind, limits: &Limits) -> Result<Self, Error> {
        let (trees, nodes, targets) = (node.ints(names.trees)?, node.ints(names.nodes)?, node.ints(names.ids)?);
        let values = numbers(node, names.weights, names.weights_as_tensor, kind, limits)?;
        if [trees.len(), nodes.len(), targets.len()] != [values.len(); 3] {
            let Names { trees, nodes, ids, weights, .. } = names;
            return Err(node.fault(format!("has {trees}, {nodes}, {ids} and {weights} of several lengths")));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(node.fault(format!("has a weight that is {value}")));
        }
        let ids = trees.into_iter().zip(nodes);
        let mut all = Vec::with_capacity(values.len());
        for (id, (target, value)) in ids.zip(targets.into_iter().zip(values)) {
            let target = u32::try_from(target).map_err(|_| node.fault(format!("weighs target {target}")))?;
            all.push((id, (target, value)));
        }
        // onnxruntime sorts them, so that equals stay in the file's order
        all.sort_by_key(|(id, _)| *id);
        Ok(Self { ids: all.iter().map(|(id, _)| *id).collect(), sorted: all.into_iter().map(|(_, of)| of).collect() })
    }

    /// Where those of a node stand.
    fn range(&self, id: (i64, i64)) -> (u32, u32) {
        let from = self.ids.partition_point(|other| *other < id);
        let after = self.ids.get(from..).unwrap_or_default();
        let to = from + after.iter().take_while(|other| **other == id).count();
        (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(to).unwrap_or(u32::MAX))
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Leaf,
    AtMost,
    Below,
    AtLeast,
    Above,
    Is,
    IsNot,
}

impl Mode {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"LEAF" => Self::Leaf,
            b"BRANCH_LEQ" => Self::AtMost,
            b"BRANCH_LT" => Self::Below,
            b"BRANCH_GTE" => Self::AtLeast,
            b"BRANCH_GT" => Self::Above,
            b"BRANCH_EQ" => Self::Is,
            b"BRANCH_NEQ" => Self::IsNot,
            _ => return None,
        })
    }

    /// `None` for a leaf.
    fn ask(self, value: f64) -> Option<Ask> {
        Some(match self {
            Self::Leaf => return None,
            Self::AtMost => Ask::AtMost(value),
            Self::Below => Ask::Below(value),
            Self::AtLeast => Ask::AtLeast(value),
            Self::Above => Ask::Above(value),
            Self::Is => Ask::Is(value),
            Self::IsNot => Ask::IsNot(value),
        })
    }
}

/// The nodes of all trees, attribute by attribute.
struct Nodes {
    trees: Vec<i64>,
    ids: Vec<i64>,
    features: Vec<i64>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing: Vec<i64>,
    modes: Vec<Mode>,
    values: Vec<f64>,
}

impl Nodes {
    fn read(node: &Node<'_>, kind: Kind, limits: &Limits) -> Result<Self, Error> {
        let mut modes = Vec::new();
        for name in node.strings("nodes_modes") {
            let name = name?.bytes;
            let mode = Mode::of(name);
            let known = || node.fault(format!("has an unknown mode `{}`", quote(&String::from_utf8_lossy(name))));
            modes.push(mode.ok_or_else(known)?);
        }
        let nodes = Self {
            trees: node.ints("nodes_treeids")?,
            ids: node.ints("nodes_nodeids")?,
            features: node.ints("nodes_featureids")?,
            yes: node.ints("nodes_truenodeids")?,
            no: node.ints("nodes_falsenodeids")?,
            missing: node.ints("nodes_missing_value_tracks_true")?,
            modes,
            values: numbers(node, "nodes_values", "nodes_values_as_tensor", kind, limits)?,
        };
        let count = nodes.modes.len();
        let lengths = [&nodes.trees, &nodes.ids, &nodes.features, &nodes.yes, &nodes.no].map(Vec::len);
        let missing = nodes.missing.len();
        if lengths != [count; 5] || nodes.values.len() != count || (missing != 0 && missing != count) {
            return Err(node.fault("has attributes of its nodes of several lengths"));
        }
        if count == 0 {
            return Err(node.fault("has no nodes"));
        }
        Ok(nodes)
    }
}

/// Each run of one tree id is a tree, its first node the root, as for onnxruntime.
fn trees_of(node: &Node<'_>, weights: &Weights, builder: &mut Builder<'_>, limits: &Limits) -> Result<(), Error> {
    let nodes = Nodes::read(node, builder.kind(), limits)?;
    if nodes.trees.len() > limits.max_nodes {
        return Err(Error::limit("nodes of all trees", limits.max_nodes));
    }
    let shared = Shared { weights: &weights.sorted, members: &[] };
    let mut used = 0;
    let mut from = 0;
    let mut seen = Vec::new();
    for run in nodes.trees.chunk_by(|a, b| a == b) {
        let tree = run.first().copied().unwrap_or_default();
        seen.push(tree);
        let (items, ids) = items(node, &nodes, from, run.len(), weights, &mut used)?;
        // which node an item is, for errors
        let name = |error| match error {
            Error::Tree { node: at, message } => {
                let id = ids.get(at as usize).copied().unwrap_or_default();
                node.fault(format!("tree {tree}: node {id} {message}"))
            }
            Error::Model { message } => node.fault(format!("tree {tree}: {message}")),
            other => other,
        };
        builder.add(&items, &shared).map_err(name)?;
        from += run.len();
    }
    seen.sort_unstable();
    if let Some([tree, _]) = seen.array_windows().find(|[a, b]| a == b) {
        return Err(
            node.fault(format!("tree {tree} is in parts with others between; onnxruntime takes them for trees"))
        );
    }
    if used != weights.sorted.len() {
        return Err(node.fault("weighs a leaf that is not there"));
    }
    Ok(())
}

/// The nodes of a run, with children as positions in it; and their ids.
fn items<'n>(
    node: &Node<'_>,
    nodes: &'n Nodes,
    from: usize,
    count: usize,
    weights: &Weights,
    used: &mut usize,
) -> Result<(Vec<Item>, &'n [i64]), Error> {
    fn part<T>(of: &[T], from: usize, count: usize) -> &[T] {
        of.get(from..from + count).unwrap_or_default()
    }
    let ids = part(&nodes.ids, from, count);
    let tree = nodes.trees.get(from).copied().unwrap_or_default();
    let mut places: Vec<(i64, u32)> = ids.iter().copied().zip(0..).collect();
    places.sort_unstable();
    if let Some([(id, _), _]) = places.array_windows().find(|[a, b]| a.0 == b.0) {
        return Err(node.fault(format!("tree {tree} has two nodes {id}")));
    }
    let place = |id: i64, child: i64| {
        let found = places.binary_search_by_key(&child, |(id, _)| *id).ok().and_then(|at| places.get(at));
        let missing = || node.fault(format!("tree {tree}: node {id} has a child {child}, which is not there"));
        found.map(|(_, at)| *at).ok_or_else(missing)
    };
    let mut items = Vec::with_capacity(count);
    let questions = part(&nodes.modes, from, count).iter().zip(part(&nodes.values, from, count));
    let children = part(&nodes.yes, from, count).iter().zip(part(&nodes.no, from, count));
    let mut missing = part(&nodes.missing, from, count).iter();
    let each = ids.iter().zip(part(&nodes.features, from, count)).zip(questions).zip(children);
    for (((id, feature), (mode, value)), (yes, no)) in each {
        let (first, last) = weights.range((tree, *id));
        *used += (last - first) as usize;
        let missing_yes = match missing.next() {
            None | Some(0) => false,
            Some(1) => true,
            Some(other) => return Err(node.fault(format!("tree {tree}: node {id} tracks missing values by {other}"))),
        };
        items.push(match mode.ask(*value) {
            None => Item::Leaf(first, last),
            Some(ask) => Item::Split {
                column: u32::try_from(*feature)
                    .map_err(|_| node.fault(format!("tree {tree}: node {id} splits on feature {feature}")))?,
                ask,
                yes: place(*id, *yes)?,
                no: place(*id, *no)?,
                missing_yes,
            },
        });
    }
    Ok((items, ids))
}
