//! The one form that every reader ends in and that everything else starts from. It can only hold a legal ensemble:
//! [`Tree::new`] and [`Model::new`] check what the rest relies on. It knows no file format.

use std::fmt;

use crate::error::Error;
use crate::limits::Limits;

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Gives a probability for each class and the class itself, for each output.
    Classification,
    /// Gives a number for each output.
    Regression,
}

/// How what the trees say becomes what the model says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// There is one tree, and its leaf is the answer.
    Single,
    /// From 0.0, `f64`, add the trees' leaves in order, then divide by the number of trees. The first largest
    /// probability is the class.
    Mean,
}

/// A column of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// As the file has it.
    pub name: Option<String>,
    /// Whether NaN is a value.
    pub missing_allowed: bool,
}

/// A class as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// An integer of any width.
    Int(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(String),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// What a model was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Such as `scikit-learn`.
    pub library: &'static str,
    /// Such as `1.9.1`, as the file says.
    pub version: String,
    /// Such as `RandomForestClassifier`.
    pub class: &'static str,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.library, self.version, self.class)
    }
}

/// A node. Children are positions in [`Tree::nodes`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// `x[feature] as f32 as f64 <= threshold` goes left, else right; NaN goes left if `missing_left`.
    Split {
        /// Column of the input.
        feature: u32,
        /// Never NaN; may be infinite.
        threshold: f64,
        /// Where a row goes that is at or below the threshold.
        left: u32,
        /// Where the others go.
        right: u32,
        /// Where NaN goes.
        missing_left: bool,
    },
    /// The end: which of the tree's leaves.
    Leaf(u32),
}

/// One tree: node 0 is the root, every other node has exactly one parent, and every leaf has its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    nodes: Vec<Node>,
    values: Vec<f64>,
    labels: Vec<u32>,
    depth: usize,
}

impl Tree {
    /// `values` has for each leaf, in the order of their numbers, as many numbers as a row of the model's answer; `labels`
    /// for each leaf a class for each output, or nothing where the classes follow from the values.
    ///
    /// # Errors
    /// [`Error::Tree`] for children out of range, shared or cyclic nodes, nodes that nothing reaches, a NaN threshold;
    /// [`Error::Limit`] for depth.
    pub fn new(nodes: Vec<Node>, values: Vec<f64>, labels: Vec<u32>, limits: &Limits) -> Result<Self, Error> {
        let depth = check_shape(&nodes, limits)?;
        Ok(Self { nodes, values, labels, depth })
    }

    /// Root first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Of all leaves, one after another.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Of all leaves, one after another; empty unless a leaf names its class itself.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Splits between the root and the deepest leaf.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How many leaves there are.
    pub fn leaves(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node, Node::Leaf(_))).count()
    }
}

/// Walks once from the root; each node must be met exactly once. Returns the depth.
fn check_shape(nodes: &[Node], limits: &Limits) -> Result<usize, Error> {
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
        if let Node::Split { threshold, left, right, .. } = *node {
            if threshold.is_nan() {
                return Err(Error::tree(at, "has NaN as its threshold"));
            }
            waiting.push((right, depth + 1));
            waiting.push((left, depth + 1));
        }
    }
    if seen != nodes.len() {
        let lost = met.iter().position(|met| !met).unwrap_or(0);
        return Err(Error::tree(u32::try_from(lost).unwrap_or(u32::MAX), "is reached from nowhere"));
    }
    Ok(deepest)
}

/// A trained ensemble.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    task: Task,
    features: Vec<Feature>,
    n_outputs: usize,
    classes: Vec<Vec<Label>>,
    aggregation: Aggregation,
    trees: Vec<Tree>,
    source: Source,
}

/// The parts of a [`Model`], before they were checked against each other.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) task: Task,
    pub(crate) features: Vec<Feature>,
    pub(crate) n_outputs: usize,
    pub(crate) classes: Vec<Vec<Label>>,
    pub(crate) aggregation: Aggregation,
    pub(crate) trees: Vec<Tree>,
    pub(crate) source: Source,
}

