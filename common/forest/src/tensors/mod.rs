//! The trees as tensor operations, on whatever device candle has: all trees of a block go down a level at once, then one
//! after another adds its leaves, in the model's order and precision. What is no tree, the checks, the steps before the trees,
//! the link and the choice of a class, is the code that [`crate::Compiled`] runs. It is no faster form of a model on a CPU.

mod block;
mod columns;
mod linear;
mod nodes;
mod sums;

use candle_core::Tensor;
use ndarray::{ArrayView2, ArrayViewMut2, s};

use crate::compiled::Answer;
use crate::model::Model;
use crate::predict::{Element, Output, PredictError, finish};
use block::Block;
pub use candle_core::Device;
use columns::Columns;
use sums::Start;

/// Numbers of one tensor, roughly, that rows are worked on with at once: on a CPU they stay in its caches.
const CELLS_CPU: usize = 1 << 18;
/// The same elsewhere, where an operation is dear to start. Not measured.
const CELLS: usize = 1 << 22;

/// A model that predicts by tensor operations. It holds no reference and can be shared by threads.
#[derive(Debug, Clone)]
pub struct TensorModel {
    answer: Answer,
    columns: Columns,
    blocks: Vec<Block>,
    start: Start,
    device: Device,
    /// Rows at once.
    rows: usize,
}

/// Why a model can not be laid out as tensors, or why rows are not predicted by them. After an error the buffers hold nothing
/// that means anything.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The rows or the buffers are not as they must be, as [`crate::Compiled`] says it.
    #[error(transparent)]
    Rows(#[from] PredictError),
    /// Beyond what a tensor's indices, or its floats, can number.
    #[error("{what} of this model are too many for tensors, which take {most}")]
    TooLarge {
        /// Splits and leaves of a tree, leaf values of a tree, columns, or categories of a column.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// The device has no room, is not there, or failed.
    #[error("a tensor operation failed")]
    Device(#[source] Box<candle_core::Error>),
}

impl From<candle_core::Error> for TensorError {
    fn from(error: candle_core::Error) -> Self {
        Self::Device(Box::new(error))
    }
}

impl TensorModel {
    /// Lays a model out on a device.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`], and [`TensorError::Device`] when the device has no room for it.
    pub fn new(model: &Model, device: &Device) -> Result<Self, TensorError> {
        let mut columns = Columns::new(model);
        let start = Start::new(model, device)?;
        let blocks = Block::all(model, &mut columns, &start, device)?;
        columns.check()?;
        let cells = if device.is_cpu() { CELLS_CPU } else { CELLS };
        let rows = (cells / columns.count().max(block::TREES).max(model.n_margins())).max(1);
        Ok(Self { answer: Answer::new(model), columns, blocks, start, device: device.clone(), rows })
    }

    /// Columns of the input.
    pub fn n_features(&self) -> usize {
        self.answer.missing_allowed.len()
    }

    /// As [`crate::Compiled::values_width`].
    pub fn values_width(&self) -> usize {
        self.answer.width
    }

    /// As [`crate::Compiled::labels_width`].
    pub fn labels_width(&self) -> usize {
        self.answer.n_classes.len()
    }

    /// As [`crate::Compiled::margins_width`].
    pub fn margins_width(&self) -> usize {
        self.answer.sum.start.len()
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Predicts every row into `out`, as [`crate::Compiled::predict`].
    ///
    /// # Errors
    /// [`TensorError::Rows`], for the first thing that is wrong; [`TensorError::Device`].
    pub fn predict<T: Element>(&self, rows: ArrayView2<'_, T>, out: &mut Output<'_>) -> Result<(), TensorError> {
        let mut answers = self.answer.answers(rows, out)?;
        self.run(rows, |margins, named| answers.put(margins, named))
    }

    /// The margins of every row, as [`crate::Compiled::margins`].
    ///
    /// # Errors
    /// [`TensorError::Rows`], for the first thing that is wrong; [`TensorError::Device`].
    pub fn margins<T: Element>(
        &self,
        rows: ArrayView2<'_, T>,
        mut out: ArrayViewMut2<'_, f64>,
    ) -> Result<(), TensorError> {
        let mut to = self.answer.margins(rows, &mut out)?;
        self.run(rows, |margins, _| to.put(margins))
    }

    /// Calls `found` with each row's margins, and the labels that its leaf says; the rows were checked.
    fn run<T: Element>(
        &self,
        rows: ArrayView2<'_, T>,
        mut found: impl FnMut(&[f64], &[u32]),
    ) -> Result<(), TensorError> {
        let sum = &self.answer.sum;
        let mut from = 0;
        while from < rows.nrows() {
            let to = rows.nrows().min(from + self.rows);
            let (mut margins, labels) = self.sums(rows.slice(s![from..to, ..]))?;
            finish(&sum.finish, sum.precision, &mut margins);
            let mut labels = labels.chunks_exact(self.labels_width().max(1));
            for margins in margins.chunks_exact(sum.start.len()) {
                found(margins, labels.next().unwrap_or_default());
            }
            from = to;
        }
        Ok(())
    }

    /// Row after row what the trees sum to, and the labels that leaves say.
    fn sums<T: Element>(&self, rows: ArrayView2<'_, T>) -> Result<(Vec<f64>, Vec<u32>), TensorError> {
        let count = rows.nrows();
        let numbers = self.columns.numbers(&self.answer, rows, &self.device)?;
        let wide = self.columns.wide(&self.answer, rows, &self.device)?;
        let mut sums = self.start.sums(count)?;
        let mut labels = Vec::new();
        for block in &self.blocks {
            let leaves = block.leaves(&numbers, count)?;
            block.add(&leaves, wide.as_ref(), &mut sums)?;
            if let Some(of_leaves) = block.labels() {
                labels = self.labels(of_leaves, &leaves)?;
            }
        }
        Ok((sums.margins()?, labels))
    }

    /// Of the one tree whose leaves say them.
    fn labels(&self, of_leaves: &Tensor, leaves: &Tensor) -> Result<Vec<u32>, TensorError> {
        Ok(of_leaves.index_select(&leaves.get(0)?, 0)?.flatten_all()?.to_vec1()?)
    }
}
