//! One `sklearn.tree._tree.Tree`: its node records and its leaves' values.

use super::attributes::{Attributes, Reader};
use super::version::Version;
use crate::error::Error;
use crate::formats::pickle::known::Known;
use crate::formats::pickle::numpy::{Array, Field, Kind};
use crate::formats::pickle::value::Value;
use crate::link::pairwise_sum;
use crate::model::{Node, Split, Test, Tree, TreeParts};

/// A leaf's `left_child` and `right_child`.
const LEAF: i64 = -1;

/// What the estimator says that each of its trees must agree with.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) n_features: usize,
    /// For each output; for a regressor each is 1.
    pub(super) n_classes: Vec<usize>,
    pub(super) classifier: bool,
    /// Whether the leaves themselves name the classes: a tree that stands alone.
    pub(super) alone: bool,
    pub(super) version: Version,
}

impl Shape {
    fn stride(&self) -> usize {
        self.n_classes.iter().copied().max().unwrap_or(0)
    }
}

pub(super) fn tree(reader: &mut Reader<'_>, value: Value, path: &str, shape: &Shape) -> Result<Tree, Error> {
    let (parts, _) = parts(reader, value, path, shape)?;
    Tree::new(parts, reader.limits).map_err(|error| error.within(path))
}

/// What a tree is made of, and for each leaf its node and how many rows of the training data ended there.
pub(super) fn parts(
    reader: &mut Reader<'_>,
    value: Value,
    path: &str,
    shape: &Shape,
) -> Result<(TreeParts, Vec<(usize, i64)>), Error> {
    if reader.class(value) != Some(Known::Tree) {
        let message = format!("is {} where a sklearn.tree._tree.Tree was expected", reader.arena.kind(value));
        return Err(Error::content(path, reader.arena.offset(value), message));
    }
    reader.claim(value, path)?;
    check_arguments(reader, value, path, shape)?;
    let attributes = reader.attributes(value, path)?;
    let count = attributes.count("node_count")?;
    if count == 0 {
        return Err(attributes.fault("node_count", "is 0; a tree has a root"));
    }
    reader.nodes = reader.nodes.saturating_add(count);
    if reader.nodes > reader.limits.max_nodes {
        return Err(Error::limit("nodes of all trees", reader.limits.max_nodes));
    }
    let Nodes { nodes, leaves, samples, cover, impurity } = nodes(reader, &attributes, count, shape)?;
    let (values, labels) = values(reader, &attributes, count, &leaves, shape)?;
    let gain = gain(&nodes, &cover, &impurity);
    let parts = TreeParts { nodes, values, labels, cover, gain, ..TreeParts::default() };
    Ok((parts, leaves.into_iter().zip(samples).collect()))
}

/// `Tree(n_features, n_classes, n_outputs)`.
fn check_arguments(reader: &Reader<'_>, value: Value, path: &str, shape: &Shape) -> Result<(), Error> {
    let arena = reader.arena;
    let args = arena.instance(value).and_then(|instance| arena.tuple(instance.args));
    let wrong = |message: String| Error::content(path, arena.offset(value), message);
    let Some(&[n_features, n_classes, n_outputs]) = args else {
        return Err(wrong("is not made of features, classes and outputs".to_owned()));
    };
    let count = |value| arena.int(value).and_then(|int| usize::try_from(int).ok());
    let classes = arena.array(n_classes).filter(|array| array.shape == [shape.n_classes.len()]);
    let classes: Option<Vec<usize>> =
        classes.and_then(Array::ints).and_then(|ints| ints.map(|int| usize::try_from(int).ok()).collect());
    if count(n_features) != Some(shape.n_features) {
        return Err(wrong(format!("has another number of features than its estimator's {}", shape.n_features)));
    }
    if count(n_outputs) != Some(shape.n_classes.len()) || classes.as_ref() != Some(&shape.n_classes) {
        return Err(wrong(format!("has other outputs or classes than its estimator's {:?}", shape.n_classes)));
    }
    Ok(())
}

/// The fields of a node record that matter here.
struct Record<'r> {
    left: &'r Field,
    right: &'r Field,
    feature: &'r Field,
    threshold: &'r Field,
    impurity: &'r Field,
    samples: &'r Field,
    weight: &'r Field,
    missing: Option<&'r Field>,
}

