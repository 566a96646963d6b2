//! Some trees on a device: their nodes as lists, down which all rows and all of these trees go at once, and their leaves' values.

use candle_core::{Device, Tensor};

use super::TensorError;
use super::columns::Columns;
use super::linear::Linear;
use super::nodes::Nodes;
use super::sums::{Start, Sums};
use crate::model::{Decision, Model, Tree};

/// Trees of one block, at most.
pub(super) const TREES: usize = 64;
/// Nodes of one block, unless a tree alone has more.
const NODES: usize = 1 << 20;

/// Trees of one kind that follow each other.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// One for each tree.
    roots: Tensor,
    /// For each node what it asks, and where it leads.
    columns: Tensor,
    bounds: Tensor,
    left: Tensor,
    right: Tensor,
    levels: usize,
    /// For each tree the first part of the sums that it adds to; a table for that and for each that follows.
    parts: Vec<usize>,
    /// Leaves by margins.
    tables: Vec<Tensor>,
    linear: Option<Linear>,
    /// Leaves by outputs, if leaves say labels.
    labels: Option<Tensor>,
    /// Whether the model's first tree is here.
    first: bool,
}

impl Block {
    /// All trees of a model, whose questions `columns` is told of.
    pub(super) fn all(
        model: &Model,
        columns: &mut Columns,
        start: &Start,
        device: &Device,
    ) -> Result<Vec<Self>, TensorError> {
        let mut blocks = Vec::new();
        let mut rest = model.trees();
        while let [tree, ..] = rest {
            let kind = |tree: &Tree| (tree.target().is_some(), tree.linear().is_empty());
            let mut nodes = 0;
            let fits = |other: &&Tree| {
                nodes += other.nodes().len();
                kind(other) == kind(tree) && nodes <= NODES
            };
            let taken = rest.iter().take(TREES).take_while(fits).count().max(1);
            let (some, after) = rest.split_at(taken);
            let builder = Builder { model, start, device, first: blocks.is_empty() };
            blocks.push(builder.block(&some.iter().collect::<Vec<_>>(), columns)?);
            rest = after;
        }
        Ok(blocks)
    }

    /// Trees by rows: the leaf of each, of the block's. `numbers`: columns by rows.
    pub(super) fn leaves(&self, numbers: &Tensor, rows: usize) -> candle_core::Result<Tensor> {
        let shape = (self.parts.len(), rows);
        let mut at = self.roots.reshape(((), 1))?.broadcast_as(shape)?.flatten_all()?;
        for _ in 0..self.levels {
            let columns = self.columns.gather(&at, 0)?.reshape(shape)?;
            let x = numbers.gather(&columns, 0)?.flatten_all()?;
            let passes = x.le(&self.bounds.gather(&at, 0)?)?;
            at = passes.where_cond(&self.left.gather(&at, 0)?, &self.right.gather(&at, 0)?)?;
        }
        at.reshape(shape)
    }

    /// Adds the values of the leaves, tree after tree.
    pub(super) fn add(&self, leaves: &Tensor, wide: Option<&Tensor>, sums: &mut Sums) -> candle_core::Result<()> {
        for (tree, part) in self.parts.iter().enumerate() {
            let leaves = leaves.get(tree)?;
            for (table, part) in self.tables.iter().zip(*part..) {
                let plain = table.index_select(&leaves, 0)?;
                let values = match &self.linear {
                    Some(linear) => linear.values(&leaves, &plain, wide)?,
                    None => plain,
                };
                sums.add(part, values, self.first && tree == 0)?;
            }
        }
        Ok(())
    }

    /// What the leaves say, if they do.
    pub(super) fn labels(&self) -> Option<&Tensor> {
        self.labels.as_ref()
    }
}

struct Builder<'m> {
    model: &'m Model,
    start: &'m Start,
    device: &'m Device,
    first: bool,
}

impl Builder<'_> {
    fn block(&self, trees: &[&Tree], columns: &mut Columns) -> Result<Block, TensorError> {
        let too_large = |what| TensorError::TooLarge { what, most: i32::MAX as usize };
        let values: usize = trees.iter().map(|tree| tree.values().len()).sum();
        if values > i32::MAX as usize {
            return Err(too_large("leaf values of a tree"));
        }
        let splits = || too_large("splits and leaves of a tree");
        let leaves: usize = trees.iter().map(|tree| tree.leaves()).sum();
        let mut nodes = Nodes::new(u32::try_from(leaves).map_err(|_| splits())?);
        let (mut roots, mut begin) = (Vec::new(), 0);
        for tree in trees {
            roots.push(nodes.add(tree, begin, columns).ok_or_else(splits)?);
            begin += tree.leaves() as u32;
        }
        let linear = trees.iter().any(|tree| !tree.linear().is_empty());
        let linear = linear.then(|| Linear::new(trees, columns, self.device).ok_or_else(|| too_large("linear terms")));
        let count = nodes.left.len();
        Ok(Block {
            roots: Tensor::from_vec(roots, trees.len(), self.device)?,
            columns: Tensor::from_vec(nodes.columns, count, self.device)?,
            bounds: columns.bounds(nodes.bounds, self.device)?,
            left: Tensor::from_vec(nodes.left, count, self.device)?,
            right: Tensor::from_vec(nodes.right, count, self.device)?,
            levels: nodes.levels,
            parts: trees.iter().map(|tree| tree.target().unwrap_or(0)).collect(),
            tables: self.tables(trees)?,
            linear: linear.transpose()?.transpose()?,
            labels: self.labels(trees)?,
            first: self.first,
        })
    }

    /// Where the sums have a part for each margin and leaves a number for each, those numbers are taken apart.
    fn tables(&self, trees: &[&Tree]) -> candle_core::Result<Vec<Tensor>> {
        let width = self.start.width();
        let of_leaf = if trees.iter().any(|tree| tree.target().is_some()) { 1 } else { self.model.n_margins() };
        let table = |part: usize| {
            let values = trees.iter().flat_map(|tree| tree.values().chunks_exact(of_leaf));
            let values = values.flat_map(|leaf| leaf.iter().skip(part * width).take(width));
            self.start.table(values.copied(), width, self.device)
        };
        (0..of_leaf / width).map(table).collect()
    }

    fn labels(&self, trees: &[&Tree]) -> candle_core::Result<Option<Tensor>> {
        if self.model.decision() != Decision::Leaf {
            return Ok(None);
        }
        let labels: Vec<u32> = trees.iter().flat_map(|tree| tree.labels()).copied().collect();
        Tensor::from_vec(labels, ((), self.model.n_labels()), self.device).map(Some)
    }
}
