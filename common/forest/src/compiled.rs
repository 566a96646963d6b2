//! A model laid out for walking: splits of all trees in one array of 16 bytes each, leaves only as numbers in their
//! children, equal leaves stored once. Knows no file format.

use std::collections::HashMap;

use crate::model::{Aggregation, Model, Node, Task, Tree};

/// In [`Split::feature`]: NaN goes left.
pub(crate) const MISSING_LEFT: u32 = 1 << 31;

/// In a child or a root: the rest is the number of a leaf.
pub(crate) const LEAF: u32 = 1 << 31;

/// 16 bytes a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Split {
    /// The model's `f64` threshold rounded toward minus infinity: `x <= t` in `f32` then says the same.
    pub(crate) threshold: f32,
    /// Column, and [`MISSING_LEFT`].
    pub(crate) feature: u32,
    /// Left and right: another split, or a leaf with [`LEAF`].
    pub(crate) children: [u32; 2],
}

/// A model that predicts. It holds no reference and can be shared by threads.
///
/// Every split's children are splits or leaves that exist, every feature is below [`Compiled::n_features`], and walking
/// ends: [`Tree`] guarantees it.
#[derive(Debug, Clone)]
pub struct Compiled {
    pub(crate) task: Task,
    pub(crate) aggregation: Aggregation,
    pub(crate) n_features: usize,
    /// For a classifier the number of classes of each output.
    pub(crate) n_classes: Vec<usize>,
    pub(crate) width: usize,
    pub(crate) missing_allowed: Vec<bool>,
    /// As children are.
    pub(crate) roots: Vec<u32>,
    pub(crate) splits: Vec<Split>,
    /// `width` numbers a leaf.
    pub(crate) values: Vec<f64>,
    /// `n_classes.len()` numbers a leaf, where leaves name their class; else empty.
    pub(crate) labels: Vec<u32>,
}

/// Why a model can not be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Beyond what 31 bits can number.
    #[error("{what} of this model need more than 31 bits; a model can have 2147483647")]
    TooLarge {
        /// Splits, leaves or features.
        what: &'static str,
    },
    /// A tree that its model should not have let through.
    #[error("tree {tree} is no tree")]
    Malformed {
        /// Which.
        tree: usize,
    },
}

impl Compiled {
    /// # Errors
    /// [`CompileError`].
    pub fn new(model: &Model) -> Result<Self, CompileError> {
        let mut layout = Layout::new(model);
        let mut roots = Vec::with_capacity(model.trees().len());
        for (number, tree) in model.trees().iter().enumerate() {
            roots.push(layout.add(number, tree)?);
        }
        let missing_allowed: Vec<bool> = model.features().iter().map(|feature| feature.missing_allowed).collect();
        if model.n_features() >= MISSING_LEFT as usize {
            return Err(CompileError::TooLarge { what: "features" });
        }
        Ok(Self {
            task: model.task(),
            aggregation: model.aggregation(),
            n_features: model.n_features(),
            n_classes: model.classes().iter().map(Vec::len).collect(),
            width: model.width(),
            missing_allowed,
            roots,
            splits: layout.splits,
            values: layout.values,
            labels: layout.labels,
        })
    }

    /// Columns of the input.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Numbers in a row of [`crate::Output::values`]: for a classifier the probabilities of each output after one another,
    /// for a regressor one for each output.
    pub fn values_width(&self) -> usize {
        self.width
    }

    /// Numbers in a row of [`crate::Output::labels`]: for a classifier one for each output, for a regressor none.
    pub fn labels_width(&self) -> usize {
        self.n_classes.len()
    }

    /// What it does.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Bytes in memory, leaves included.
    pub fn bytes(&self) -> usize {
        self.splits.len() * size_of::<Split>()
            + self.values.len() * size_of::<f64>()
            + (self.labels.len() + self.roots.len()) * size_of::<u32>()
    }
}