impl<'r> Record<'r> {
    /// Strict: exactly the fields of this version, each of its kind.
    fn new(fields: &'r [Field], version: Version) -> Option<Self> {
        let find = |name: &str, kind: Kind, sizes: &[usize]| {
            let field = fields.iter().find(|field| *field.name == *name)?;
            (field.dtype.kind == kind && sizes.contains(&field.dtype.size)).then_some(field)
        };
        let missing = find("missing_go_to_left", Kind::Uint, &[1]);
        if missing.is_some() != version.has_missing() || fields.len() != 7 + usize::from(missing.is_some()) {
            return None;
        }
        Some(Self {
            left: find("left_child", Kind::Int, &[4, 8])?,
            right: find("right_child", Kind::Int, &[4, 8])?,
            feature: find("feature", Kind::Int, &[4, 8])?,
            threshold: find("threshold", Kind::Float, &[8])?,
            impurity: find("impurity", Kind::Float, &[8])?,
            samples: find("n_node_samples", Kind::Int, &[4, 8])?,
            weight: find("weighted_n_node_samples", Kind::Float, &[8])?,
            missing,
        })
    }
}

pub(super) fn part<'e>(field: &Field, element: &'e [u8]) -> &'e [u8] {
    element.get(field.offset..field.offset + field.dtype.size).unwrap_or_default()
}

/// What the records say.
#[derive(Default)]
struct Nodes {
    nodes: Vec<Node>,
    /// The positions of the leaves among them.
    leaves: Vec<usize>,
    /// How many rows of the training data ended in each leaf.
    samples: Vec<i64>,
    cover: Vec<f64>,
    impurity: Vec<f64>,
}

fn nodes(reader: &mut Reader<'_>, attributes: &Attributes<'_>, count: usize, shape: &Shape) -> Result<Nodes, Error> {
    let (value, array) = attributes.array("nodes")?;
    reader.claim(value, &attributes.path_of("nodes"))?;
    let record = array.dtype.fields().and_then(|fields| Record::new(fields, shape.version));
    let Some(record) = record else {
        let message = format!("is of {}, which scikit-learn 1.{} has not", array.dtype.name(), shape.version.minor);
        return Err(attributes.fault("nodes", message));
    };
    let elements = array.elements().filter(|elements| array.shape == [count] && elements.len() == count);
    let elements = elements.ok_or_else(|| {
        attributes.fault("nodes", format!("has shape {:?} where [{count}] was expected", array.shape))
    })?;
    reader.spend(count.saturating_mul(array.dtype.size), &attributes.path_of("nodes"))?;
    let mut found = Nodes { nodes: Vec::with_capacity(count), ..Nodes::default() };
    for (at, element) in elements.enumerate() {
        let node = node(&record, element, found.leaves.len());
        let node = node.map_err(|message| attributes.fault("nodes", format!("node {at} {message}")))?;
        if matches!(node, Node::Leaf(_)) {
            found.leaves.push(at);
            found.samples.push(record.samples.dtype.int(part(record.samples, element)).unwrap_or(0));
        }
        found.nodes.push(node);
        let float = |field: &Field| field.dtype.float(part(field, element)).unwrap_or(0.0);
        found.cover.push(float(record.weight));
        found.impurity.push(float(record.impurity));
    }
    Ok(found)
}

