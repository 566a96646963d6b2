//! The trees of a model in the forms that suit them, and the leaves' numbers in the precision of its sums.

use super::costs::Costs;
use super::few::Few;
use super::masks::{MOST_LEAVES, MOST_TESTS, MaskForm};
use super::questions::Asked;
use super::walk::WalkForm;
use crate::model::{Combine, Decision, Model, Precision, Tree};
use crate::predict::Processor;

/// Rows that share the cost of a question and of a split.
const BLOCK: f64 = 512.0;
/// What a question, a split and a leaf cost a block, and a level of a walk a row: processor cycles, roughly.
const TEST_COST: f64 = 14.0;
const SPLIT_COST: f64 = 7.0;
const LEVEL_COST: f64 = 4.0;
/// Questions of one form: their answers are to stay in the second level of cache.
const GOOD_TESTS: usize = 16_384;
/// Numbers of a leaf that are better added one margin after another.
const MOST_COLUMNS: usize = 4;
/// Splits of one form of deep trees.
const GOOD_SPLITS: usize = 1 << 20;

/// Everything that is added up.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) parts: Vec<Part>,
    /// Numbers a row: the margins, and after them the labels where the leaf says them.
    pub(crate) width: usize,
    pub(crate) precision: Precision,
    /// Whether the leaves of all parts stand by rows.
    pub(crate) by_rows: bool,
    /// So many rows are better taken one by one.
    pub(crate) few_rows: usize,
    /// Up to so many more are better taken through trees side by side.
    pub(crate) side_by_side: usize,
    /// Of the deepest tree.
    depth: usize,
}

/// Some trees of one form. Trees of one margin follow each other in the model's order.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) form: Form,
    pub(crate) layout: Layout,
    pub(crate) values: Values,
}

/// How the leaves' numbers stand among [`Part::values`].
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    /// A leaf has one number; for each tree the margin that it adds to.
    Targets(Vec<u32>),
    /// A leaf has so many numbers, one for each margin; of a tree first all for the first margin.
    Columns(usize),
    /// A leaf has a number for each margin; of a tree first all of the first leaf.
    Rows,
}

#[derive(Debug, Clone)]
pub(crate) enum Form {
    Masks(Box<MaskForm>),
    Walk(WalkForm),
}

/// The leaves' numbers, tree after tree. Unless they stand by rows, there are as many more after the last as a byte can
/// name.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Engine {
    /// `None` for what no fast form can do: linear leaves, what is not a sum, leaves of several kinds.
    pub(crate) fn new(model: &Model, processor: Processor) -> Option<Self> {
        let sum = model.sum();
        let labels = if model.decision() == Decision::Leaf { model.n_labels() } else { 0 };
        let width = model.n_margins() + labels;
        let one_target = width == 1 || model.trees().iter().all(|tree| tree.target().is_some());
        let all_targets = model.trees().iter().all(|tree| tree.target().is_none());
        let linear = model.trees().iter().any(|tree| !tree.linear().is_empty());
        if sum.combine != Combine::Add || linear || !(one_target || all_targets) {
            return None;
        }
        let mut trees: Vec<&Tree> = model.trees().iter().collect();
        // the sums of different margins do not meet
        trees.sort_by_key(|tree| tree.target());
        if one_target && labels > 0 {
            return None;
        }
        let by_rows = !one_target && width > MOST_COLUMNS;
        let builder = Builder { model, each: if one_target { 1 } else { width }, labels, one_target, by_rows };
        let mut parts = Vec::new();
        let mut rest = &trees[..];
        while !rest.is_empty() {
            let (part, taken) = builder.part(rest)?;
            parts.push(part);
            rest = rest.get(taken..)?;
        }
        let mut engine = Self {
            parts,
            width,
            precision: sum.precision,
            by_rows,
            few_rows: 0,
            side_by_side: 0,
            depth: model.depth(),
        };
        engine.suit(processor);
        Some(engine)
    }

    /// The same for another processor.
    pub(crate) fn suit(&mut self, processor: Processor) {
        for part in &mut self.parts {
            if let Form::Masks(form) = &mut part.form {
                form.suit(processor);
            }
        }
        let costs = Costs::new(&self.parts, self.depth);
        (self.few_rows, self.side_by_side) = (costs.few_rows(), costs.side_by_side());
    }

    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }

    pub(crate) fn leaf_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.values.bytes()).sum()
    }

    /// What a person calls the form: for reports.
    pub(crate) fn name(&self) -> String {
        let of = |part: &Part| match &part.form {
            Form::Walk(_) => "walk",
            Form::Masks(form) => match &form.few {
                Few::Nodes(_) => "masks",
                Few::SideBySide(_) => "masks and trees side by side",
            },
        };
        let mut names: Vec<&str> = self.parts.iter().map(of).collect();
        names.dedup();
        if names.is_empty() { "no trees".to_owned() } else { names.join("; ") }
    }
}

impl Values {
    fn bytes(&self) -> usize {
        match self {
            Self::Single(values) => size_of_val(&**values),
            Self::Double(values) => size_of_val(&**values),
        }
    }
}

impl Part {
    fn bytes(&self) -> usize {
        let form = match &self.form {
            Form::Masks(form) => form.bytes(),
            Form::Walk(form) => form.bytes(),
        };
        let targets = if let Layout::Targets(targets) = &self.layout { size_of_val(&**targets) } else { 0 };
        self.values.bytes() + form + targets
    }
}

