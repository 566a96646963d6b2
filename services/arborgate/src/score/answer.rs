//! What is answered: the columns of the output, and a block's rows of them.

use std::path::Path;

use arborgate_forest::{Compiled, Element, Explainer, Label, Model, Output, PredictError, Task};
use arborgate_tables::{Answers, Block, Choices, Columns, Numbers};
use ndarray::{Array2, ArrayView2};

use super::Kind;
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
        if kind == Kind::Label && model.n_labels() == 0 {
            return Err(unfit("is a regressor and has no classes; its values are --kind proba".to_owned()));
        }
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

    /// The columns of the output.
    pub(super) fn columns(&self, model: &Model) -> Columns {
        match self {
            Self::Label(_) => {
                let name =
                    |output: usize| if model.n_labels() == 1 { "label".to_owned() } else { format!("label_{output}") };
                let outputs = model.classes().iter().enumerate();
                Columns::OneOf(outputs.map(|(output, classes)| (name(output), choices(classes))).collect())
            }
            Self::Proba(_) => Columns::Numbers(values(model)),
            Self::Raw(_) => Columns::Numbers(margins(model).unwrap_or_else(|| vec!["raw".to_owned()])),
            Self::Shap(_) => Columns::Numbers(contributions(model)),
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

/// Of one type, if they are; else as texts.
fn choices(classes: &[Label]) -> Choices {
    let whole = classes.iter().map(|label| if let Label::Int(value) = label { Some(*value) } else { None });
    if let Some(whole) = whole.collect() {
        return Choices::Whole(whole);
    }
    let truths = classes.iter().map(|label| if let Label::Bool(value) = label { Some(*value) } else { None });
    if let Some(truths) = truths.collect() {
        return Choices::Bool(truths);
    }
    let floats = classes.iter().map(|label| if let Label::Float(value) = label { Some(*value) } else { None });
    if let Some(floats) = floats.collect() {
        return Choices::Numbers(floats);
    }
    Choices::Text(classes.iter().map(Label::to_string).collect())
}

/// Of a classifier its classes, of several outputs with the output before it.
fn values(model: &Model) -> Vec<String> {
    match (model.task(), model.classes()) {
        (Task::Classification, [classes]) => classes.iter().map(Label::to_string).collect(),
        (Task::Classification, outputs) => {
            let each = |(output, classes): (usize, &Vec<Label>)| {
                classes.iter().map(|class| format!("{output}/{class}")).collect::<Vec<_>>()
            };
            outputs.iter().enumerate().flat_map(each).collect()
        }
        (Task::OutlierDetection, _) => vec!["score".to_owned()],
        (Task::Regression, _) if model.n_outputs() == 1 => vec!["prediction".to_owned()],
        (Task::Regression, _) => (0..model.n_outputs()).map(|output| format!("prediction_{output}")).collect(),
    }
}

/// What tells margins apart; none if there is one only.
fn margins(model: &Model) -> Option<Vec<String>> {
    let count = model.n_margins();
    if count == 1 {
        return None;
    }
    let values = values(model);
    Some(match model.task() {
        Task::Classification if values.len() == count => values,
        Task::Regression if values.len() == count => (0..count).map(|output| format!("raw_{output}")).collect(),
        _ => (0..count).map(|margin| format!("margin_{margin}")).collect(),
    })
}

/// For each margin the features and the base; of several margins with the margin before them.
fn contributions(model: &Model) -> Vec<String> {
    let names = model.feature_names().map_or_else(
        || (0..model.n_features()).map(|feature| format!("x{feature}")).collect(),
        |names| names.into_iter().map(str::to_owned).collect::<Vec<_>>(),
    );
    let each = || names.iter().cloned().chain(["base".to_owned()]);
    match margins(model) {
        None => each().collect(),
        Some(margins) => margins.iter().flat_map(|margin| each().map(move |name| format!("{margin}/{name}"))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_type() {
        let text = |text: &str| Label::Text(text.to_owned());
        assert_eq!(choices(&[Label::Int(3), Label::Int(-1)]), Choices::Whole(vec![3, -1]));
        assert_eq!(choices(&[Label::Bool(false), Label::Bool(true)]), Choices::Bool(vec![false, true]));
        assert_eq!(choices(&[Label::Float(0.5)]), Choices::Numbers(vec![0.5]));
        assert_eq!(choices(&[text("a"), Label::Int(1)]), Choices::Text(vec!["a".to_owned(), "1".to_owned()]));
    }
}