fn node(record: &Record<'_>, element: &[u8], leaf: usize) -> Result<Node, &'static str> {
    let int = |field: &Field| field.dtype.int(part(field, element)).ok_or("is damaged");
    let (left, right) = (int(record.left)?, int(record.right)?);
    if left == LEAF && right == LEAF {
        return u32::try_from(leaf).map(Node::Leaf).map_err(|_| "is one leaf too many");
    }
    let child = |child: i64| u32::try_from(child).map_err(|_| "has one child, or a child before the first node");
    let threshold = record.threshold.dtype.float(part(record.threshold, element)).ok_or("is damaged")?;
    Ok(Node::Split(Split {
        column: u32::try_from(int(record.feature)?).map_err(|_| "splits on a feature that is none")?,
        test: Test::AtMost(threshold),
        left: child(left)?,
        right: child(right)?,
        missing_left: record.missing.is_some_and(|field| part(field, element) != [0]),
        zero_is_missing: false,
    }))
}

/// What each split lowered the weighted impurity by, as `compute_unnormalized_feature_importances` has it.
fn gain(nodes: &[Node], cover: &[f64], impurity: &[f64]) -> Vec<f64> {
    let weighted = |at: u32| Some(cover.get(at as usize)? * impurity.get(at as usize)?);
    let gain = |(at, node): (u32, &Node)| match node {
        Node::Leaf(_) => Some(0.0),
        Node::Split(split) => Some(weighted(at)? - weighted(split.left)? - weighted(split.right)?),
    };
    (0_u32..).zip(nodes).map(|node| gain(node).unwrap_or(0.0)).collect()
}

/// What the leaves say, and the classes that they name if the tree stands alone.
fn values(
    reader: &mut Reader<'_>,
    attributes: &Attributes<'_>,
    count: usize,
    leaves: &[usize],
    shape: &Shape,
) -> Result<(Vec<f64>, Vec<u32>), Error> {
    let (value, array) = attributes.array("values")?;
    reader.claim(value, &attributes.path_of("values"))?;
    let stride = shape.stride();
    let expected = [count, shape.n_classes.len(), stride];
    let row = shape.n_classes.len().saturating_mul(stride).saturating_mul(8);
    let is_f64 = array.dtype.kind == Kind::Float && array.dtype.size == 8;
    let (Some(elements), true, true) = (array.elements(), is_f64, array.shape == expected) else {
        let message = format!("has shape {:?} of {}; expected {expected:?} of f8", array.shape, array.dtype.name());
        return Err(attributes.fault("values", message));
    };
    reader.spend(count.saturating_mul(row), &attributes.path_of("values"))?;
    let per_node = shape.n_classes.len() * stride;
    let mut out = Leaves { values: Vec::new(), labels: Vec::new() };
    let mut raw: Vec<f64> = Vec::with_capacity(per_node);
    let mut wanted = leaves.iter().copied().peekable();
    let mut elements = elements;
    for at in 0..count {
        let is_leaf = wanted.next_if_eq(&at).is_some();
        let checked = at == 0 && shape.classifier && shape.version.has_fractions();
        if !is_leaf && !checked {
            elements.nth(per_node.saturating_sub(1));
            continue;
        }
        raw.clear();
        raw.extend(elements.by_ref().take(per_node).filter_map(|element| array.dtype.float(element)));
        if checked {
            check_fractions(&raw, stride).map_err(|message| attributes.fault("values", message))?;
        }
        if is_leaf {
            let added = out.add(&raw, stride, shape);
            added.map_err(|message| attributes.fault("values", format!("leaf at node {at} {message}")))?;
        }
    }
    Ok((out.values, out.labels))
}

/// A file that scikit-learn before 1.4 trained and that a later one saved again holds counts under a version that means
/// fractions; scikit-learn itself then predicts "probabilities" beyond 1.
fn check_fractions(root: &[f64], stride: usize) -> Result<(), String> {
    let is_one = |output: &[f64]| (output.iter().sum::<f64>() - 1.0).abs() < 1e-6;
    if root.chunks_exact(stride.max(1)).all(is_one) {
        return Ok(());
    }
    let what = "holds counts at the root where scikit-learn 1.4 and later hold fractions";
    Err(format!("{what}: trained by an older version and saved again by a newer; train it again"))
}

struct Leaves {
    values: Vec<f64>,
    labels: Vec<u32>,
}

impl Leaves {
    /// `raw` has `stride` numbers for each output, zeros where an output has fewer classes.
    fn add(&mut self, raw: &[f64], stride: usize, shape: &Shape) -> Result<(), &'static str> {
        if raw.iter().any(|value| !value.is_finite()) {
            return Err("holds what is no finite number");
        }
        for (raw, n_classes) in raw.chunks_exact(stride.max(1)).zip(&shape.n_classes) {
            let own = raw.get(..*n_classes).ok_or("holds too few numbers")?;
            if shape.classifier && shape.alone {
                let label = first_largest(raw);
                let label = Some(label).filter(|label| label < n_classes).ok_or("has negative weights only")?;
                self.labels.push(u32::try_from(label).map_err(|_| "has too many classes")?);
            }
            let total = if shape.classifier && !shape.version.has_fractions() { pairwise_sum(own) } else { 1.0 };
            let divisor = if total == 0.0 { 1.0 } else { total };
            self.values.extend(own.iter().map(|value| value / divisor));
        }
        Ok(())
    }
}

/// `numpy.argmax`.
fn first_largest(values: &[f64]) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (at, value) in values.iter().enumerate() {
        if *value > best.1 {
            best = (at, *value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_largest_wins() {
        assert_eq!(first_largest(&[0.0, 2.0, 2.0]), 1);
        assert_eq!(first_largest(&[0.0, 0.0]), 0);
        assert_eq!(first_largest(&[-2.0, -1.0]), 1);
    }
}