struct Builder<'m> {
    model: &'m Model,
    /// Numbers a leaf.
    each: usize,
    /// How many of them are labels.
    labels: usize,
    /// Whether each tree adds to one margin only.
    one_target: bool,
    by_rows: bool,
}

impl Builder<'_> {
    /// A part of as many of the first trees as go well together.
    fn part(&self, trees: &[&Tree]) -> Option<(Part, usize)> {
        let flat = trees.iter().take_while(|tree| tree.leaves() <= MOST_LEAVES).count();
        if flat > 0
            && let Some((part, taken)) = self.masks(trees.get(..flat)?)
        {
            return Some((part, taken));
        }
        self.walk(trees)
    }

    /// `None` if the trees are better walked.
    fn masks(&self, trees: &[&Tree]) -> Option<(Part, usize)> {
        let mut taken = trees.len();
        loop {
            let some = trees.get(..taken)?;
            let splits: usize = some.iter().map(|tree| tree.leaves() - 1).sum();
            let form = self.asked(some).lookups(self.model).and_then(|lookups| MaskForm::new(some, lookups, self.each));
            match form {
                Some((form, leaves)) if form.tests() <= GOOD_TESTS || taken == 1 => {
                    let masks = (form.tests() as f64 * TEST_COST + splits as f64 * SPLIT_COST) / BLOCK;
                    let walk = some.iter().map(|tree| mean_depth(tree)).sum::<f64>() * LEVEL_COST;
                    return (masks <= walk)
                        .then(|| (self.finish(Form::Masks(Box::new(form)), some, Some(&leaves)), taken));
                }
                // fewer trees ask fewer questions
                Some((form, _)) => taken = (taken * GOOD_TESTS / form.tests()).clamp(1, taken - 1),
                None if taken > 1 => taken = taken.div_ceil(2),
                None => return None,
            }
        }
    }

    fn walk(&self, trees: &[&Tree]) -> Option<(Part, usize)> {
        let mut splits = 0;
        let mut taken = trees.iter().take_while(|tree| {
            splits += tree.leaves() - 1;
            splits <= GOOD_SPLITS
        });
        let mut taken = taken.by_ref().count().max(1);
        loop {
            let some = trees.get(..taken)?;
            let form = self.asked(some).lookups(self.model).and_then(|lookups| WalkForm::new(some, lookups, self.each));
            match form {
                Some(form) => return Some((self.finish(Form::Walk(form), some, None), taken)),
                None if taken > 1 => taken = taken.div_ceil(2),
                None => return None,
            }
        }
    }

    fn asked(&self, trees: &[&Tree]) -> Asked {
        let mut asked = Asked::default();
        trees.iter().for_each(|tree| asked.add(tree, self.model.input().precision));
        asked
    }

    #[expect(clippy::cast_possible_truncation, reason = "the sum is of that precision")]
    fn finish(&self, form: Form, trees: &[&Tree], leaves: Option<&[Vec<u32>]>) -> Part {
        let spare = if self.by_rows { 0 } else { MOST_LEAVES };
        let order = |number: usize| leaves.and_then(|leaves| leaves.get(number)).map(Vec::as_slice);
        let values = trees.iter().enumerate().flat_map(|(number, tree)| self.values(tree, order(number)));
        let values = values.chain(std::iter::repeat_n(0.0, spare));
        let values = match self.model.sum().precision {
            Precision::Single => Values::Single(values.map(|value| value as f32).collect()),
            Precision::Double => Values::Double(values.collect()),
        };
        let layout = match (self.one_target, self.by_rows) {
            (true, _) => Layout::Targets(trees.iter().map(|tree| tree.target().unwrap_or(0) as u32).collect()),
            (false, false) => Layout::Columns(self.each),
            (false, true) => Layout::Rows,
        };
        Part { form, layout, values }
    }
}

impl Builder<'_> {
    /// A tree's leaves, in their own order or another: their numbers, and the labels that they say.
    fn values<'t>(&self, tree: &'t Tree, order: Option<&'t [u32]>) -> impl Iterator<Item = f64> + use<'t> {
        let (each, labels, by_rows) = (self.each, self.labels, self.by_rows);
        let margins = each - labels;
        (0..tree.leaves() * each).map(move |at| {
            let (place, number) =
                if by_rows { (at / each, at % each) } else { (at % tree.leaves(), at / tree.leaves()) };
            let leaf = order.and_then(|order| order.get(place)).map_or(place, |leaf| *leaf as usize);
            if number < margins {
                tree.values().get(leaf * margins + number).copied().unwrap_or(f64::NAN)
            } else {
                tree.labels().get(leaf * labels + number - margins).map_or(f64::NAN, |label| f64::from(*label))
            }
        })
    }
}

/// Splits that a row meets, if it ends in each leaf alike.
fn mean_depth(tree: &Tree) -> f64 {
    use crate::model::Node;
    let mut total = 0_usize;
    let mut waiting = vec![(0_u32, 0_usize)];
    while let Some((at, depth)) = waiting.pop() {
        match tree.nodes().get(at as usize) {
            Some(Node::Split(split)) => waiting.extend([(split.left, depth + 1), (split.right, depth + 1)]),
            Some(Node::Leaf(_)) => total += depth,
            None => {}
        }
    }
    total as f64 / tree.leaves().max(1) as f64
}

const _: () = assert!(GOOD_TESTS <= MOST_TESTS);