impl Model {
    /// Reads a file, whatever it is: see the crate's own page for what it may be.
    ///
    /// # Errors
    /// [`Error`]: what the file is or has that is not read here, where, and what would work instead.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        let plain = crate::compression::decompress(bytes, limits)?;
        crate::detect::refuse_others(&plain)?;
        let pickle = crate::pickle::read(&plain, limits)?;
        crate::sklearn::model(&pickle, limits)
    }

    /// Puts a model together.
    ///
    /// # Errors
    /// [`Error::Tree`] or [`Error::Model`] when the parts do not fit each other.
    pub(crate) fn new(parts: Parts) -> Result<Self, Error> {
        let Parts { task, features, n_outputs, classes, aggregation, trees, source } = parts;
        let width = match task {
            Task::Classification => classes.iter().map(Vec::len).sum(),
            Task::Regression => n_outputs,
        };
        let outputs_fit = match task {
            Task::Classification => classes.len() == n_outputs && classes.iter().all(|classes| !classes.is_empty()),
            Task::Regression => classes.is_empty(),
        };
        let trees_fit = match aggregation {
            Aggregation::Single => trees.len() == 1,
            Aggregation::Mean => !trees.is_empty(),
        };
        if n_outputs == 0 || !outputs_fit {
            return Err(Error::model("outputs and classes disagree"));
        }
        if !trees_fit {
            return Err(Error::model(format!("{} trees, where {aggregation:?} needs others", trees.len())));
        }
        if features.is_empty() {
            return Err(Error::model("no features"));
        }
        let model = Self { task, features, n_outputs, classes, aggregation, trees, source };
        for (number, tree) in model.trees.iter().enumerate() {
            model.check_tree(tree, width).map_err(|error| error.within(&format!("tree {number}")))?;
        }
        Ok(model)
    }

    fn check_tree(&self, tree: &Tree, width: usize) -> Result<(), Error> {
        let mut leaves = vec![false; tree.leaves()];
        for (at, node) in (0_u32..).zip(tree.nodes()) {
            match *node {
                Node::Split { feature, .. } if feature as usize >= self.features.len() => {
                    let message = format!("splits on feature {feature}, of {}", self.features.len());
                    return Err(Error::tree(at, message));
                }
                Node::Split { .. } => {}
                Node::Leaf(leaf) => match leaves.get_mut(leaf as usize) {
                    Some(met) if !*met => *met = true,
                    _ => return Err(Error::tree(at, format!("has leaf number {leaf}, taken or too large"))),
                },
            }
        }
        if tree.values().len() != leaves.len().saturating_mul(width) {
            return Err(Error::model(format!("{} values for {} leaves", tree.values().len(), leaves.len())));
        }
        let named = self.task == Task::Classification && self.aggregation == Aggregation::Single;
        let labels = if named { leaves.len().saturating_mul(self.n_outputs) } else { 0 };
        if tree.labels().len() != labels {
            return Err(Error::model(format!("{} labels for {} leaves", tree.labels().len(), leaves.len())));
        }
        let legal = |(at, label): (usize, &u32)| {
            self.classes.get(at % self.n_outputs).is_some_and(|classes| (*label as usize) < classes.len())
        };
        if !tree.labels().iter().enumerate().all(legal) {
            return Err(Error::model("a leaf names a class that is not there"));
        }
        Ok(())
    }

    /// What it does.
    pub fn task(&self) -> Task {
        self.task
    }

    /// The columns of the input, in order. Either all have a name or none has.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The names of the columns, if the file has them.
    pub fn feature_names(&self) -> Option<Vec<&str>> {
        self.features.iter().map(|feature| feature.name.as_deref()).collect()
    }

    /// How many columns the input has.
    pub fn n_features(&self) -> usize {
        self.features.len()
    }

    /// How many targets there are.
    pub fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    /// For each output its classes in order; empty for a regressor.
    pub fn classes(&self) -> &[Vec<Label>] {
        &self.classes
    }

    /// Whether any feature takes NaN.
    pub fn missing_allowed(&self) -> bool {
        self.features.iter().any(|feature| feature.missing_allowed)
    }

    /// How the trees' answers are put together.
    pub fn aggregation(&self) -> Aggregation {
        self.aggregation
    }

    /// In the order in which they are added.
    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Nodes of all trees, leaves included.
    pub fn n_nodes(&self) -> usize {
        self.trees.iter().map(|tree| tree.nodes().len()).sum()
    }

    /// Of the deepest tree.
    pub fn depth(&self) -> usize {
        self.trees.iter().map(Tree::depth).max().unwrap_or(0)
    }

    /// What it was read from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Numbers in a row of the answer: the probabilities of each output after one another, or the values.
    pub fn width(&self) -> usize {
        match self.task {
            Task::Classification => self.classes.iter().map(Vec::len).sum(),
            Task::Regression => self.n_outputs,
        }
    }
}
