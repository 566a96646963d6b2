//! What each feature contributes to a row's margins: exact path-dependent `TreeSHAP`, the Shapley values of the game in which a
//! tree goes both ways, by cover, where the feature asked is not among the players.
//!
//! A leaf's part of that game is a product of one factor a player, so that its Shapley values are integrals over [0, 1] of
//! products of linear functions, `t` for who lets the row pass and `(1 - t) · cover` for everyone. Few points of a
//! quadrature integrate them exactly, and at each point a tree needs no more than one walk down, which multiplies, and
//! one up, which adds: all terms are positive, so nothing is lost, and the cost grows with the depth and not with its
//! square (as in Linear `TreeSHAP`, Yu et al. 2022, which interpolates at points where this integrates).

mod answers;
mod form;
mod importance;
mod kernel;
mod quadrature;
mod run;
mod vector;

use ndarray::{ArrayView2, ArrayViewMut2};

pub use importance::ImportanceKind;

use crate::model::{Column, Combine, Finish, Input, Model};
use crate::predict::{Element, PredictError, Processor, buffer, check};
use form::Form;

/// Explains the margins of a model. It holds no reference and can be shared by threads.
///
/// A player is a feature of the model: columns that are made from it count for it. The contributions of a row and its base
/// sum to its margin. They are computed in `f64`, and do not depend on the rows that stand beside, nor on the processor.
#[derive(Debug, Clone)]
pub struct Explainer {
    form: Form,
    input: Input,
    columns: Vec<Column>,
    missing_allowed: Vec<bool>,
    finish: Finish,
    /// For each margin, what no feature contributed.
    base: Vec<f64>,
    processor: Processor,
}

/// Why a model can not be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// A leaf's value is more than what its path decides.
    #[error("tree {tree} has linear leaves, which tree shap can not explain; train without `linear_tree`")]
    Linear {
        /// From 0.
        tree: usize,
    },
    /// Contributions to a minimum or a maximum do not add up.
    #[error("the smallest or largest of the trees is taken, not their sum, which tree shap can not explain")]
    NoSum,
    /// The file does not say how much of the training data came by.
    #[error(
        "the file says no cover (training rows, or their weights) for the nodes of tree {tree}, which tree shap weighs by"
    )]
    NoCover {
        /// From 0.
        tree: usize,
    },
    /// A cover that can be none.
    #[error("tree {tree}, node {node} has a cover that is negative, infinite or no number")]
    Cover {
        /// From 0.
        tree: usize,
        /// From 0.
        node: u32,
    },
    /// A leaf that makes every sum infinite or NaN.
    #[error("tree {tree} has a leaf whose value is infinite or no number")]
    Value {
        /// From 0.
        tree: usize,
    },
    /// Beyond what 16 bits can number.
    #[error("tree {tree} is deeper than 65534 splits")]
    Depth {
        /// From 0.
        tree: usize,
    },
}

impl Explainer {
    /// # Errors
    /// [`ExplainError`] for what is no sum of trees, and for trees without cover.
    pub fn new(model: &Model) -> Result<Self, ExplainError> {
        let sum = model.sum();
        if sum.combine != Combine::Add {
            return Err(ExplainError::NoSum);
        }
        let form = Form::new(model)?;
        let mut base: Vec<f64> = sum.start.iter().zip(&form.mean).map(|(start, mean)| start + mean).collect();
        base.iter_mut().for_each(|base| *base = scale(&sum.finish, *base));
        if let Finish::ScaleAndShift { shift, .. } | Finish::DivideAndShift { shift, .. } = &sum.finish {
            base.iter_mut().zip(shift).for_each(|(base, shift)| *base += shift);
        }
        Ok(Self {
            form,
            input: model.input(),
            columns: model.columns().to_vec(),
            missing_allowed: model.features().iter().map(|feature| feature.missing_allowed).collect(),
            finish: sum.finish.clone(),
            base,
            processor: Processor::detect(),
        })
    }

    /// The same with other instructions, if this processor has them: for comparing.
    #[must_use]
    pub fn on(mut self, processor: Processor) -> Self {
        if Processor::all().contains(&processor) {
            self.processor = processor;
        }
        self
    }

    /// Columns of the input.
    pub fn n_features(&self) -> usize {
        self.missing_allowed.len()
    }

    /// What no feature contributed to each margin: the mean over the training data, as the file's library weighs it.
    pub fn base(&self) -> &[f64] {
        &self.base
    }

    /// Numbers in a row of contributions: for each margin one for each feature, and the base.
    pub fn width(&self) -> usize {
        self.base.len() * (self.n_features() + 1)
    }

    /// Bytes in memory: what stands for each split and each leaf. Nothing else is prepared.
    pub fn bytes(&self) -> usize {
        self.form.bytes()
    }

    /// Explains every row into `out`, of [`Explainer::width`] columns in row-major order: for each margin the features'
    /// contributions in the model's order, then the base.
    ///
    /// # Errors
    /// [`PredictError`] for the rows that [`crate::Compiled::predict`] refuses, and a buffer of another shape.
    pub fn explain<T: Element>(
        &self,
        rows: ArrayView2<'_, T>,
        out: ArrayViewMut2<'_, f64>,
    ) -> Result<(), PredictError> {
        T::explain(self, rows, out)
    }

    pub(crate) fn explain_rows<T: Element>(
        &self,
        rows: ArrayView2<'_, T>,
        mut out: ArrayViewMut2<'_, f64>,
    ) -> Result<(), PredictError> {
        check(rows, self.input, &self.missing_allowed, &self.columns)?;
        let out = buffer("contributions", &mut out, (rows.nrows(), self.width()))?;
        self.run(rows, out);
        Ok(())
    }
}

fn scale(finish: &Finish, sum: f64) -> f64 {
    match finish {
        Finish::Nothing => sum,
        Finish::Divide(by) | Finish::DivideAndShift { by, .. } => sum / by,
        Finish::ScaleAndShift { scale, .. } => sum * scale,
    }
}
