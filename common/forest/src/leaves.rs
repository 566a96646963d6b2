//! Which leaf of each tree a row ends in. Trees are walked as they are, row by row: nothing here is laid out for a
//! processor, and nothing of it is in memory until somebody asks.

use ndarray::{ArrayView2, ArrayViewMut2};

use crate::compiled::walk;
use crate::model::{Column, Input, Model, Node, Tree};
use crate::predict::{Element, PredictError, buffer, check};

/// Rows that are walked together, so that a tree is fetched once for all of them.
const BLOCK: usize = 64;

/// Finds the leaves that rows end in. It holds no reference and can be shared by threads.
///
/// A leaf's number is the library's own where its file has one:
///
/// | library | number | as given by |
/// |---|---|---|
/// | scikit-learn | the leaf's place among the nodes of its tree | `apply` |
/// | XGBoost | the same, of the nodes that the file keeps | `predict(pred_leaf=True)` |
/// | LightGBM | the leaf's place among the leaves | `predict(pred_leaf=True)` |
/// | CatBoost | of an oblivious tree, bit d says whether the row passes split d; else as LightGBM | `calc_leaf_indexes` |
/// | all others, and oblivious trees of more than 8 splits | the leaf's place among the leaves that are kept, in the file's order | – |
///
/// Trees are in the file's order: of boosting for several classes, a round's trees stand beside each other.
#[derive(Debug, Clone)]
pub struct Leaves {
    trees: Vec<Questions>,
    input: Input,
    columns: Vec<Column>,
    missing_allowed: Vec<bool>,
    /// Whether a leaf's number is its place among the nodes.
    by_node: bool,
}

/// What a tree asks, without what its leaves hold.
#[derive(Debug, Clone)]
struct Questions {
    nodes: Vec<Node>,
    sets: Vec<Vec<i64>>,
}

impl Leaves {
    /// Of a model's trees.
    pub fn new(model: &Model) -> Self {
        let questions = |tree: &Tree| Questions { nodes: tree.nodes().to_vec(), sets: tree.sets().to_vec() };
        Self {
            trees: model.trees().iter().map(questions).collect(),
            input: model.input(),
            columns: model.columns().to_vec(),
            missing_allowed: model.features().iter().map(|feature| feature.missing_allowed).collect(),
            by_node: matches!(model.source().library.as_str(), "scikit-learn" | "XGBoost"),
        }
    }

    /// Columns of the input.
    pub fn n_features(&self) -> usize {
        self.missing_allowed.len()
    }

    /// Numbers in a row of leaves: one for each tree.
    pub fn width(&self) -> usize {
        self.trees.len()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let of = |tree: &Questions| {
            let sets: usize = tree.sets.iter().map(|set| size_of_val(set.as_slice())).sum();
            size_of_val(tree.nodes.as_slice()) + sets
        };
        self.trees.iter().map(of).sum()
    }

    /// Finds for every row the leaf of each tree, into `out` of [`Leaves::width`] columns in row-major order.
    ///
    /// # Errors
    /// [`PredictError`] for the rows that [`crate::Compiled::predict`] refuses, and a buffer of another shape.
    pub fn find<T: Element>(
        &self,
        rows: ArrayView2<'_, T>,
        mut out: ArrayViewMut2<'_, u32>,
    ) -> Result<(), PredictError> {
        check(rows, self.input, &self.missing_allowed, &self.columns)?;
        let width = self.width();
        let mut out = buffer("leaves", &mut out, (rows.nrows(), width))?.chunks_mut((BLOCK * width).max(1));
        let mut numbers = Vec::new();
        for block in rows.axis_chunks_iter(ndarray::Axis(0), BLOCK) {
            let columns = self.prepare(block, &mut numbers);
            let out = out.next().unwrap_or_default();
            for (place, tree) in self.trees.iter().enumerate() {
                for (row, out) in numbers.chunks_exact(columns.max(1)).zip(out.chunks_exact_mut(width)) {
                    if let Some(out) = out.get_mut(place) {
                        let (node, leaf) = walk(self.input, &tree.nodes, &tree.sets, row);
                        *out = if self.by_node { node } else { leaf };
                    }
                }
            }
        }
        Ok(())
    }

    /// The block's rows as the trees' columns; how many columns there are.
    fn prepare<T: Element>(&self, rows: ArrayView2<'_, T>, numbers: &mut Vec<f64>) -> usize {
        numbers.clear();
        for row in rows.outer_iter() {
            if self.columns.is_empty() {
                numbers.extend(row.iter().map(|x| x.widen()));
            } else {
                let of = |column: &Column| row.get(column.feature as usize).map_or(f64::NAN, |x| x.prepare(column));
                numbers.extend(self.columns.iter().map(of));
            }
        }
        if self.columns.is_empty() { self.n_features() } else { self.columns.len() }
    }
}
