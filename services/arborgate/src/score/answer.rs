//! What is computed of a block's rows.

use std::path::Path;

use arborgate_contracts::jobs::Kind;
use arborgate_forest::{Compiled, Element, Explainer, Model, Output, PredictError};
use arborgate_tables::{Answers, Block, Numbers};
use ndarray::{Array2, ArrayView2};

use crate::error::Error;

/// A model that is ready to answer.
pub(super) enum Work {
    Label(Box<Compiled>),
    Proba(Box<Compiled>),
    Raw(Box<Compiled>),
    Shap(Box<Explainer>),
}

impl Work {
    pub(super) fn new(model: &Model, kind: Kind, path: &Path) -> Result<Self, Error> {
        let unfit = |message: String| Error::Unfit { path: path.to_owned(), message };
        arborgate_scoring::check(model, kind).map_err(|why| unfit(format!("{why}; its values are --kind proba")))?;
        if kind == Kind::Shap {
            let explainer = Explainer::new(model).map_err(|why| unfit(format!("can not be explained: {why}")))?;
            return Ok(Self::Shap(Box::new(explainer)));
        }
        let compiled = Compiled::new(model)
            .map_err(|source| Error::Compile { path: path.to_owned(), source: Box::new(source) })?;
        Ok(match kind {
            Kind::Label => Self::Label(Box::new(compiled)),
            Kind::Raw => Self::Raw(Box::new(compiled)),
            Kind::Proba | Kind::Shap => Self::Proba(Box::new(compiled)),
        })
    }

    /// Numbers of 64 bits that a row's answer takes.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Label(compiled) | Self::Proba(compiled) => compiled.values_width(),
            Self::Raw(compiled) => compiled.margins_width(),
            Self::Shap(explainer) => explainer.width(),
        }
    }

    /// What the rows of a block become.
    pub(super) fn answer(&self, block: &Block) -> Result<Answers, PredictError> {
        match &block.numbers {
            Numbers::Single(rows) => self.of(rows.view()),
            Numbers::Double(rows) => self.of(rows.view()),
        }
    }

    fn of<T: Element>(&self, rows: ArrayView2<'_, T>) -> Result<Answers, PredictError> {
        let count = rows.nrows();
        let (Self::Label(compiled) | Self::Proba(compiled)) = self else {
            let mut out = Array2::zeros((count, self.width()));
            match self {
                Self::Shap(explainer) => explainer.explain(rows, out.view_mut())?,
                Self::Raw(compiled) | Self::Label(compiled) | Self::Proba(compiled) => {
                    compiled.margins(rows, out.view_mut())?;
                }
            }
            return Ok(Answers::Numbers(out));
        };
        let mut values = Array2::zeros((count, compiled.values_width()));
        let mut labels = Array2::zeros((count, compiled.labels_width()));
        compiled.predict(rows, &mut Output { values: values.view_mut(), labels: labels.view_mut() })?;
        Ok(if matches!(self, Self::Label(_)) { Answers::Places(labels) } else { Answers::Numbers(values) })
    }
}
