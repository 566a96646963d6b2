//! What trees have summed to so far, for some rows: a tensor for each margin, or one for all where every leaf has a number for
//! each. Nothing is added in another order than the trees', nor in another precision than the model's.

use candle_core::{DType, Device, Tensor};

use crate::model::{Combine, Model, Precision};

/// What sums start from.
#[derive(Debug, Clone)]
pub(super) struct Start {
    combine: Combine,
    kind: DType,
    /// One row each.
    starts: Vec<Tensor>,
    /// Margins of one tensor.
    width: usize,
}

/// The sums of some rows.
#[derive(Debug)]
pub(super) struct Sums {
    combine: Combine,
    /// Rows by margins.
    parts: Vec<Tensor>,
}

impl Start {
    pub(super) fn new(model: &Model, device: &Device) -> candle_core::Result<Self> {
        let sum = model.sum();
        let together = model.trees().iter().all(|tree| tree.target().is_none());
        let width = if together { model.n_margins() } else { 1 };
        let kind = match (sum.combine, sum.precision) {
            (Combine::Add, Precision::Single) => DType::F32,
            // the smaller and the larger are found before they are rounded
            (Combine::Add, Precision::Double) | (Combine::Min | Combine::Max, _) => DType::F64,
        };
        let mut start = Self { combine: sum.combine, kind, starts: Vec::new(), width };
        let starts = sum.start.chunks(width).map(|part| start.table(part.iter().copied(), width, device));
        start.starts = starts.collect::<candle_core::Result<_>>()?;
        Ok(start)
    }

    /// Margins of one tensor of the sums.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Numbers in the precision of the sums, in rows of so many.
    #[expect(clippy::cast_possible_truncation, reason = "the sum is of that precision")]
    pub(super) fn table(
        &self,
        numbers: impl Iterator<Item = f64>,
        width: usize,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        if self.kind == DType::F32 {
            Tensor::from_vec(numbers.map(|x| x as f32).collect(), ((), width), device)
        } else {
            Tensor::from_vec(numbers.collect(), ((), width), device)
        }
    }

    /// Of so many rows that nothing was added to.
    pub(super) fn sums(&self, rows: usize) -> candle_core::Result<Sums> {
        let parts = self.starts.iter().map(|start| start.broadcast_as((rows, self.width)));
        Ok(Sums { combine: self.combine, parts: parts.collect::<candle_core::Result<_>>()? })
    }
}

impl Sums {
    /// Takes a further leaf of each row into one of the tensors; `first`: it is of the model's first tree.
    pub(super) fn add(&mut self, part: usize, values: Tensor, first: bool) -> candle_core::Result<()> {
        let Some(sum) = self.parts.get_mut(part) else { return Ok(()) };
        *sum = match self.combine {
            Combine::Add => sum.add(&values)?,
            Combine::Min | Combine::Max if first => values,
            Combine::Min => values.lt(&*sum)?.where_cond(&values, sum)?,
            Combine::Max => values.gt(&*sum)?.where_cond(&values, sum)?,
        };
        Ok(())
    }

    /// Row after row.
    pub(super) fn margins(&self) -> candle_core::Result<Vec<f64>> {
        Tensor::cat(&self.parts, 1)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
    }
}