/// The arrays while they grow.
struct Layout {
    width: usize,
    labels_width: usize,
    splits: Vec<Split>,
    values: Vec<f64>,
    labels: Vec<u32>,
    /// Leaves met so far, by their bits.
    known: HashMap<Vec<u64>, u32>,
}

impl Layout {
    fn new(model: &Model) -> Self {
        let named = model.task() == Task::Classification && model.aggregation() == Aggregation::Single;
        Self {
            width: model.width(),
            labels_width: if named { model.n_outputs() } else { 0 },
            splits: Vec::new(),
            values: Vec::new(),
            labels: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// Returns the root. Splits keep the order that they have in the model.
    fn add(&mut self, number: usize, tree: &Tree) -> Result<u32, CompileError> {
        let malformed = || CompileError::Malformed { tree: number };
        let mut places = Vec::with_capacity(tree.nodes().len());
        let mut next = self.splits.len();
        for node in tree.nodes() {
            places.push(match node {
                Node::Split { .. } => {
                    next += 1;
                    small(next - 1, "splits")?
                }
                Node::Leaf(leaf) => LEAF | self.leaf(tree, *leaf as usize).ok_or_else(malformed)??,
            });
        }
        let place = |child: u32| places.get(child as usize).copied().ok_or_else(malformed);
        for node in tree.nodes() {
            if let Node::Split { feature, threshold, left, right, missing_left } = *node {
                self.splits.push(Split {
                    threshold: round_down(threshold),
                    feature: feature | if missing_left { MISSING_LEFT } else { 0 },
                    children: [place(left)?, place(right)?],
                });
            }
        }
        place(0)
    }

    /// The number of a leaf with these values and labels.
    fn leaf(&mut self, tree: &Tree, leaf: usize) -> Option<Result<u32, CompileError>> {
        let values = tree.values().get(leaf * self.width..(leaf + 1) * self.width)?;
        let labels = tree.labels().get(leaf * self.labels_width..(leaf + 1) * self.labels_width)?;
        let key = values.iter().map(|value| value.to_bits()).chain(labels.iter().map(|label| u64::from(*label)));
        let key: Vec<u64> = key.collect();
        if let Some(known) = self.known.get(&key) {
            return Some(Ok(*known));
        }
        let number = small(self.known.len(), "leaves");
        if let Ok(number) = number {
            self.values.extend_from_slice(values);
            self.labels.extend_from_slice(labels);
            self.known.insert(key, number);
        }
        Some(number)
    }
}

fn small(number: usize, what: &'static str) -> Result<u32, CompileError> {
    u32::try_from(number).ok().filter(|number| number & LEAF == 0).ok_or(CompileError::TooLarge { what })
}

/// The largest `f32` that is not above `threshold`.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
fn round_down(threshold: f64) -> f32 {
    let nearest = threshold as f32;
    if f64::from(nearest) > threshold { nearest.next_down() } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rounded_threshold_says_the_same() {
        let thresholds = [
            0.1,
            -0.1,
            0.0,
            -0.0,
            1e-50,
            -1e-50,
            1e-310,
            1e300,
            -1e300,
            3.5,
            16_777_217.0,
            -16_777_217.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from(f32::MAX),
            f64::from(f32::MIN_POSITIVE) / 3.0,
            1e-45,
        ];
        for threshold in thresholds {
            let rounded = round_down(threshold);
            let near = [rounded, rounded.next_up(), rounded.next_down(), threshold as f32];
            for x in near.into_iter().chain([0.0, -0.0, f32::MAX, f32::MIN, 1e-45, -1e-45, f32::MIN_POSITIVE]) {
                assert_eq!(x <= rounded, f64::from(x) <= threshold, "{x:e} <= {threshold:e}");
            }
        }
    }

    #[test]
    fn a_split_takes_16_bytes_and_threads_share_a_model() {
        fn shared<T: Send + Sync>() {}
        shared::<Compiled>();
        assert_eq!(size_of::<Split>(), 16);
    }
}
