//! The one form that every reader ends in and that everything else starts from. It can only hold a legal ensemble:
//! [`Tree::new`] and [`Model::new`] check what the rest relies on. It knows no file format.

mod feature;
pub(crate) mod float;
mod known;
mod prepare;
mod rules;
mod tree;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::link::Link;
pub use feature::{Categories, Feature, FeatureKind, Label, Source};
pub use known::{KnownCategories, Scalar, Unseen};
pub(crate) use prepare::Fault;
pub use prepare::{Column, Encoding, Step};
pub use rules::{CategoryRule, Combine, Decision, Finish, Input, Precision, Sum};
pub use tree::{Linear, Node, Split, Test, Tree, TreeParts};

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Gives a probability for each class and the class itself, for each output.
    Classification,
    /// Gives a number for each output.
    Regression,
    /// Gives one number, low for what is unlike the training data, and one of the two classes −1 and 1.
    OutlierDetection,
}

/// A trained ensemble.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    parts: Parts,
}

/// The parts of a [`Model`], before they were checked against each other. Serialized, it has no trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// What it does.
    pub task: Task,
    /// The columns of the input. Either all have a name or none has.
    pub features: Vec<Feature>,
    /// How the input is taken.
    pub input: Input,
    /// What trees ask, made from the features; empty if it is the features themselves.
    pub columns: Vec<Column>,
    /// Targets.
    pub n_outputs: usize,
    /// For each output its classes in order; of an outlier detector −1 and 1; empty for a regressor.
    #[serde(deserialize_with = "feature::classes")]
    pub classes: Vec<Vec<Label>>,
    /// How leaves become margins; [`Sum::start`] has a number for each margin.
    pub sum: Sum,
    /// How margins become values.
    pub link: Link,
    /// How the class is chosen.
    pub decision: Decision,
    /// In the order in which they are added.
    #[serde(skip)]
    pub trees: Vec<Tree>,
    /// What it was read from.
    pub source: Source,
}

impl Model {
    /// Puts a model together.
    ///
    /// # Errors
    /// [`Error::Content`] or [`Error::Model`] when the parts do not fit each other.
    pub fn new(parts: Parts) -> Result<Self, Error> {
        let model = Self { parts };
        model.check_answer()?;
        model.check_columns()?;
        for (number, tree) in model.trees().iter().enumerate() {
            model.check_tree(tree).map_err(|error| error.within(&format!("tree {number}")))?;
        }
        Ok(model)
    }

    /// Outputs, classes, margins, link and decision.
    fn check_answer(&self) -> Result<(), Error> {
        let Parts { task, n_outputs, classes, sum, link, decision, trees, .. } = &self.parts;
        let outputs_fit = match task {
            Task::Classification => classes.len() == *n_outputs && classes.iter().all(|classes| !classes.is_empty()),
            Task::Regression => classes.is_empty(),
            Task::OutlierDetection => *n_outputs == 1 && classes.len() == 1 && classes.iter().all(|of| of.len() == 2),
        };
        if *n_outputs == 0 || !outputs_fit {
            return Err(Error::model("outputs and classes disagree"));
        }
        if sum.start.is_empty() || sum.start.iter().any(|base| base.is_nan()) {
            return Err(Error::model("there are no margins, or one starts from NaN"));
        }
        if let Finish::ScaleAndShift { shift, .. } | Finish::DivideAndShift { shift, .. } = &sum.finish
            && shift.len() != sum.start.len()
        {
            return Err(Error::model(format!("{} shifts for {} margins", shift.len(), sum.start.len())));
        }
        if link.width(sum.start.len(), *task == Task::Classification, *n_outputs) != Some(self.width()) {
            let (margins, width) = (sum.start.len(), self.width());
            return Err(Error::model(format!("{margins} margins can not become {width} values by {link:?}")));
        }
        let pairs = classes.iter().all(|of| of.len() == 2);
        let decision_fits = match decision {
            Decision::None => *task == Task::Regression,
            Decision::Leaf => *task == Task::Classification && trees.len() == 1,
            Decision::LargestValue => *task == Task::Classification,
            Decision::LargestMargin => {
                *task == Task::Classification && *n_outputs == 1 && sum.start.len() == self.width()
            }
            Decision::MarginAbove(_) | Decision::MarginAtLeast(_) => pairs && sum.start.len() == *n_outputs,
            Decision::ValueAtLeast(_) => pairs && self.width() == *n_outputs,
        };
        if !decision_fits || (*task == Task::Regression) != (*decision == Decision::None) {
            return Err(Error::model(format!("{decision:?} can not choose a class here")));
        }
        Ok(())
    }

    fn check_columns(&self) -> Result<(), Error> {
        let Parts { features, columns, .. } = &self.parts;
        if features.is_empty() {
            return Err(Error::model("no features"));
        }
        let named = features.iter().filter(|feature| feature.name.is_some()).count();
        if named != 0 && named != features.len() {
            return Err(Error::model(format!("{named} of {} features have a name", features.len())));
        }
        if let Some(at) = columns.iter().position(|column| column.feature as usize >= features.len()) {
            return Err(Error::model(format!("column {at} is made from a feature that is not there")));
        }
        let encodings = columns.iter().flat_map(|column| &column.steps).filter_map(|step| match step {
            Step::Encode(encoding) => Some(encoding),
            _ => None,
        });
        for encoding in encodings {
            if !encoding.categories.is_sorted_by(|a, b| a < b) {
                return Err(Error::model("the categories of an encoding are not ascending"));
            }
        }
        Ok(())
    }

