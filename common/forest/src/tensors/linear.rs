//! Leaves that are linear functions: each leaf's terms stand in a chain, and all rows take a step along theirs at once. A
//! row whose chain has ended adds −0.0, which changes no sum.

use candle_core::{DType, Device, Tensor};

use super::columns::Columns;
use crate::model::Tree;

/// The functions of the leaves of some trees, numbered together.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    /// For each leaf.
    constants: Tensor,
    /// For each leaf its first term.
    firsts: Tensor,
    /// For each term its column of [`Columns::wide`]. The first is the end of every chain.
    columns: Tensor,
    coefficients: Tensor,
    nexts: Tensor,
    /// Terms of a leaf, at most.
    steps: usize,
}

impl Linear {
    /// Of trees whose leaves are all linear; `None` if there are more terms than 32 bits can number.
    pub(super) fn new(trees: &[&Tree], columns: &Columns, device: &Device) -> Option<candle_core::Result<Self>> {
        let (mut constants, mut firsts) = (Vec::new(), Vec::new());
        let (mut of, mut coefficients, mut nexts) =
            (vec![u32::try_from(columns.ones()).ok()?], vec![-0.0], vec![0_u32]);
        let mut steps = 0;
        for linear in trees.iter().flat_map(|tree| tree.linear()) {
            constants.push(linear.constant);
            let first = u32::try_from(of.len()).ok()?;
            firsts.push(if linear.terms.is_empty() { 0 } else { first });
            steps = steps.max(linear.terms.len());
            for (next, (column, coefficient)) in (first..).skip(1).zip(&linear.terms) {
                of.push(u32::try_from(columns.term(*column)?).ok()?);
                coefficients.push(*coefficient);
                nexts.push(next);
            }
            if let Some(last) = nexts.last_mut() {
                *last = 0;
            }
        }
        let tensors = || {
            Ok(Self {
                constants: list(constants, device)?,
                firsts: list(firsts, device)?,
                columns: list(of, device)?,
                coefficients: list(coefficients, device)?,
                nexts: list(nexts, device)?,
                steps,
            })
        };
        Some(tensors())
    }

    /// The value of the leaf of each row, which is `plain` if a number that it takes is missing; `wide`: columns by rows.
    pub(super) fn values(&self, leaves: &Tensor, plain: &Tensor, wide: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let count = leaves.elem_count();
        let mut sum = self.constants.gather(leaves, 0)?;
        let mut known = Tensor::ones(count, DType::U8, leaves.device())?;
        let mut at = self.firsts.gather(leaves, 0)?;
        for wide in std::iter::repeat_n(wide, self.steps).flatten() {
            let columns = self.columns.gather(&at, 0)?.reshape((1, count))?;
            let x = wide.gather(&columns, 0)?.flatten_all()?;
            sum = (sum + (self.coefficients.gather(&at, 0)? * &x)?)?;
            // only NaN differs from itself
            known = (known * x.eq(&x)?)?;
            at = self.nexts.gather(&at, 0)?;
        }
        known.reshape(plain.shape())?.where_cond(&sum.to_dtype(plain.dtype())?.reshape(plain.shape())?, plain)
    }
}

fn list<T: candle_core::WithDType>(numbers: Vec<T>, device: &Device) -> candle_core::Result<Tensor> {
    let count = numbers.len();
    Tensor::from_vec(numbers, count, device)
}
