//! What is answered: the names and types of its columns, and the place of a row that is not taken.

use arborgate_contracts::jobs::Kind;
use arborgate_forest::{Label, Model, PredictError, Task};
use arborgate_tables::{Choices, Columns, Error};

/// What features and classes are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// In the model's order.
    pub features: Vec<String>,
    /// Of each output.
    pub classes: Vec<Vec<String>>,
}

impl Shown {
    /// As the model's file has them; where it has no names, `x0`, `x1`, ….
    pub fn of(model: &Model) -> Self {
        let features = model.feature_names().map_or_else(
            || (0..model.n_features()).map(|feature| format!("x{feature}")).collect(),
            |names| names.into_iter().map(str::to_owned).collect(),
        );
        Self { features, classes: model.classes().iter().map(|classes| texts(classes)).collect() }
    }
}

fn texts(classes: &[Label]) -> Vec<String> {
    classes.iter().map(Label::to_string).collect()
}

/// Whether a model can answer so.
///
/// # Errors
/// Why not ("is a regressor …").
pub fn check(model: &Model, kind: Kind) -> Result<(), &'static str> {
    match kind {
        Kind::Label if model.n_labels() == 0 => Err("is a regressor and has no classes"),
        _ => Ok(()),
    }
}

/// The columns of the answers.
pub fn columns(model: &Model, kind: Kind, shown: &Shown) -> Columns {
    match kind {
        Kind::Label => {
            let name =
                |output: usize| if model.n_labels() == 1 { "label".to_owned() } else { format!("label_{output}") };
            let outputs = model.classes().iter().zip(&shown.classes).enumerate();
            Columns::OneOf(outputs.map(|(output, (own, called))| (name(output), called_so(own, called))).collect())
        }
        Kind::Proba => Columns::Numbers(values(model, shown)),
        Kind::Raw => Columns::Numbers(margins(model, shown).unwrap_or_else(|| vec!["raw".to_owned()])),
        Kind::Shap => Columns::Numbers(contributions(model, shown)),
    }
}

/// Of the file's own type, if they are called as there.
fn called_so(own: &[Label], called: &[String]) -> Choices {
    if texts(own) == called { choices(own) } else { Choices::Text(called.to_vec()) }
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
fn values(model: &Model, shown: &Shown) -> Vec<String> {
    match (model.task(), shown.classes.as_slice()) {
        (Task::Classification, [classes]) => classes.clone(),
        (Task::Classification, outputs) => {
            let each = |(output, classes): (usize, &Vec<String>)| {
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
fn margins(model: &Model, shown: &Shown) -> Option<Vec<String>> {
    let count = model.n_margins();
    if count == 1 {
        return None;
    }
    let values = values(model, shown);
    Some(match model.task() {
        Task::Classification if values.len() == count => values,
        Task::Regression if values.len() == count => (0..count).map(|output| format!("raw_{output}")).collect(),
        _ => (0..count).map(|margin| format!("margin_{margin}")).collect(),
    })
}

/// For each margin the features and the base; of several margins with the margin before them.
fn contributions(model: &Model, shown: &Shown) -> Vec<String> {
    let each = || shown.features.iter().cloned().chain(["base".to_owned()]);
    match margins(model, shown) {
        None => each().collect(),
        Some(margins) => margins.iter().flat_map(|margin| each().map(move |name| format!("{margin}/{name}"))).collect(),
    }
}

/// A row that the model does not take, with its number in the file and its column. `first` is the number of the first
/// row that was predicted, from 0; `names` are what a message calls the columns.
pub fn fault(error: PredictError, first: u64, names: &[String]) -> Error {
    let (row, feature, message) = match error {
        PredictError::Missing { row, feature } => (row, feature, "is missing, which this model does not take"),
        PredictError::Unknown { row, feature } => (row, feature, "is a category that this model does not know"),
        PredictError::TooLarge { row, feature } => {
            (row, feature, "is infinite, or too large for the floats of this model")
        }
        other => return Error::Content(other.to_string()),
    };
    Error::Cell {
        row: first + row as u64 + 1,
        line: None,
        column: names.get(feature).cloned().unwrap_or_default(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_are_called_otherwise_are_texts() {
        let own = [Label::Int(0), Label::Int(1)];
        assert_eq!(called_so(&own, &["0".to_owned(), "1".to_owned()]), Choices::Whole(vec![0, 1]));
        let called = ["no".to_owned(), "yes".to_owned()];
        assert_eq!(called_so(&own, &called), Choices::Text(called.to_vec()));
    }

    #[test]
    fn labels_keep_their_type() {
        let text = |text: &str| Label::Text(text.to_owned());
        assert_eq!(choices(&[Label::Int(3), Label::Int(-1)]), Choices::Whole(vec![3, -1]));
        assert_eq!(choices(&[Label::Bool(false), Label::Bool(true)]), Choices::Bool(vec![false, true]));
        assert_eq!(choices(&[Label::Float(0.5)]), Choices::Numbers(vec![0.5]));
        assert_eq!(choices(&[text("a"), Label::Int(1)]), Choices::Text(vec!["a".to_owned(), "1".to_owned()]));
    }
}
