//! What of an answer a request asks for: named by clients, and what of it a worker computes.

use arborgate_contracts::registry::Task;
use arborgate_contracts::wire::Asked;

/// What is done with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They are predicted.
    Predict,
    /// Their predictions are explained.
    Explain,
    /// They are predicted, and come as the V1 inference protocol of KServe has them.
    Instances,
}

impl Purpose {
    /// The field of a body that holds rows.
    pub fn rows(self) -> &'static str {
        match self {
            Self::Predict | Self::Explain => "rows",
            Self::Instances => "instances",
        }
    }
}

/// What a request asks for beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// What a worker computes.
    pub asked: Asked,
    /// Of an explanation so many features, those of the greatest contributions; absent: all, in the model's order.
    pub top_k: Option<u32>,
}

impl Ask {
    /// Unless anything is said.
    pub fn of(purpose: Purpose) -> Self {
        let asked = match purpose {
            Purpose::Predict | Purpose::Instances => Asked::DEFAULT,
            Purpose::Explain => Asked::CONTRIBUTIONS,
        };
        Self { asked, top_k: None }
    }
}

/// A kind of output, as clients name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of a classifier the class, of a regressor its values, of an outlier detector the class and the score.
    Label,
    /// Of a classifier.
    Probabilities,
    /// Of any.
    Margins,
    /// Of any.
    Leaves,
}

impl Kind {
    /// All that there are.
    pub const ALL: [Self; 4] = [Self::Label, Self::Probabilities, Self::Margins, Self::Leaves];

    /// Its name in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Probabilities => "probabilities",
            Self::Margins => "margins",
            Self::Leaves => "leaves",
        }
    }

    /// What a worker computes for it; none: a model of this task has no such.
    fn asked(self, task: Task) -> Option<Asked> {
        match (self, task) {
            (Self::Label, Task::Classification) => Some(Asked::LABELS),
            (Self::Label, Task::Regression | Task::OutlierDetection) => Some(Asked::DEFAULT),
            (Self::Probabilities, Task::Classification) => Some(Asked::VALUES),
            (Self::Probabilities, Task::Regression | Task::OutlierDetection) => None,
            (Self::Margins, _) => Some(Asked::MARGINS),
            (Self::Leaves, _) => Some(Asked::LEAVES),
        }
    }
}

/// The names that a model of this task knows, for a fault.
fn known(task: Task) -> String {
    let names: Vec<&str> = Kind::ALL.into_iter().filter(|kind| kind.asked(task).is_some()).map(Kind::name).collect();
    names.join(", ")
}

/// A list of kinds, each once: what a worker computes. Else what is wrong, with the place in the list if it is one of them.
pub fn kinds<'n>(names: impl IntoIterator<Item = &'n str>, task: Task) -> Result<Asked, Vec<(Option<usize>, String)>> {
    let mut all: Option<Asked> = None;
    let mut seen = Vec::new();
    let mut faults = Vec::new();
    for (place, name) in names.into_iter().enumerate() {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        match kind.and_then(|kind| kind.asked(task)) {
            Some(_) if seen.contains(&kind) => faults.push((Some(place), "is there twice".to_owned())),
            Some(asked) => all = Some(all.map_or(asked, |all| all.and(asked))),
            None if kind.is_some() => {
                faults.push((Some(place), format!("is of classifiers only; this model gives {}", known(task))));
            }
            None => faults.push((Some(place), format!("must be one of {}", known(task)))),
        }
        seen.push(kind);
    }
    match all {
        Some(all) if faults.is_empty() => Ok(all),
        None if faults.is_empty() => Err(vec![(None, format!("must name at least one of {}", known(task)))]),
        _ => Err(faults),
    }
}

/// What `top_k` must be.
pub const TOP_K: &str = "must be a whole number from 1 to 4294967295";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_what_a_worker_computes() {
        let classes = Task::Classification;
        assert_eq!(kinds(["label", "probabilities"], classes), Ok(Asked::DEFAULT));
        assert_eq!(kinds(["probabilities"], classes), Ok(Asked::VALUES));
        assert_eq!(kinds(["leaves", "margins"], classes), Ok(Asked::LEAVES.and(Asked::MARGINS)));
        for task in [Task::Regression, Task::OutlierDetection] {
            assert_eq!(kinds(["label"], task), Ok(Asked::DEFAULT));
            let refused = kinds(["margins", "probabilities"], task).unwrap_err();
            assert_eq!(
                refused,
                [(Some(1), "is of classifiers only; this model gives label, margins, leaves".to_owned())]
            );
        }
    }

    #[test]
    fn every_wrong_kind_is_told_in_its_place() {
        let places = |names: &[&str]| -> Vec<Option<usize>> {
            let refused = kinds(names.iter().copied(), Task::Classification).unwrap_err();
            refused.into_iter().map(|(place, _)| place).collect()
        };
        assert_eq!(places(&[]), [None]);
        assert_eq!(places(&["shap", "label", "Label", "label"]), [Some(0), Some(2), Some(3)]);
    }
}