    fn check_tree(&self, tree: &Tree) -> Result<(), Error> {
        let (columns, margins) = (self.n_columns(), self.n_margins());
        for (at, node) in (0_u32..).zip(tree.nodes()) {
            if let Node::Split(split) = node
                && split.column as usize >= columns
            {
                return Err(Error::tree(at, format!("splits on feature {}, of {columns}", split.column)));
            }
        }
        let mut terms = tree.linear().iter().flat_map(|linear| &linear.terms);
        if terms.any(|(column, _)| *column as usize >= columns) {
            return Err(Error::model(format!("a linear leaf asks for a feature beyond {columns}")));
        }
        let each = match tree.target() {
            Some(target) if target >= margins => {
                return Err(Error::model(format!("adds to margin {target}, of {margins}")));
            }
            Some(_) => 1,
            None => margins,
        };
        if !tree.linear().is_empty() && each != 1 {
            return Err(Error::model("linear leaves give one number, not several"));
        }
        if tree.values().len() != tree.leaves().saturating_mul(each) {
            return Err(Error::model(format!("{} values for {} leaves", tree.values().len(), tree.leaves())));
        }
        self.check_labels(tree)
    }

    fn check_labels(&self, tree: &Tree) -> Result<(), Error> {
        let outputs = self.parts.n_outputs;
        let labels = if self.parts.decision == Decision::Leaf { tree.leaves().saturating_mul(outputs) } else { 0 };
        if tree.labels().len() != labels {
            return Err(Error::model(format!("{} labels for {} leaves", tree.labels().len(), tree.leaves())));
        }
        let legal = |(at, label): (usize, &u32)| {
            self.classes().get(at % outputs).is_some_and(|classes| (*label as usize) < classes.len())
        };
        if !tree.labels().iter().enumerate().all(legal) {
            return Err(Error::model("a leaf names a class that is not there"));
        }
        Ok(())
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What it does.
    pub fn task(&self) -> Task {
        self.parts.task
    }

    /// The columns of the input, in order. Either all have a name or none has.
    pub fn features(&self) -> &[Feature] {
        &self.parts.features
    }

    /// The names of the columns, if the file has them.
    pub fn feature_names(&self) -> Option<Vec<&str>> {
        self.features().iter().map(|feature| feature.name.as_deref()).collect()
    }

    /// How many columns the input has.
    pub fn n_features(&self) -> usize {
        self.features().len()
    }

    /// How the input is taken.
    pub fn input(&self) -> Input {
        self.parts.input
    }

    /// What the trees ask, made from the features; empty if it is the features themselves.
    pub fn columns(&self) -> &[Column] {
        &self.parts.columns
    }

    /// How many columns the trees can ask.
    pub fn n_columns(&self) -> usize {
        if self.columns().is_empty() { self.n_features() } else { self.columns().len() }
    }

    /// How many targets there are.
    pub fn n_outputs(&self) -> usize {
        self.parts.n_outputs
    }

    /// For each output its classes in order; empty for a regressor.
    pub fn classes(&self) -> &[Vec<Label>] {
        &self.parts.classes
    }

    /// Whether any feature takes NaN.
    pub fn missing_allowed(&self) -> bool {
        self.features().iter().any(|feature| feature.missing_allowed)
    }

    /// How leaves become margins.
    pub fn sum(&self) -> &Sum {
        &self.parts.sum
    }

    /// How margins become values.
    pub fn link(&self) -> &Link {
        &self.parts.link
    }

    /// How the class is chosen.
    pub fn decision(&self) -> Decision {
        self.parts.decision
    }

    /// In the order in which they are added.
    pub fn trees(&self) -> &[Tree] {
        &self.parts.trees
    }

    /// Nodes of all trees, leaves included.
    pub fn n_nodes(&self) -> usize {
        self.trees().iter().map(|tree| tree.nodes().len()).sum()
    }

    /// Of the deepest tree.
    pub fn depth(&self) -> usize {
        self.trees().iter().map(Tree::depth).max().unwrap_or(0)
    }

    /// What it was read from.
    pub fn source(&self) -> &Source {
        &self.parts.source
    }

    /// Margins a row: what the trees sum to, before the link.
    pub fn n_margins(&self) -> usize {
        self.parts.sum.start.len()
    }

    /// Values a row: the probabilities of each output after one another, or a number for each output.
    pub fn width(&self) -> usize {
        match self.task() {
            Task::Classification => self.classes().iter().map(Vec::len).sum(),
            Task::Regression | Task::OutlierDetection => self.n_outputs(),
        }
    }

    /// Class labels a row: one for each output, none for a regressor.
    pub fn n_labels(&self) -> usize {
        self.classes().len()
    }
}
